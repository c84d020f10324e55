	.macro	word value
	.quad	\value
	.endm
	.macro	pad_word
	.long	0
	.endm
	.macro	parameter name, ops, argument
	.quad	\name, 0, \ops
	.short	0x1a4
	.byte	-1, 0
	.long	0
	.quad	\argument
	.endm
	.macro	version crc, name
	.quad	\crc
1:	.ascii	"\name"
	.space	56 - (. - 1b)
	.endm
