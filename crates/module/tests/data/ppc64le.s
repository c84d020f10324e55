	.abiversion 2
	.purgem	exception
	.macro	exception from, to
	relative \from
	relative \to
	.endm
	.purgem	export
	.macro	export value, name, namespace
	.quad	\value, \name, \namespace
	.endm
	.macro	call_to symbol
	bl	\symbol
	nop
	.endm
	.macro	return
	blr
	.endm
	.macro	bug address
	relative \address
	.long	0, 0
	.endm
	.section .stubs,"ax",@progbits
	.byte	0
	.section .toc,"aw",@progbits
	.quad	.TOC.
