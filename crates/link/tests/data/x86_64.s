	.section .text.a,"ax",@progbits
	.globl a
	.type a, @function
a:	call b
	call outside@PLT
	mov word(%rip),%rax
	lea text(%rip),%rdi
.Llocal:	ret
	.size a, .-a
	.section .text.b,"ax",@progbits
	.p2align 4
	.type b, @function
b:	jmp a
	.size b, .-b
	.section .text.once,"axG",@progbits,once,comdat
	.weak once
once:	jmp .Lend
	.skip 130
.Lend:	ret
	.data
word:	.quad a, b, .text.b + 4
	.long once - .
	.section __ex_table,"a"
	.long a - ., b - ., 3
	.section .rodata.str1.1,"aMS",@progbits,1
text:	.asciz "text"
	.section .link,"ao",@progbits,.text.b
	.quad b
	.section .bss.zero,"aw",@nobits
	.p2align 5
	.skip 40
	.comm shared,8,8
	.section .debug_x,"",@progbits
	.quad b
	.section .note.x,"a",@note
	.long 4,0,1
	.asciz "klk"
