	.macro	call_to symbol
	call	\symbol
	.endm
	.macro	return
	ret
	.endm
	.macro	bug address
	relative \address
	.long	0, 0
	.endm
