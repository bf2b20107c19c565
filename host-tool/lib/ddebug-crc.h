/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DDEBUG_CRC_H
#define DDEBUG_CRC_H

#include <glib.h>

/* CRC32C (Castagnoli, initial value and final xor 0xffffffff) of @len bytes. */
guint32 ddebug_crc32c (const void *data, gsize len);

#endif
