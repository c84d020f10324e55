	.level 2.0w
	.section .text.a,"ax",@progbits
	.align 8
	.globl a
	.type a, @function
a:	b,l outside,%r2
	nop
	bve (%r2)
	nop
	.data
	.align 8
	.dword a, P%a
	.bss
	.skip 16
