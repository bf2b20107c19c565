/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer of the log file that docs/log-format.md describes.
 *
 * It needs libc, GLib and ISA-L only: the device, the tool (which resizes and
 * clears the log of a VM that is not running) and the tests share it.
 *
 * A DdebugLog belongs to one thread at a time; a DdebugLogSync may be used by
 * any, also while another thread uses the log.
 * All functions may block on the disk: do not call them from a vCPU, under the
 * BQL or on QEMU's main loop.
 */
#ifndef DDEBUG_LOG_WRITER_H
#define DDEBUG_LOG_WRITER_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ddebug-log-error.h"
#include "ddebug-log-format.h"

typedef struct DdebugLog DdebugLog;

/*
 * Opens what is no name of a file but of a descriptor that was passed to this
 * process.  Constant; called by the thread that has the log.
 */
typedef struct DdebugLogOpener {
    bool (*handles)(const char *path);
    /* With @flags as of open(2); returns -1 with errno set: ENOENT if nothing
     * was passed under that name, EACCES if not with this access. */
    int (*open)(const char *path, int flags);
    void (*close)(int fd);
} DdebugLogOpener;

/*
 * The writer, for the superblock, and permissions of the file.  Not used after
 * ddebug_log_open() returns, except for @opener.
 */
typedef struct DdebugLogInfo {
    const char *vm_name;        /* cut to 64 bytes; NULL: none */
    const uint8_t *vm_uuid;     /* 16 bytes; NULL: none */
    const char *writer;         /* program and version, cut to 64 bytes */
    mode_t file_mode;           /* permissions; 0: as they are, 0600 if new */
    const gid_t *file_group;    /* NULL: as it is */
    uint64_t shm_size;          /* bytes of shared rings for a new log; an
                                 * existing one must have some.  0: any */
    bool shm_exact;             /* an existing one must have just as many */
    const DdebugLogOpener *opener;  /* NULL: all paths are names of files */
} DdebugLogInfo;

/* What to do with a chunk if all segments are used. */
typedef enum DdebugLogMode {
    DDEBUG_LOG_OVERWRITE,       /* overwrite the oldest */
    DDEBUG_LOG_DROP,            /* drop it: the oldest are kept */
} DdebugLogMode;

/* Why chunks are lost. */
typedef enum DdebugLogLoss {
    DDEBUG_LOG_LOSS_IO,         /* the file could not be written */
    DDEBUG_LOG_LOSS_FULL,       /* DDEBUG_LOG_DROP */
    DDEBUG_LOG_LOSS_RATE,       /* above the rate */
    DDEBUG_LOG_NR_LOSSES
} DdebugLogLoss;

/* The header of a DATA chunk; fields as in ddebug_log_chunk. */
typedef struct DdebugLogData {
    uint32_t epoch;             /* the epoch the span was taken in */
    uint32_t stream;
    uint32_t generation;
    uint32_t cpu;
    uint8_t context;
    uint8_t subbuf_shift;
    uint64_t pass;
    uint64_t pos;
    uint64_t produced;
    uint64_t recursed;
    uint64_t torn;
    uint64_t clamped;
} DdebugLogData;

/*
 * The largest payload of a chunk, in bytes: with its header it fits the
 * smallest segment.
 */
#define DDEBUG_LOG_PAYLOAD_MAX (64u << 10)

/*
 * A rate of R bytes/s allows R * t bytes in t seconds, and one burst on top:
 * R, but at least this many bytes, so that a few sub-buffers fit.  Once it is
 * used up, nothing is allowed until half of it is back: few long gaps instead
 * of many short ones.
 */
#define DDEBUG_LOG_BURST_MIN (256u << 10)

/*
 * The rate is checked before data are taken from a guest
 * (ddebug_log_rate_wait()).  Data already taken, the dictionary and events
 * need not wait, up to this many bytes beyond the rate.
 */
#define DDEBUG_LOG_DEBT_MAX (1u << 20)

