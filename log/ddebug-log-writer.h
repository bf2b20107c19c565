/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer of the log file that docs/log-format.md describes.
 *
 * It needs libc and GLib only, so that one source serves the device, the tool
 * (which resizes and clears the log of a VM that does not run) and the tests.
 *
 * A DdebugLog belongs to one thread at a time; nothing in here locks.  All
 * functions may block on the disk: none may be called by a vCPU, under the
 * BQL or on QEMU's main loop, except ddebug_log_open() while the device is
 * being realized.
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
 * Who writes, which is put into the superblock, and who else may open the
 * file.  Not kept after ddebug_log_open().
 */
typedef struct DdebugLogInfo {
    const char *vm_name;        /* cut to 64 bytes; NULL: none */
    const uint8_t *vm_uuid;     /* 16 bytes; NULL: none */
    const char *writer;         /* program and version, cut to 64 bytes */
    mode_t file_mode;           /* permissions; 0: as they are, 0600 if new */
    const gid_t *file_group;    /* NULL: as it is */
    uint64_t shm_size;          /* bytes for shared rings, that the log must
                                 * have; a new one gets so many.  0: never mind */
    bool shm_exact;             /* as many, in one that is there as well */
} DdebugLogInfo;

/* What becomes of a chunk that no segment is left for. */
typedef enum DdebugLogMode {
    DDEBUG_LOG_OVERWRITE,       /* it takes the place of the oldest */
    DDEBUG_LOG_DROP,            /* it is given up: the oldest are kept */
} DdebugLogMode;

/* Why chunks are given up. */
typedef enum DdebugLogLoss {
    DDEBUG_LOG_LOSS_IO,         /* the file could not be written */
    DDEBUG_LOG_LOSS_FULL,       /* DDEBUG_LOG_DROP */
    DDEBUG_LOG_LOSS_RATE,       /* above the rate */
    DDEBUG_LOG_NR_LOSSES
} DdebugLogLoss;

/* The device's word on a span of a stream; fields as in ddebug_log_chunk. */
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
 * What one chunk may carry at most, in bytes: with its header it fits the
 * smallest segment.
 */
#define DDEBUG_LOG_PAYLOAD_MAX (64u << 10)

/*
 * A rate of R bytes a second lets R * t bytes through in t seconds, and one
 * burst on top: R, but not less than this many bytes, so that a few sub-buffers
 * fit.  Who has used it up has to wait until half of it is there again: few
 * long gaps instead of many short ones.
 */
#define DDEBUG_LOG_BURST_MIN (256u << 10)

/*
 * The rate is asked for before data are taken from a guest
 * (ddebug_log_rate_wait()).  What has been taken, the dictionary and events
 * need not wait, but not more of them than this.
 */
#define DDEBUG_LOG_DEBT_MAX (1u << 20)

#define DDEBUG_LOG_RATE_MAX DDEBUG_LOG_SIZE_MAX

#define DDEBUG_LOG_OPEN_CREATE 0x1u  /* make a missing file, of mode 0600 */
#define DDEBUG_LOG_OPEN_OWNED  0x2u  /* it must be this user's, or root's */

/**
 * ddebug_log_open:
 * @path: the file
 * @size: bytes the file may take, DDEBUG_LOG_SIZE_MIN to _MAX; 0: as it is, or
 *        DDEBUG_LOG_SIZE_DEFAULT for a new one
 * @info: who writes; NULL: VM's name and uuid, and the writer, stay as they are
 * @flags: DDEBUG_LOG_OPEN_*
 *
 * Takes the log: locks it, formats it if it is empty, checks it if it is not,
 * extends it if it was cut short, and gives it the size asked for.  What it
 * refuses, it leaves as it was.  Nothing is appended: the first chunk begins a
 * segment.
 *
 * Returns: the log, to be given back with ddebug_log_close(), or NULL with
 * @error set.
 */
DdebugLog *ddebug_log_open(const char *path, uint64_t size,
                           const DdebugLogInfo *info, unsigned flags,
                           GError **error);

/**
 * ddebug_log_close: unlocks and frees the log.  NULL is allowed.  The CLOSE
 * event is the caller's.
 */
void ddebug_log_close(DdebugLog *log);

/* Bytes of the file now. */
uint64_t ddebug_log_size(const DdebugLog *log);
/* Bytes for shared rings, a part of the file; 0: none. */
uint64_t ddebug_log_shm_size(const DdebugLog *log);
/* Where the file lies: absolute, whatever the working directory becomes. */
const char *ddebug_log_path(const DdebugLog *log);
/* The newest epoch; 0 if no driver ever attached. */
uint32_t ddebug_log_epoch(const DdebugLog *log);
/* The highest pass found in the log when it was opened; 0: none. */
uint64_t ddebug_log_last_pass(const DdebugLog *log);
/* Bytes of payload that were given up since the log was opened, for @why. */
uint64_t ddebug_log_lost(const DdebugLog *log, DdebugLogLoss why);

/* At any time; at first DDEBUG_LOG_OVERWRITE, and no limit. */
void ddebug_log_set_mode(DdebugLog *log, DdebugLogMode mode);
/* @rate: bytes a second, up to DDEBUG_LOG_RATE_MAX; 0: no limit. */
void ddebug_log_set_rate(DdebugLog *log, uint64_t rate);

/**
 * ddebug_log_rate_wait: how long to wait before data are taken from the guest,
 * so that the rate is kept.
 *
 * Returns: milliseconds; 0: now is the time
 */
int ddebug_log_rate_wait(DdebugLog *log);

