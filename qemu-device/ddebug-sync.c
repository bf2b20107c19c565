/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread that syncs the log.  It waits for the disk, so it uses nothing of
 * QEMU's but its stack: no lock, no guest memory.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "ddebug-open.h"
#include "ddebug-sync.h"

static void *sync_thread(void *opaque)
{
    DdebugLogSync *sync = opaque;

    ddebug_log_sync_run(sync);
    ddebug_log_sync_unref(sync);
    return NULL;
}

DdebugLogSync *ddebug_sync_start(DdebugLog *log, uint32_t interval_s,
                                 Error **errp)
{
    DdebugLogSync *sync = ddebug_log_sync_new(log, interval_s);
    int err = ddebug_thread_create("ddebug-sync", sync_thread,
                                   ddebug_log_sync_ref(sync));

    if (err) {
        error_setg_errno(errp, err, "virtio-ddebug: cannot create a thread");
        /* that of the thread, and ours; the log has another one */
        ddebug_log_sync_unref(sync);
        ddebug_log_sync_unref(sync);
        return NULL;
    }
    return sync;
}
