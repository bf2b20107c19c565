/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A thread that syncs the log, so that the drain thread need not. */
#ifndef DDEBUG_SYNC_H
#define DDEBUG_SYNC_H

#include "ddebug-log-writer.h"

/**
 * ddebug_sync_start: start the thread
 * @interval_s: 1 to DDEBUG_LOG_SYNC_INTERVAL_MAX
 *
 * It ends by itself once the log is closed and synced, however long the disk
 * takes for that.
 *
 * Returns: to be released with ddebug_log_sync_unref(), or NULL with @errp set
 */
DdebugLogSync *ddebug_sync_start(DdebugLog *log, uint32_t interval_s,
                                 Error **errp);

#endif /* DDEBUG_SYNC_H */
