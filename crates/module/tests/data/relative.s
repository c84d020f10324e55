/* What kernels with relative tables have in common. */
	.macro	relative value
	.long	\value - .
	.endm
	.macro	exception from, to
	relative \from
	relative \to
	.long	0
	.endm
	.macro	export value, name, namespace
	relative \value
	relative \name
	relative \namespace
	.endm
	.macro	word_or_zero symbol
	.weak	\symbol
	word	\symbol
	.endm
