/* Instructions at the end of a page, whose targets are near and far. */
	.section .plt,"ax",@progbits
	.byte	0
	.section .init.plt,"ax",@progbits
	.byte	0
	.section .text,"ax",@progbits
	.balign 4096
	.globl	start
start:
	.space	0xff8, 0
	adrp	x3, near
	adrp	x17, far_away
	.space	0xff8, 0
	adrp	x0, far_away
	adrp	x30, near + 0x2000
	ret
	.section .data,"aw",@progbits
	.balign 4096
near:	.space	0x3000
	.section .modinfo,"a",@progbits
	.asciz	"license=GPL"
	.asciz	"name=adrp"