#define DDEBUG_LOG_RATE_MAX DDEBUG_LOG_SIZE_MAX

#define DDEBUG_LOG_OPEN_CREATE 0x1u  /* create a missing file, mode 0600 */
#define DDEBUG_LOG_OPEN_OWNED  0x2u  /* it must be this user's, or root's */

/**
 * ddebug_log_open:
 * @path: the file
 * @size: the largest size of the file in bytes, DDEBUG_LOG_SIZE_MIN to _MAX; 0:
 *        as it is, or DDEBUG_LOG_SIZE_DEFAULT and @info->shm_size for a new one
 * @info: NULL: keep the VM's name and uuid, and the writer
 * @flags: DDEBUG_LOG_OPEN_*
 *
 * Lock the log, format it if it is empty, else check it, extend it if it was
 * cut short, and resize it to @size.  A file that is refused is left
 * unchanged.  Nothing is appended: the first chunk begins a segment.
 *
 * Returns: the log, to be closed with ddebug_log_close(), or NULL with @error
 * set (DDEBUG_LOG_ERROR)
 */
DdebugLog *ddebug_log_open(const char *path, uint64_t size,
                           const DdebugLogInfo *info, unsigned flags,
                           GError **error);

/**
 * ddebug_log_begin: the part of ddebug_log_open() that takes a few small reads
 * and writes: open and lock the file, and refuse what is known to be impossible
 * (no permission, in use, not a log, out of range, no space).
 *
 * Returns: the log, for ddebug_log_finish(), ddebug_log_planned_size(),
 * ddebug_log_shm_size(), ddebug_log_map_shm() and ddebug_log_close() only
 */
DdebugLog *ddebug_log_begin(const char *path, uint64_t size,
                            const DdebugLogInfo *info, unsigned flags,
                            GError **error);

/**
 * ddebug_log_finish: the rest: allocate, read what is there, resize.
 *
 * Returns: false with @error set; then the log can only be closed, which
 * removes the file if it was created
 */
bool ddebug_log_finish(DdebugLog *log, GError **error);

/* Bytes of the file once ddebug_log_finish() has returned. */
uint64_t ddebug_log_planned_size(const DdebugLog *log);

/**
 * ddebug_log_close: unlock and free the log; NULL is allowed.  Appending the
 * CLOSE event is up to the caller.
 */
void ddebug_log_close(DdebugLog *log);

/*
 * Identifies the log, in 64 bits of its uuid; never 0.  Another file has another
 * one.
 */
uint64_t ddebug_log_id(const DdebugLog *log);
/* Bytes of the file now. */
uint64_t ddebug_log_size(const DdebugLog *log);
/* Bytes for shared rings, a part of the file; 0: none. */
uint64_t ddebug_log_shm_size(const DdebugLog *log);
/* The absolute path of the file. */
const char *ddebug_log_path(const DdebugLog *log);
/*
 * A name of the file for inotify, to be freed with g_free(); @follow: whether it
 * is a link.
 */
char *ddebug_log_watch_path(const DdebugLog *log, bool *follow);
/* The newest epoch; 0 if no driver ever attached. */
uint32_t ddebug_log_epoch(const DdebugLog *log);
/* The highest pass found in the log when it was opened; 0: none. */
uint64_t ddebug_log_last_pass(const DdebugLog *log);
/* Bytes of payload lost since the log was opened, for reason @why. */
uint64_t ddebug_log_lost(const DdebugLog *log, DdebugLogLoss why);

/*
 * May be called at any time.  The default is DDEBUG_LOG_OVERWRITE and no limit.
 */
void ddebug_log_set_mode(DdebugLog *log, DdebugLogMode mode);
/* @rate: bytes a second, up to DDEBUG_LOG_RATE_MAX; 0: no limit. */
void ddebug_log_set_rate(DdebugLog *log, uint64_t rate);

/**
 * ddebug_log_rate_wait: how long to wait before taking data from the guest.
 *
 * Returns: milliseconds; 0: take them now
 */
int ddebug_log_rate_wait(DdebugLog *log);

