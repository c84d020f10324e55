/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Init, exit, and the tables that name the generated parts. */
#include "atlas.h"
#include "parts.h"

struct counters atlas_counters;
u32 atlas_limit = 4096;

static const char *const banner[] __initdata = { "atlas", "a module to link", "0.1" };
static struct record *root;

#define PART(name) extern const struct operations name##_operations[]; extern int name##_start(struct record *);
PARTS
#undef PART

#define PART(name) { #name, name##_operations, name##_start },
static const struct part {
	const char *name;
	const struct operations *ops;
	int (*start)(struct record *r);
} parts[] = { PARTS };
#undef PART

static int __init start_all(struct record *r)
{
	u32 i;
	int error = 0;

	for (i = 0; i < ARRAY_SIZE(parts) && !error; i++) {
		r->ops = parts[i].ops;
		error = parts[i].start(r);
		if (error)
			_printk("atlas: %s does not start: %d\n", parts[i].name, error);
	}
	return error;
}

static int __init atlas_init(void)
{
	u32 i;
	int error;

	for (i = 0; i < ARRAY_SIZE(banner); i++)
		_printk("%s%c", banner[i], i + 1 < ARRAY_SIZE(banner) ? ' ' : '\n');
	root = record_alloc(atlas_limit % 997);
	if (!root)
		return -ENOMEM;
	error = start_all(root);
	if (error)
		record_free(root);
	return error;
}

static void __exit atlas_exit(void)
{
	struct record *r;

	while ((r = tree_first(root))) {
		tree_remove(root, r);
		if (r->ops && r->ops->drop)
			r->ops->drop(r);
		record_free(r);
	}
	record_free(root);
}

int init_module(void) __attribute__((alias("atlas_init"), cold));
void cleanup_module(void) __attribute__((alias("atlas_exit"), cold));
MODULE_INFO("license", license, "Dual MIT/GPL");
MODULE_INFO("description", description, "A module to link: one section for every function");
