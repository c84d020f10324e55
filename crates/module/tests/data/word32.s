	.macro	word value
	.long	\value
	.endm
	.macro	pad_word
	.endm
	.macro	parameter name, ops, argument
	.long	\name, 0, \ops
	.short	0x1a4
	.byte	-1, 0
	.long	\argument
	.endm
	.macro	version crc, name
	.long	\crc
1:	.ascii	"\name"
	.space	60 - (. - 1b)
	.endm
