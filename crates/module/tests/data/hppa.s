	.macro	call_to symbol
	b,l	\symbol,%r2
	nop
	.endm
	.macro	return
	bv,n	%r0(%r2)
	.endm
	.macro	exception from, to
	.word	\from - .
	.word	\to - .
	.endm
	.macro	bug address
	.word	\address, name_number
	.short	1, 0
	.endm
	.macro	export value, name, namespace
	.word	\value, \name, \namespace
	.endm
/* its loader refuses symbols that are zero */
	.macro	word_or_zero symbol
	.endm