/*
 * The append functions return 0 or a negative errno.  An error loses that one
 * chunk: its bytes are counted (ddebug_log_lost()), the next call tries again,
 * and an event that reports the loss precedes the next chunk that is written.
 * -EXFULL is no error of the file: there is no room, or the chunk exceeds the
 * rate by more than DDEBUG_LOG_DEBT_MAX.
 */

/**
 * ddebug_log_append_data: append a DATA chunk with @len bytes of @payload, 1 to
 * DDEBUG_LOG_PAYLOAD_MAX.
 */
int ddebug_log_append_data(DdebugLog *log, const DdebugLogData *data,
                           const void *payload, size_t len);

/**
 * ddebug_log_append_attach: start an epoch with the driver's attach record, 1
 * to DDEBUG_LOG_PAYLOAD_MAX bytes.  The epoch has started (ddebug_log_epoch())
 * even if an error is returned, except -EOVERFLOW: the last one was UINT32_MAX.  Without room, the record is retained and
 * written before the first data of the epoch for which there is room.
 */
int ddebug_log_append_attach(DdebugLog *log, const void *payload, size_t len);

/**
 * ddebug_log_append_dict: append dictionary entries of the newest epoch, up to
 * DDEBUG_LOG_PAYLOAD_MAX bytes.
 *
 * Returns: -EXFULL if the dictionary has no room, which is not counted as a
 * loss; -EINVAL if this writer has started no epoch
 */
int ddebug_log_append_dict(DdebugLog *log, const void *payload, size_t len);

/**
 * ddebug_log_append_event: append an EVENT chunk; @event is DDEBUG_LOG_EVENT_*,
 * which defines the arguments.
 */
int ddebug_log_append_event(DdebugLog *log, uint32_t event,
                            uint64_t arg0, uint64_t arg1, uint64_t arg2);

/**
 * ddebug_log_append_lost: count @chunks with @bytes of payload that the caller
 * dropped as if they had been lost here.
 */
void ddebug_log_append_lost(DdebugLog *log, DdebugLogLoss why, uint64_t chunks,
                            uint64_t bytes);

/**
 * ddebug_log_freeze: protect the newest data, up to a quarter of the log, from
 * being overwritten, until data of another epoch are frozen, the log is
 * cleared, or a later epoch would have no dictionary.  Called again in the
 * same epoch, it adds the data written since if the quarter has room for both.
 *
 * Returns: 0 or a negative errno; after an error the earlier range is still
 * frozen
 */
int ddebug_log_freeze(DdebugLog *log);

/**
 * ddebug_log_recover: append the messages of the newest epoch that a writer
 * which died left in the shared rings, then a RECOVERED event; empty the
 * rings.  Call it before a device shares them again.  Chunks that cannot be
 * written are counted as lost.
 *
 * Returns: the number of chunks found
 */
uint64_t ddebug_log_recover(DdebugLog *log);

/* The shared rings, mapped into memory. */
typedef struct DdebugShm {
    uint8_t *base;
    uint64_t size;
    gint refs;
} DdebugShm;

/**
 * ddebug_log_map_shm: map the shared rings, and check that stores reach the
 * file.  What is in them stays: before a guest sees them, call
 * ddebug_log_recover(), then ddebug_log_wipe_shm().
 *
 * Returns: the rings, to be released with ddebug_shm_unref(), which outlive the
 * log; or NULL with @error set (SHM, IO)
 */
DdebugShm *ddebug_log_map_shm(DdebugLog *log, GError **error);

/**
 * ddebug_log_wipe_shm: remove what an earlier guest left in the shared rings,
 * and take all the space that they need.
 *
 * Returns: true, or false with @error set (IO)
 */
bool ddebug_log_wipe_shm(DdebugLog *log, GError **error);
DdebugShm *ddebug_shm_ref(DdebugShm *shm);
void ddebug_shm_unref(DdebugShm *shm);

