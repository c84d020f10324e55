/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a module sees of a kernel, cut down to what the example needs: types, a few
 * functions that stay undefined until load time, and the tables a module brings along.
 * Names are those of Linux, so that a reader knows at once what kind of call it is.
 */
#ifndef KERNEL_H
#define KERNEL_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed int s32;
typedef __SIZE_TYPE__ size_t;

#define NULL ((void *)0)
#define noinline __attribute__((noinline))
#define __init __attribute__((section(".init.text"), cold))
#define __exit __attribute__((section(".exit.text"), cold, used))
#define __initdata __attribute__((section(".init.data")))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

enum { EPERM = 1, ENOENT = 2, EIO = 5, ENOMEM = 12, EFAULT = 14, EINVAL = 22, ENOSPC = 28, EUCLEAN = 117 };

/* Undefined here: every call to one of these leaves the module. */
extern int _printk(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern void *__kmalloc(size_t size, u32 flags);
extern void kfree(const void *p);
extern void *memcpy(void *to, const void *from, size_t n);
extern void *memset(void *to, int c, size_t n);
extern int memcmp(const void *a, const void *b, size_t n);
extern int strcmp(const char *a, const char *b);
extern size_t strlen(const char *s);
extern u32 crc32c(u32 crc, const void *p, u32 n);
extern void mutex_lock(void *lock);
extern void mutex_unlock(void *lock);
extern void down_read(void *sem);
extern void up_read(void *sem);
extern void schedule(void);
extern int wake_up_process(void *task);
extern int queue_work_on(int cpu, void *queue, void *work);
extern void *mempool_alloc(void *pool, u32 flags);
extern void mempool_free(void *p, void *pool);
extern int submit_bio_wait(void *bio);
extern void iput(void *inode);
extern void put_page(void *page);
extern void sort(void *base, size_t n, size_t size, int (*cmp)(const void *, const void *), void *swap);
extern volatile unsigned long jiffies;

/* An entry of the exception table: the load at 1 may fault; then the error register is
 * set to -EFAULT (the odd fixup address asks for it) and execution goes on at 2. */
#define get_user(value, error, address)						\
	asm volatile("1: ldw 0(%%sr3,%2),%0\n"					\
		     "2:\n"							\
		     ".section __ex_table,\"aw\"\n"				\
		     ".align 4\n"						\
		     ".word 1b - ., 2b - . + 1\n"				\
		     "or %%r0,%%r0,%1\n"					\
		     ".previous\n"						\
		     : "=&r"(value), "+r"(error) : "r"(address))

/* An entry of the bug table: the trap at 1 is a warning at this file and line. */
#define warn()									\
	asm volatile("1: break 0x1f,0x1fff\n"					\
		     ".pushsection __bug_table,\"a\"\n"				\
		     ".align 4\n"						\
		     ".word 1b - ., %c0 - .\n"					\
		     ".short %1, 0x901\n"					\
		     ".popsection\n"						\
		     : : "i"(__FILE__), "i"(__LINE__))
#define WARN_ON(c) ({ int c_ = !!(c); if (unlikely(c_)) warn(); unlikely(c_); })

struct kernel_symbol { unsigned long value; const char *name; const char *space; };
#define EXPORT_SYMBOL(sym)							\
	static const char strtab_##sym[]					\
		__attribute__((section("__ksymtab_strings"), aligned(1), used)) = #sym;	\
	static const struct kernel_symbol ksymtab_##sym			\
		__attribute__((section("___ksymtab+" #sym), used)) =		\
		{ (unsigned long)&sym, strtab_##sym, NULL }
#define MODULE_INFO(tag, id, text)						\
	static const char modinfo_##id[]					\
		__attribute__((section(".modinfo"), aligned(1), used)) = tag "=" text

#endif
