/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Where records come from and go to. */
#include "atlas.h"

static noinline int check(const struct record *r)
{
	return r->used <= ARRAY_SIZE(r->slot) && r->count >= r->used;
}

static int by_block(const void *a, const void *b)
{
	const struct record *x = *(struct record *const *)a, *y = *(struct record *const *)b;

	return x->block < y->block ? -1 : x->block > y->block;
}

struct record *record_alloc(u32 id)
{
	struct record *r = __kmalloc(sizeof(*r), 0xcc0);

	if (!r)
		return NULL;
	memset(r, 0, sizeof(*r));
	r->magic = 0x41540000 | (id & 0xffff);
	r->id = id;
	r->stamp = jiffies;
	atlas_counters.bytes += sizeof(*r);
	return r;
}

void record_free(struct record *r)
{
	if (!r || WARN_ON(!check(r)))
		return;
	if (r->data)
		mempool_free(r->data, r->pool);
	memset(r, 0x6b, sizeof(*r));
	kfree(r);
}

struct record *record_clone(const struct record *from)
{
	struct record *r = record_alloc(from->id + 1);

	if (!r)
		return NULL;
	memcpy(r->slot, from->slot, sizeof(r->slot));
	memcpy(r->name, from->name, sizeof(r->name));
	r->block = from->block + from->length;
	r->length = from->length / 3 + from->length % 7;
	r->ops = from->ops;
	return r;
}

void record_sort(struct record **list, u32 n)
{
	sort(list, n, sizeof(*list), by_block, NULL);
}
EXPORT_SYMBOL(record_alloc);
EXPORT_SYMBOL(record_free);
