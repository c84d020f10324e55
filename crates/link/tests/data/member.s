	.globl outside
outside: ret
	.globl more
	.data
	.quad more