/* Returns whether a log may have @size bytes; if not, sets @error (SIZE). */
bool ddebug_log_check_size(uint64_t size, GError **error);

/**
 * ddebug_log_resize: resize the file to the largest possible size of at most
 * @size bytes, and append a SIZE event.  The newest data that fit are kept, in
 * any mode.
 *
 * Returns: true, or false with @error set (SIZE, SPACE, IO) and the log
 * unchanged; after IO, data that shrinking was to drop may be gone
 */
bool ddebug_log_resize(DdebugLog *log, uint64_t size, GError **error);

/**
 * ddebug_log_clear: hide all data, and append a CLEAR event.
 */
bool ddebug_log_clear(DdebugLog *log, GError **error);

/**
 * ddebug_log_poll_request: look for an unanswered request from a tool.
 *
 * Returns: whether there is one, in @request
 */
bool ddebug_log_poll_request(DdebugLog *log, DdebugLogRequest *request);

/**
 * ddebug_log_serve_request: carry out @request and reply; an unknown type is
 * answered with EOPNOTSUPP.
 */
void ddebug_log_serve_request(DdebugLog *log, const DdebugLogRequest *request);

/**
 * ddebug_log_write_state: tell readers that all passes up to @settled_pass are
 * complete in the log.  Returns 0 or a negative errno.
 */
int ddebug_log_write_state(DdebugLog *log, uint64_t settled_pass);

/*
 * Getting the log to the disk.  The writer never waits for this, except when
 * the log is made smaller.
 */
typedef struct DdebugLogSync DdebugLogSync;

/* Seconds after which what was written is synced, at the latest. */
#define DDEBUG_LOG_SYNC_INTERVAL_MAX 3600u

typedef struct DdebugLogSyncCounters {
    uint64_t syncs;             /* since the log was opened */
    uint64_t errors;            /* of these, that failed */
} DdebugLogSyncCounters;

/**
 * ddebug_log_sync_new: have the log synced; once for each log
 * @interval_s: 1 to DDEBUG_LOG_SYNC_INTERVAL_MAX
 *
 * Nothing is synced until a thread calls ddebug_log_sync_run().
 *
 * Returns: to be released with ddebug_log_sync_unref(); may outlive the log
 */
DdebugLogSync *ddebug_log_sync_new(DdebugLog *log, uint32_t interval_s);
DdebugLogSync *ddebug_log_sync_ref(DdebugLogSync *sync);
void ddebug_log_sync_unref(DdebugLogSync *sync);

/**
 * ddebug_log_sync_run: sync the log when a segment is full, and @interval_s
 * after the first change since the last sync.  Sleeps while nothing changes.
 *
 * Returns once the log is closed and synced.
 */
void ddebug_log_sync_run(DdebugLogSync *sync);

/* Returns whether ddebug_log_sync_run() returned within @timeout_ms. */
bool ddebug_log_sync_wait(DdebugLogSync *sync, int timeout_ms);

/*
 * Write to @eventfd, which is duplicated, after each failure, for the writer to
 * call ddebug_log_sync_error().
 */
void ddebug_log_sync_notify(DdebugLogSync *sync, int eventfd);

void ddebug_log_sync_counters(DdebugLogSync *sync,
                              DdebugLogSyncCounters *counters);

/**
 * ddebug_log_sync_error: append a SYNC_LOST event for syncs that have failed;
 * the append functions do so as well.
 *
 * Returns: the errno of the last failure since the last call; 0: there was none
 */
int ddebug_log_sync_error(DdebugLog *log);

/**
 * ddebug_log_check: check whether another program cut short or removed the
 * file, and repair it.  A file that was cut short is extended again (what was
 * cut off is lost).  A file that was removed is replaced by a new one once its
 * name is free; numbers go on, and the dictionary of the present epoch is
 * copied.  A file that was renamed is kept.
 *
 * Returns: true if all is well; false with @error set, once for each incident
 */
bool ddebug_log_check(DdebugLog *log, GError **error);

#endif /* DDEBUG_LOG_WRITER_H */
