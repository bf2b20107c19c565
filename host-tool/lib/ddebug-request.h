/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes a log: through its device while a VM has it, directly otherwise.
 */
#ifndef DDEBUG_REQUEST_H
#define DDEBUG_REQUEST_H

#include <glib.h>

#include "ddebug-wait.h"

/* How long a device is waited for, in seconds: it answers from a thread that may be busy writing. */
#define DDEBUG_REQUEST_TIMEOUT 30

/**
 * ddebug_request_size:
 * @size: bytes, DDEBUG_LOG_SIZE_MIN to DDEBUG_LOG_SIZE_MAX
 * @now: (out): bytes that the file has then, at most @size
 *
 * Returns: %FALSE with @error set, and the log as it was; without @error if a
 * signal came
 */
gboolean ddebug_request_size (DdebugWait *wait, const char *path, guint64 size, guint64 *now, GError **error);

/* Hides all messages that are in the log; otherwise as ddebug_request_size(). */
gboolean ddebug_request_clear (DdebugWait *wait, const char *path, GError **error);

#endif
