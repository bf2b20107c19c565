/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From packed records back to text.
 */
#ifndef _DDEBUG_UNPACK_H
#define _DDEBUG_UNPACK_H

#include <linux/types.h>

struct ddebug_message;

const char *ddebug_unpack(const struct ddebug_message *m, char *buf, size_t size, size_t *len);

#endif /* _DDEBUG_UNPACK_H */
