/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing to standard output, and how much of it was accepted.
 */
#ifndef DDEBUG_OUTPUT_H
#define DDEBUG_OUTPUT_H

#include <glib.h>

#include "ddebug-wait.h"

typedef enum
{
  DDEBUG_OUTPUT_OK,
  DDEBUG_OUTPUT_GONE,       /* its reader has gone */
  DDEBUG_OUTPUT_SIGNAL,     /* a signal arrived */
  DDEBUG_OUTPUT_ERROR,
} DdebugOutputResult;

/**
 * ddebug_output_write:
 * @wait: watches @fd
 * @done: (out): bytes accepted, also if OK is not returned
 *
 * Write all of @text; wait for room if @fd is a pipe or a terminal.
 */
DdebugOutputResult ddebug_output_write (DdebugWait *wait, int fd, const char *text, gsize len, gsize *done,
                                        GError **error);

#endif
