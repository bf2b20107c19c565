/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The checksum of the log, from ISA-L. */
#include "ddebug-crc.h"

#include <isa-l/crc.h>

/* ISA-L takes an int: the longest piece summed here is a segment, 1 MiB. */
guint32
ddebug_crc32c (const void *data, gsize len)
{
  g_assert (len <= G_MAXINT);

  return ~crc32_iscsi ((unsigned char *) data, (int) len, ~0u);
}
