	.section .text.a,"ax",@progbits
	.globl a
a:	call b
	call outside
	mov word,%eax
.Llocal:	ret
	.section .text.b,"ax",@progbits
b:	jmp a
	.section .text.once,"axG",@progbits,once,comdat
	.weak once
once:	ret
	.data
word:	.long a, b, .text.b + 4, once - .
	.bss
	.skip 16
	.section .debug_x,"",@progbits
	.long .text.b
