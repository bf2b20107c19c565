/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From a message to the lines that show it.
 */
#ifndef _DDEBUG_LINE_H
#define _DDEBUG_LINE_H

#include <linux/types.h>
#include "ddebug_record.h"

struct ddebug_message;

/*
 * Bytes of the longest lines of a message.  Each byte of its text becomes four
 * (an escape), or a newline and the indentation of what follows, which is as wide
 * as the longest stamp, 34; a stamp and two notices of less than 200 bytes each
 * precede it.
 */
#define DDEBUG_STAMP_MAX	34
#define DDEBUG_NOTICE_MAX	200
#define DDEBUG_LINES_MAX	(DDEBUG_TEXT_MAX * (1 + DDEBUG_STAMP_MAX) + DDEBUG_STAMP_MAX + \
				 2 * DDEBUG_NOTICE_MAX + 1)

size_t ddebug_lines(char *buf, const struct ddebug_message *m);

#endif /* _DDEBUG_LINE_H */
