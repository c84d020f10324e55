	.section .text.a,"ax",@progbits
	.align 4
	.globl a
	.type a, @function
a:	b,l b,%r2
	nop
	b,l outside,%r2
	nop
	ldil LR'word-$global$,%r1
	ldw RR'word-$global$(%r1),%r28
.Llocal:
	bv %r0(%r2)
	nop
	.size a, .-a
	.section .text.b,"ax",@progbits
	.align 4
	.type b, @function
b:	b,l outside,%r2
	nop
	b,n .Lback
.Lback:	bv,n %r0(%r2)
	.size b, .-b
	.section .text.once,"axG",@progbits,once,comdat
	.globl once
	.weak once
once:	b,l a,%r2
	nop
	.section .data,"aw"
	.align 4
word:	.word a, b, .text.b + 4, once
	.section .rodata.str1.1,"aMS",@progbits,1
	.asciz "text"
	.section .PARISC.unwind,"a"
	.word b, b+12, 0, 0
	.section .discard.x,"a"
	.word 1
	.section .bss.zero,"aw",@nobits
	.align 8
	.skip 40
	.comm shared,8,8
	.section .note.x,"a",@note
	.word 4,0,1
	.asciz "klk"
