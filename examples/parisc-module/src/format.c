/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Numbers and records to text and back. */
#include "atlas.h"

static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";

static noinline u32 put(char *to, u32 room, u32 at, char c)
{
	if (at < room)
		to[at] = c;
	return at + 1;
}

u32 format_number(char *to, u32 room, u64 value, u32 base)
{
	char backwards[64];
	u32 n = 0, at = 0, high = value >> 32, low = value;

	if (base < 2 || base > 36)
		return 0;
	do {
		u32 v = high ? high : low;

		backwards[n++] = digits[v % base];
		if (high)
			high /= base;
		else
			low /= base;
	} while ((high || low) && n < sizeof(backwards));
	while (n)
		at = put(to, room, at, backwards[--n]);
	return put(to, room, at, 0);
}

u32 format_record(char *to, u32 room, const struct record *r)
{
	u32 at = 0, i;

	for (i = 0; r->name[i] && i < sizeof(r->name); i++)
		at = put(to, room, at, r->name[i]);
	at = put(to, room, at, '#');
	if (at < room)
		at += format_number(to + at, room - at, r->id, 10);
	switch (r->flags & 15) {
	case 0: return put(to, room, at, '-');
	case 1: return put(to, room, at, 'r');
	case 2: return put(to, room, at, 'w');
	case 3: return put(to, room, at, 'm');
	case 5: return put(to, room, at, 'x');
	case 6: return put(to, room, at, 'd');
	case 7: return format_number(to, room, r->block, 16);
	case 9: return format_number(to, room, r->length, 8);
	}
	return at;
}

int parse_number(const char *text, u64 *value)
{
	u64 sum = 0;
	size_t i, n = strlen(text);

	for (i = 0; i < n; i++) {
		u32 d = text[i] - '0';

		if (d > 9)
			return -EINVAL;
		sum = sum * 10 + d;
	}
	*value = sum;
	return n ? 0 : -EINVAL;
}
EXPORT_SYMBOL(format_record);
