	.macro	call_to symbol
	call	\symbol
	.endm
	.macro	return
	ret
	.endm
	.macro	bug address
	.long	\address, name_number, 0
	.endm
