	.globl more
	.section .text.more,"ax"
more:	ret