/*
 * The functions that append return 0 or a negative errno.  An error costs that
 * one chunk: its bytes are counted (ddebug_log_lost()), the next call tries
 * again, and an event that says so precedes the first chunk that succeeds.
 * -EXFULL: there is no room for it, or it exceeds the rate by more than
 * DDEBUG_LOG_DEBT_MAX; no error, then, of the file.
 */

/**
 * ddebug_log_append_data: @len bytes of @payload, 1 to DDEBUG_LOG_PAYLOAD_MAX,
 * as a DATA chunk.
 */
int ddebug_log_append_data(DdebugLog *log, const DdebugLogData *data,
                           const void *payload, size_t len);

/**
 * ddebug_log_append_attach: begins an epoch with the driver's introduction, up
 * to DDEBUG_LOG_PAYLOAD_MAX bytes.  The epoch has begun (ddebug_log_epoch())
 * also where an error is returned.  Where there is no room for it, it is kept,
 * and written before the first data of the epoch that there is room for.
 */
int ddebug_log_append_attach(DdebugLog *log, const void *payload, size_t len);

/**
 * ddebug_log_append_dict: dictionary entries, up to DDEBUG_LOG_PAYLOAD_MAX
 * bytes, of the newest epoch.
 *
 * Returns: -EXFULL if there is no room in the dictionary, and then nothing is
 * counted as lost; -EINVAL if no epoch was begun by this writer.
 */
int ddebug_log_append_dict(DdebugLog *log, const void *payload, size_t len);

/**
 * ddebug_log_append_event: an EVENT chunk; @event is DDEBUG_LOG_EVENT_*, what
 * the arguments mean depends on it.
 */
int ddebug_log_append_event(DdebugLog *log, uint32_t event,
                            uint64_t arg0, uint64_t arg1, uint64_t arg2);

/**
 * ddebug_log_append_lost: @chunks with @bytes of payload were given up by the
 * caller before they came here; counted as if that had happened here.
 */
void ddebug_log_append_lost(DdebugLog *log, DdebugLogLoss why, uint64_t chunks,
                            uint64_t bytes);

/**
 * ddebug_log_freeze: keeps the newest data, up to a quarter of the log, from
 * being overwritten, until that of another epoch is frozen, the log is cleared,
 * or a later epoch would have no dictionary.  Called again in the same epoch it keeps what came since as well, as
 * far as that leaves room for what it keeps already.
 *
 * Returns: 0 or a negative errno, and then what was frozen before still is.
 */
int ddebug_log_freeze(DdebugLog *log);

/**
 * ddebug_log_recover: appends what a writer that died has left in the shared
 * rings, of the newest epoch, and an event that says so (RECOVERED); then nothing
 * is left there.  To be called before a device shares them again.  What cannot be
 * written is counted as lost.
 *
 * Returns: chunks that were found
 */
uint64_t ddebug_log_recover(DdebugLog *log);

/* The shared rings, mapped into memory. */
typedef struct DdebugShm {
    uint8_t *base;
    uint64_t size;
    gint refs;
} DdebugShm;

/**
 * ddebug_log_map_shm: maps the shared rings, wipes what a former guest has left
 * there (ddebug_log_recover() comes first), and makes sure that what is stored there
 * is what the file has.
 *
 * Returns: the rings, to be given back with ddebug_shm_unref(), for which the log
 * need not be open any more; or NULL with @error set (SHM, IO)
 */
DdebugShm *ddebug_log_map_shm(DdebugLog *log, GError **error);
DdebugShm *ddebug_shm_ref(DdebugShm *shm);
void ddebug_shm_unref(DdebugShm *shm);

/* Whether a log may have @size bytes; else false with @error set (SIZE). */
bool ddebug_log_check_size(uint64_t size, GError **error);

/**
 * ddebug_log_resize: gives the file the greatest size that is not above @size
 * and appends a SIZE event.  Keeps the newest that fits, in any mode.
 *
 * Returns: true, or false with @error set (SIZE, SPACE, IO) and the log as it
 * was; after IO, what was to go when shrinking may be gone.
 */
bool ddebug_log_resize(DdebugLog *log, uint64_t size, GError **error);

/**
 * ddebug_log_clear: hides all data there is, and appends a CLEAR event.
 */
bool ddebug_log_clear(DdebugLog *log, GError **error);

/**
 * ddebug_log_poll_request: looks for a request of a tool that was not answered.
 *
 * Returns: whether there is one, in @request.
 */
bool ddebug_log_poll_request(DdebugLog *log, DdebugLogRequest *request);

/**
 * ddebug_log_serve_request: does what @request says, for any type, and answers
 * it (an unknown type with EOPNOTSUPP).
 */
void ddebug_log_serve_request(DdebugLog *log, const DdebugLogRequest *request);

/**
 * ddebug_log_write_state: tells readers that everything of passes up to
 * @settled_pass is in the log.  Returns 0 or a negative errno.
 */
int ddebug_log_write_state(DdebugLog *log, uint64_t settled_pass);

/**
 * ddebug_log_check: looks whether the file was cut short or removed under the
 * writer.  A file cut short is made whole again (what was cut is lost).  In
 * place of one that was removed a new one is begun, with the numbers and the
 * dictionary of the present epoch, once nothing else has its name.  A file that
 * was renamed is written on under its new name.
 *
 * Returns: true if all is well; false with @error set, once for each mishap.
 */
bool ddebug_log_check(DdebugLog *log, GError **error);

#endif /* DDEBUG_LOG_WRITER_H */
