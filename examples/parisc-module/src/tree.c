/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An ordered list with a skip pointer: `parent` of a record leads some records ahead. */
#include "atlas.h"

static noinline int check(const struct record *r)
{
	return r && (r->magic & 0xffff0000) == 0x41540000;
}

struct record *tree_first(struct record *root)
{
	return check(root) ? root->next : NULL;
}

struct record *tree_next(struct record *node)
{
	if (WARN_ON(!check(node)))
		return NULL;
	return node->next;
}

struct record *tree_find(struct record *root, u64 block)
{
	struct record *r = tree_first(root);

	while (r && r->block + r->length <= block) {
		struct record *far = r->parent;

		r = far && far->block <= block ? far : tree_next(r);
	}
	return r && r->block <= block ? r : NULL;
}

int tree_insert(struct record *root, struct record *node)
{
	struct record **at = &root->next;
	u32 steps = 0;

	if (!check(root) || !check(node))
		return -EINVAL;
	while (*at && (*at)->block < node->block) {
		at = &(*at)->next;
		steps++;
	}
	if (*at && (*at)->block < node->block + node->length)
		return -EUCLEAN;
	node->next = *at;
	node->parent = steps % 5 ? NULL : node->next;
	*at = node;
	root->count++;
	return 0;
}

void tree_remove(struct record *root, struct record *node)
{
	struct record **at;

	for (at = &root->next; *at; at = &(*at)->next) {
		if ((*at)->parent == node)
			(*at)->parent = node->parent;
		if (*at == node) {
			*at = node->next;
			root->count--;
			return;
		}
	}
	_printk("atlas: record %u is in no tree\n", node->id);
}
EXPORT_SYMBOL(tree_insert);
EXPORT_SYMBOL(tree_remove);
