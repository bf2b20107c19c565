/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The drain: a thread that copies what the guest has written into its rings to
 * the log, and what the device hands over to it.
 *
 * Every function in here is called with the BQL held and returns at once,
 * unless it says otherwise: it may wait for one copy of at most a sub-buffer,
 * never for the disk.
 */
#ifndef DDEBUG_DRAIN_H
#define DDEBUG_DRAIN_H

#include "exec/memory.h"
#include "ddebug-stream.h"

typedef struct DdebugDrain DdebugDrain;

/* An answer to ddebug_drain_request(). */
typedef struct DdebugAnswer {
    uint64_t id;
    uint32_t status;            /* VIRTIO_DDEBUG_S_* */
    uint64_t value;
} DdebugAnswer;

/* Counters since the drain was started; read without the lock. */
typedef struct DdebugCounters {
    uint64_t wakeups;           /* times the thread has come out of its sleep */
    uint64_t passes;            /* looks at all streams that found something */
    uint64_t chunks;            /* DATA chunks in the log */
    uint64_t bytes;             /* of their payload */
    uint64_t io_lost;           /* bytes that could not be written */
    uint64_t full_lost;         /* bytes that a full log did not take */
    uint64_t rate_lost;         /* bytes that exceeded the rate */
    uint64_t streams;           /* posted now */
    uint64_t log_size;          /* bytes of the file */
} DdebugCounters;

/**
 * ddebug_drain_start: starts the thread, paused.
 * @log: becomes the thread's, unless NULL is returned
 * @shm: in which streams may lie; NULL: none do
 * @freeze_on_panic: what led to a panic is kept (ddebug_log_freeze())
 * @notify: called by the thread, with the drain's lock, when there is an answer
 *          to fetch or the size of the log has changed; it may only schedule
 *          that
 */
DdebugDrain *ddebug_drain_start(DdebugLog *log, DdebugShm *shm,
                                bool freeze_on_panic,
                                void (*notify)(void *opaque), void *opaque,
                                Error **errp);

/**
 * ddebug_drain_stop: lets the thread write what was handed over, then the
 * CLOSE event, and end.  All streams must be forgotten.  Waits for it at most
 * @timeout_ms; where that is not enough (a disk that hangs) the rest is given
 * up with a warning.  @drain must not be used any more.
 */
void ddebug_drain_stop(DdebugDrain *drain, int timeout_ms);

/* Makes the thread look at the streams. */
void ddebug_drain_kick(DdebugDrain *drain);

/**
 * ddebug_drain_add: @st is posted.  Returns false, and takes nothing, if a
 * stream of that id and generation is there already, or two of that id.
 */
bool ddebug_drain_add(DdebugDrain *drain, DdebugStream *st);

/**
 * ddebug_drain_pause: copies what is in the rings, as far as there is room
 * for it, and lets the thread leave the guest's memory alone until
 * ddebug_drain_resume().
 * @out_of_reach: ddebug_drain_forget() has to leave it alone too
 */
void ddebug_drain_pause(DdebugDrain *drain, bool out_of_reach);
void ddebug_drain_resume(DdebugDrain *drain);

/**
 * ddebug_drain_forget: copies what is in the rings and takes away the streams
 * of @queue, or all if it is DDEBUG_DRAIN_ALL.  What did not fit into the room
 * there is for it is counted as lost.
 *
 * Returns: an array of DdebugStream, to be freed.
 */
#define DDEBUG_DRAIN_ALL UINT_MAX
GPtrArray *ddebug_drain_forget(DdebugDrain *drain, unsigned queue);

/* False: so many retired streams wait for the disk that no more are kept. */
bool ddebug_drain_may_retire(DdebugDrain *drain);

/**
 * ddebug_drain_retire: copies what is in the rings and takes away the stream of
 * that @id and @generation.  What did not fit into the room there is for it is
 * counted as lost.
 * @request: of a stream in shared memory an answer with this id comes when all
 *           that was copied is in the log: until then the ring is what keeps it
 *
 * Returns: the stream, to be freed; NULL if there is none
 */
DdebugStream *ddebug_drain_retire(DdebugDrain *drain, uint32_t id,
                                  uint32_t generation, uint64_t request);

/**
 * ddebug_drain_end_session: the driver is gone; streams are not drained until
 * the next ATTACH.
 */
void ddebug_drain_end_session(DdebugDrain *drain);

/**
 * ddebug_drain_request: an ATTACH or DICT for the log, or a LOG_SIZE that is
 * not too much: what is less than the log's size at the start, or than
 * ddebug_drain_resize() has given it since, is refused when its turn comes.
 * @payload: @len bytes, up to DDEBUG_LOG_PAYLOAD_MAX; becomes the drain's
 *
 * Returns: false if there is no room to keep it (a disk that hangs); else an
 * answer with @id will come.
 */
bool ddebug_drain_request(DdebugDrain *drain, uint16_t type, void *payload,
                          size_t len, uint64_t id);

/* The next answer, if there is one. */
bool ddebug_drain_next_answer(DdebugDrain *drain, DdebugAnswer *answer);

/* Another ddebug_log_set_mode() and ddebug_log_set_rate(). */
void ddebug_drain_set_policy(DdebugDrain *drain, DdebugLogMode mode,
                             uint64_t rate);

/**
 * ddebug_drain_resize: gives the log another size, later; one that was asked
 * for before and is not begun is forgotten.
 * @size: bytes, DDEBUG_LOG_SIZE_MIN to _MAX
 */
void ddebug_drain_resize(DdebugDrain *drain, uint64_t size);

/* How it went: "none", "pending", "done" or "failed: why"; to be freed. */
char *ddebug_drain_resize_status(DdebugDrain *drain);

/*
 * An event for the log, with its first argument; what the guest has committed
 * by now comes before it.
 */
void ddebug_drain_event(DdebugDrain *drain, uint32_t event, uint64_t arg);

/* Any thread. */
void ddebug_drain_counters(DdebugDrain *drain, DdebugCounters *counters);

#endif /* DDEBUG_DRAIN_H */
