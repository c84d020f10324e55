/* A small module with a bit of everything; `ARCH.s` goes in front of it and defines the macros. */

	.section .text,"ax",@progbits
	.balign 16
	.globl	shared
	.type	shared,STT_FUNC
shared:
	call_to	kernel_function
	call_to	helper
	return
	.size	shared, .-shared

	.section .text.helper,"ax",@progbits
	.balign 16
	.type	helper,STT_FUNC
helper:
	call_to	kernel_function
	call_to	kernel_gpl
	call_to	far_function
	return
	.size	helper, .-helper

	.section .init.text,"ax",@progbits
	.balign 4
	.globl	init_module
	.type	init_module,STT_FUNC
init_module:
	call_to	shared
	call_to	kernel_function
	return
	.size	init_module, .-init_module

	.section .exit.text,"ax",@progbits
	.balign 4
	.globl	cleanup_module
	.type	cleanup_module,STT_FUNC
cleanup_module:
	call_to	helper
	return
	.size	cleanup_module, .-cleanup_module

/* out of order, and one entry about init */
	.section __ex_table,"a",@progbits
	.balign 4
	exception helper, shared
	exception init_module, init_module
	exception shared, helper

	.section __bug_table,"aw",@progbits
	.balign 4
	bug	shared
	bug	init_module

	.section __ksymtab_gpl,"a",@progbits
	.balign 4
__ksymtab_shared:
	export	shared, __kstrtab_shared, __kstrtabns_shared

	.section __kcrctab_gpl,"a",@progbits
	.balign 4
__crc_shared:
	.long	0x12345678

	.section __ksymtab_strings,"aMS",@progbits,1
__kstrtab_shared:
	.asciz	"shared"
__kstrtabns_shared:
	.asciz	"SMALL"

	.section .rodata,"a",@progbits
	.balign 8
name_number:
	.asciz	"number"
name_list:
	.asciz	"list"
name_label:
	.asciz	"label"
name_switch:
	.asciz	"switch"
name_text:
	.asciz	"text"
	.balign 8
array:
	.long	3, 2
	word	list_count
	word	param_ops_short
	word	list
string:
	.long	8
	pad_word
	word	label

	.section __param,"a",@progbits
	.balign 8
	parameter name_number, param_ops_int, number
	parameter name_list, param_array_ops, array
	parameter name_label, param_ops_string, string
	parameter name_switch, param_ops_bool, switch
	parameter name_text, param_ops_charp, text

	.section .data,"aw",@progbits
	.balign 8
number:	.long	7
list_count:
	.long	0
list:	.short	0, 0, 0, 0
label:	.space	8
switch:	.byte	0
	.balign 8
text:	word	0
pointer:
	word	kernel_data

	.section .data..ro_after_init,"aw",@progbits
	.balign 8
	word	shared

	.section .data..percpu,"aw",@progbits
	.balign 8
counter:
	.space	16

	.section .init.data,"aw",@progbits
	.balign 8
	word	init_module

	.section .bss,"aw",@nobits
	.balign 32
	.space	100

	.section .modinfo,"a",@progbits
	.asciz	"license=GPL"
	.asciz	"name=small"
	.asciz	"import_ns=KERNEL"
	.asciz	"depends="
	.asciz	"intree=Y"
	.asciz	"vermagic=6.1.0 SMP mod_unload modversions "
	.asciz	"parmtype=number:int"

	.section __versions,"a",@progbits
	.balign 8
	version	0xabcdef01, "kernel_function"
	version	0x00000002, "kernel_gpl"

	.section .gnu.linkonce.this_module,"aw",@progbits
	.balign 64
	.space	128
	word	init_module
	.space	56
	word	cleanup_module
	.space	56

	.section .data,"aw",@progbits
	.balign 8
	word_or_zero not_there
