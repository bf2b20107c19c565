/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The drain: a thread that writes to the log what the guest puts into its
 * rings, and what the device hands to it.
 *
 * Unless noted otherwise functions are called with the BQL held, and never wait
 * for the disk.  They may wait for one copy of at most a sub-buffer; what those
 * copy that copy rings is bounded in ddebug-drain.c.
 */
#ifndef DDEBUG_DRAIN_H
#define DDEBUG_DRAIN_H

#include "exec/memory.h"
#include "ddebug-stream.h"

typedef struct DdebugDrain DdebugDrain;

/* An answer to ddebug_drain_request() or ddebug_drain_retire(). */
typedef struct DdebugAnswer {
    uint64_t id;
    uint32_t status;            /* VIRTIO_DDEBUG_S_* */
    uint64_t value;
    DdebugStream *stream;       /* RETIRE: the caller's from now on; or NULL */
} DdebugAnswer;

/* Counted since ddebug_drain_start(). */
typedef struct DdebugCounters {
    uint64_t wakeups;           /* of the thread */
    uint64_t passes;            /* scans of all streams that found something */
    uint64_t chunks;            /* DATA chunks written to the log */
    uint64_t bytes;             /* their payload */
    uint64_t io_lost;           /* bytes that could not be written */
    uint64_t full_lost;         /* bytes dropped because the log was full */
    uint64_t rate_lost;         /* bytes lost because of the rate limit */
    uint64_t syncs;             /* of the log */
    uint64_t sync_errors;       /* of these, that failed */
    uint64_t bql_bytes;         /* bytes of rings copied with the BQL held */
    uint64_t memory_errors;     /* streams given up: DdebugStream.gone */
    uint64_t streams;           /* currently posted */
    uint64_t log_size;          /* bytes of the file now */
    uint64_t log_id;            /* ddebug_log_id() of the file now */
} DdebugCounters;

/**
 * ddebug_drain_start: start the thread, which opens the log first; guest memory
 * is out of its reach
 * @log: from ddebug_log_begin(); owned by the thread from now on, unless NULL is
 *       returned
 * @shm: memory that streams may be in, or NULL; the drain takes a reference
 * @freeze_on_panic: protect what led to a panic (ddebug_log_freeze())
 * @notify: called by the thread with the drain's lock held, when there is an
 *          answer to fetch, or the size or id of the log or the state of the
 *          file has changed; must not call the drain, only schedule that
 */
DdebugDrain *ddebug_drain_start(DdebugLog *log, DdebugShm *shm,
                                bool freeze_on_panic,
                                void (*notify)(void *opaque), void *opaque,
                                Error **errp);

/* How far the thread has come with opening the log. */
typedef enum DdebugFileState {
    DDEBUG_FILE_OPENING,        /* requests wait */
    DDEBUG_FILE_OPEN,
    DDEBUG_FILE_FAILED,         /* requests are answered with an error */
} DdebugFileState;

/**
 * ddebug_drain_file_state:
 * @why: NULL, or the reason is returned there if it FAILED; to be freed with
 *       g_free()
 */
DdebugFileState ddebug_drain_file_state(DdebugDrain *drain, char **why);

/*
 * Wait for the disk, without limit, until the log is no longer OPENING; for a VM
 * that does not run yet.
 */
void ddebug_drain_wait_open(DdebugDrain *drain);

/**
 * ddebug_drain_watch_sync: report failures of @sync, which outlives the drain
 */
void ddebug_drain_watch_sync(DdebugDrain *drain, DdebugLogSync *sync);

/**
 * ddebug_drain_stop: let the thread write what is queued and the CLOSE event,
 * and end
 *
 * All streams must have been removed with ddebug_drain_forget().  Waits for at
 * most @timeout_ms; if that is too short (a disk that hangs) the rest is lost,
 * with a warning.  @drain must not be used afterwards.
 */
void ddebug_drain_stop(DdebugDrain *drain, int timeout_ms);

/* Make the thread scan the streams. */
void ddebug_drain_kick(DdebugDrain *drain);

