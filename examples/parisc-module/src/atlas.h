/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The records that atlas keeps, and what its hand-written parts offer the generated ones. */
#ifndef ATLAS_H
#define ATLAS_H

#include "kernel.h"

struct record;

struct operations {
	const char *name;
	int (*check)(struct record *r);
	int (*apply)(struct record *r, u32 a);
	u32 (*merge)(struct record *r, struct record *q, u32 a, u32 b);
	void (*drop)(struct record *r);
	u64 (*scale)(struct record *r, u64 v);
};

struct record {
	u32 magic, id, flags, count, used;
	u32 lock[4];
	u64 block, length, stamp;
	struct record *next, *parent;
	const struct operations *ops;
	void *data, *pool;
	u32 slot[24];
	u16 depth, width;
	char name[28];
};

struct counters { u32 calls, errors, retries, bytes; };

extern struct counters atlas_counters;
extern u32 atlas_limit;

/* tree.c */
struct record *tree_first(struct record *root);
struct record *tree_next(struct record *node);
int tree_insert(struct record *root, struct record *node);
void tree_remove(struct record *root, struct record *node);
struct record *tree_find(struct record *root, u64 block);

/* pool.c */
struct record *record_alloc(u32 id);
void record_free(struct record *r);
struct record *record_clone(const struct record *from);
void record_sort(struct record **list, u32 n);

/* format.c */
u32 format_number(char *to, u32 room, u64 value, u32 base);
u32 format_record(char *to, u32 room, const struct record *r);
int parse_number(const char *text, u64 *value);

#endif
