	.macro	call_to symbol
	bl	\symbol
	.endm
	.macro	return
	ret
	.endm
	.macro	bug address
	relative \address
	.long	0, 0
	.endm
	.section .plt,"ax",@progbits
	.byte	0
	.section .init.plt,"ax",@progbits
	.byte	0
	.section .text.ftrace_trampoline,"ax",@progbits
	.byte	0
