/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread that syncs the log.  It waits for the disk, so it uses nothing of
 * QEMU's but its stack: no lock, no guest memory.
 */
#include "qemu/osdep.h"
#include "qemu/thread.h"
#include "ddebug-sync.h"

static void *sync_thread(void *opaque)
{
    DdebugLogSync *sync = opaque;

    ddebug_log_sync_run(sync);
    ddebug_log_sync_unref(sync);
    return NULL;
}

DdebugLogSync *ddebug_sync_start(DdebugLog *log, uint32_t interval_s)
{
    DdebugLogSync *sync = ddebug_log_sync_new(log, interval_s);
    QemuThread thread;

    qemu_thread_create(&thread, "ddebug-sync", sync_thread,
                       ddebug_log_sync_ref(sync), QEMU_THREAD_DETACHED);
    return sync;
}
