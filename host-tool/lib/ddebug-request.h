/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Change a log: through its device while a VM uses it, directly otherwise.
 */
#ifndef DDEBUG_REQUEST_H
#define DDEBUG_REQUEST_H

#include <glib.h>

#include "ddebug-wait.h"

/* Seconds to wait for the device: it answers from a thread that may be busy writing. */
#define DDEBUG_REQUEST_TIMEOUT 30

/**
 * ddebug_request_size:
 * @size: bytes, DDEBUG_LOG_SIZE_MIN to DDEBUG_LOG_SIZE_MAX
 * @now: (out): new size of the file in bytes, at most @size
 *
 * Returns: %FALSE with @error set if the log was not changed; without @error if a signal arrived
 */
gboolean ddebug_request_size (DdebugWait *wait, const char *path, guint64 size, guint64 *now, GError **error);

/* Hide all messages in the log.  Returns as ddebug_request_size(). */
gboolean ddebug_request_clear (DdebugWait *wait, const char *path, GError **error);

#endif