/**
 * ddebug_drain_add: add a stream
 * @st: owned by the drain until it is removed, unless false is returned
 *
 * Returns: false if there is a stream of that id and generation, or two of that
 * id
 */
bool ddebug_drain_add(DdebugDrain *drain, DdebugStream *st);

/**
 * ddebug_drain_withdraw: copy what is in the rings, as far as there is room, and
 * touch the guest's memory no more until ddebug_drain_permit()
 *
 * What there was no room for is counted as lost.
 */
void ddebug_drain_withdraw(DdebugDrain *drain);
void ddebug_drain_permit(DdebugDrain *drain);

/**
 * ddebug_drain_vm_stopped: log the event STOP, after what the guest has committed
 * @why: DDEBUG_LOG_STOP_*
 *
 * Copies nothing: the thread does, also while the VM is stopped.
 */
void ddebug_drain_vm_stopped(DdebugDrain *drain, uint64_t why);
/* Log the event CONT if a STOP preceded. */
void ddebug_drain_vm_runs(DdebugDrain *drain);

/**
 * ddebug_drain_forget: copy what is in the rings and remove the streams of
 * @queue, or all with DDEBUG_DRAIN_ALL
 *
 * What there was no room for is counted as lost.
 *
 * Returns: an array of the DdebugStreams; the caller frees both
 */
#define DDEBUG_DRAIN_ALL UINT_MAX
GPtrArray *ddebug_drain_forget(DdebugDrain *drain, unsigned queue);

/* Remove the streams that are being retired; as ddebug_drain_forget(). */
GPtrArray *ddebug_drain_forget_retiring(DdebugDrain *drain);

/**
 * ddebug_drain_retire: have the thread write what is left in the ring of that @id
 * and @generation, and remove the stream
 * @request: id of the answer that will come then, with the stream, unless it is
 *           forgotten before.  The status is OK if all of it is in the log.
 *
 * Returns: false if there is no such stream, or it is being retired already
 */
bool ddebug_drain_retire(DdebugDrain *drain, uint32_t id, uint32_t generation,
                         uint64_t request);

/**
 * ddebug_drain_end_session: the driver is gone
 *
 * Streams are not drained until the next ATTACH.
 */
void ddebug_drain_end_session(DdebugDrain *drain);

/**
 * ddebug_drain_request: queue an ATTACH, DICT or LOG_SIZE
 * @payload: @len bytes, DDEBUG_LOG_PAYLOAD_MAX at most; owned by the drain in
 *           any case.  The caller has checked it, including the upper bound of
 *           LOG_SIZE; the drain refuses a size below that at the start, or
 *           below that last set by ddebug_drain_resize().
 *
 * Returns: false if there is no room (a disk that hangs); otherwise an answer
 * with @id will come
 */
bool ddebug_drain_request(DdebugDrain *drain, uint16_t type, void *payload,
                          size_t len, uint64_t id);

/* Get the next answer; false if there is none. */
bool ddebug_drain_next_answer(DdebugDrain *drain, DdebugAnswer *answer);

/* Change the mode and rate, later: ddebug_log_set_mode(), _set_rate(). */
void ddebug_drain_set_policy(DdebugDrain *drain, DdebugLogMode mode,
                             uint64_t rate);

/**
 * ddebug_drain_resize: resize the log, later
 * @size: bytes, DDEBUG_LOG_SIZE_MIN to _MAX
 *
 * Replaces an earlier request that has not started.
 */
void ddebug_drain_resize(DdebugDrain *drain, uint64_t size);

/* "none", "pending", "done" or "failed: REASON"; to be freed with g_free(). */
char *ddebug_drain_resize_status(DdebugDrain *drain);

/*
 * Log an event with its first argument, after what the guest has committed so
 * far, which is copied as by ddebug_drain_withdraw().
 */
void ddebug_drain_event(DdebugDrain *drain, uint32_t event, uint64_t arg);

/* May be called by any thread. */
void ddebug_drain_counters(DdebugDrain *drain, DdebugCounters *counters);

#endif /* DDEBUG_DRAIN_H */
