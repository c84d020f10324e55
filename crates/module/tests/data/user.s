/* A module that uses what small exports. */
	.section .text,"ax",@progbits
	.balign 16
	.globl	init_module
	.type	init_module,STT_FUNC
init_module:
	call_to	shared
	return
	.globl	cleanup_module
	.type	cleanup_module,STT_FUNC
cleanup_module:
	return
	.section .modinfo,"a",@progbits
	.asciz	"license=GPL"
	.asciz	"name=user"
	.asciz	"import_ns=SMALL"
	.asciz	"depends=small"
	.section __versions,"a",@progbits
	.balign 8
	version	0x12345678, "shared"
	.section .gnu.linkonce.this_module,"aw",@progbits
	.balign 64
	.space	128
	word	init_module
	word	cleanup_module
