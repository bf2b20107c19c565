/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Standard output, and what of it has arrived.
 */
#ifndef DDEBUG_OUTPUT_H
#define DDEBUG_OUTPUT_H

#include <glib.h>

#include "ddebug-wait.h"

typedef enum
{
  DDEBUG_OUTPUT_OK,
  DDEBUG_OUTPUT_GONE,       /* nobody reads it any more */
  DDEBUG_OUTPUT_SIGNAL,     /* a signal came while it took no more */
  DDEBUG_OUTPUT_ERROR,
} DdebugOutputResult;

/**
 * ddebug_output_write:
 * @wait: watches @fd
 * @done: (out): how many bytes were taken, also where not OK is returned
 *
 * Writes all, and waits for room where @fd is a pipe or a terminal.
 */
DdebugOutputResult ddebug_output_write (DdebugWait *wait, int fd, const char *text, gsize len, gsize *done,
                                        GError **error);

#endif
