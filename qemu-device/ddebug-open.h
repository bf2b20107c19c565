/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening a log for the device, without running on its disk in a thread that
 * the VM needs.
 */
#ifndef DDEBUG_OPEN_H
#define DDEBUG_OPEN_H

#include "ddebug-log-writer.h"

/**
 * ddebug_open: ddebug_log_begin() and ddebug_log_map_shm(), in a thread that no
 * signal reaches
 * @path, @size, @info: as of ddebug_log_begin()
 * @shm: if not NULL, the log's shared rings are mapped, and returned here
 * @timeout_ms: how long to wait for the disk; -1: without limit
 *
 * Paths /dev/fdset/N are descriptors that were passed to QEMU.  A log that is
 * opened too late is closed again, by that thread.
 *
 * Returns: the log, or NULL with @errp set
 */
DdebugLog *ddebug_open(const char *path, uint64_t size,
                       const DdebugLogInfo *info, DdebugShm **shm,
                       int timeout_ms, Error **errp);

/**
 * ddebug_thread_create: start a detached thread that handles no signals
 *
 * As qemu_thread_create(), which ends QEMU if there can be no more threads.
 *
 * Returns: 0, or a positive errno
 */
int ddebug_thread_create(const char *name, void *(*run)(void *opaque),
                         void *opaque);

#endif /* DDEBUG_OPEN_H */
