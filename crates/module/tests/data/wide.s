/* What is special in 64-bit PA-RISC: calls through the linkage table, and descriptors. */
	.level	2.0w
	.section .text,"ax",@progbits
	.balign	16
	.globl	shared
	.type	shared,STT_FUNC
shared:
	b,l	kernel_function,%r2
	nop
	b,l	helper,%r2
	nop
	b,l	$$millicode,%r2
	nop
	addil	LT'kernel_data,%r27
	ldd	RT'kernel_data(%r1),%r28
	b,l	kernel_function,%r2
	nop
	b,l	other_function,%r2
	nop
	.section .text.helper,"ax",@progbits
	.type	helper,STT_FUNC
helper:
	bve	(%r2)
	nop
	.section .data,"aw",@progbits
	.balign	8
	.globl	pointers
pointers:
	.dword	P'helper
	.dword	P'helper
	.dword	P'kernel_function
	.dword	kernel_data
	.section .modinfo,"a",@progbits
	.asciz	"license=GPL"
	.asciz	"name=wide"
