/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by the parts of the log writer.  Include it first: it asks libc for
 * its GNU interfaces.
 *
 * docs/log-format.md describes the file, and the numbered rules that comments
 * refer to.  In memory are a table of the slots, a cursor for each type of
 * segment, and the next numbers; all can be rebuilt from the segments' headers
 * and the newest chunks.
 *
 * Any write may be the last one (SIGKILL), so each leaves a valid log: a
 * header is wiped before the body below it is reused, and written after it;
 * the superblock is written once what it refers to is in place; the file is
 * cut only after that.
 *
 * The parts, from the top; each calls only those below its line:
 *
 *   -check     repairing what another program did to the file
 *   -open      opening, formatting, closing
 *   -request   requests from tools
 *   -resize    size, clear
 *   -shm       shared rings, and what a dead writer left there
 *   -load      what an earlier writer left
 *   -freeze    data that are not overwritten
 *   -append    chunks, losses, state
 *   -segment   the next slot
 *   -space     taking space in the file
 *   -rate      the rate limit
 *   -super     geometry, superblock
 *   -sync      getting it to the disk
 *   -io        system calls
 *   -origin    which file it is
 *   -error     errors
 *   -format    the rules about bytes, which readers share
 */
#ifndef DDEBUG_LOG_INTERNAL_H
#define DDEBUG_LOG_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "ddebug-log-error.h"
#include "ddebug-log-format.h"
#include "ddebug-log-shm.h"
#include "ddebug-log-writer.h"

/*
 * In DROP mode data leave this much of the last segment to later events: two
 * dozen.
 */
#define EVENT_RESERVE 4096u

G_STATIC_ASSERT(DDEBUG_LOG_FIRST_CHUNK + sizeof(struct ddebug_log_chunk) +
                DDEBUG_LOG_PAYLOAD_MAX <= DDEBUG_LOG_SEG_SIZE_MIN);

typedef struct DdebugLogSlot {
    uint64_t seq;               /* of its segment; 0: unused */
    uint32_t type;              /* DDEBUG_LOG_SEG_*, or unknown */
    uint32_t epoch;             /* when it was begun */
    uint32_t tag;               /* of its chunks; 0: any */
    bool headless;              /* its header is damaged */
    uint32_t last_epoch;        /* it has no chunk of a later one */
} DdebugLogSlot;

/* The segment that takes the next chunk of its type. */
typedef struct DdebugLogCursor {
    bool open;
    uint64_t slot;
    uint32_t off;
    uint32_t remains_end;       /* a write that failed may have got this far */
} DdebugLogCursor;

/* Chunks that may not be on disk, which no event reports yet. */
typedef struct DdebugLogUnsynced {
    uint64_t first, last;       /* their chunk_seq; first 0: none */
    int error;                  /* errno; 0: they are missing from the file */
    uint64_t failures;          /* syncs that failed until now */
} DdebugLogUnsynced;

/* What ddebug_log_begin() leaves to ddebug_log_finish(). */
typedef struct DdebugLogOpening {
    bool pending;
    bool is_new;                    /* the file was empty: format it */
    bool created;                   /* by us: remove it if that fails */
    uint64_t have;                  /* bytes of the file */
    uint64_t nr_segs;               /* to have in the end */
    struct ddebug_log_super super;  /* to write, unless it is_new */
} DdebugLogOpening;

struct DdebugLog {
    char *path;                     /* as given, for messages */
    char *where;                    /* the same, absolute */
    unsigned flags;                 /* DDEBUG_LOG_OPEN_* */
    const DdebugLogOpener *opener;  /* of the path; NULL: a name of a file */
    int fd;
    int folder_fd;                  /* of a new file, for its sync; or -1 */
    DdebugLogSync *sync;            /* NULL: nobody syncs the log */
    DdebugLogUnsynced missing;      /* since before it was opened */
    int sync_error;                 /* errno of a failure; 0: none, or told */
    uint64_t sync_failures;         /* after which headers were written again */
    uint64_t synced_before;         /* as an earlier writer has recorded */
    bool lent;                      /* fd is the opener's, shared with others */
    bool locked;
    DdebugLogOpening opening;
    struct ddebug_log_super super;  /* as it is on disk */
    uint32_t seg_size;
    uint64_t nr_segs;
    uint64_t shm_size;              /* bytes of the shared rings; 0: none */
    DdebugLogSlot *slots;           /* nr_segs of them */
    DdebugLogCursor data, dict;
    uint64_t next_seq;
    uint64_t next_chunk;
    uint32_t epoch;
    uint32_t frozen_epoch;          /* of the last ddebug_log_freeze() */
    bool attached;                  /* the epoch was begun by this writer */
    uint64_t last_pass;
    DdebugShmSeen last_data;        /* of the newest DATA chunk when loaded */
    uint64_t answered;              /* id of the last request answered */
    DdebugLogMode mode;
    struct {
        uint64_t bytes;
        uint64_t unreported_chunks; /* in no event yet */
        uint64_t unreported_bytes;
    } lost[DDEBUG_LOG_NR_LOSSES];
    bool full;                      /* the last data found no room */
    void *attach_record;            /* of the epoch, if not written yet */
    size_t attach_record_len;
    uint64_t rate;                  /* bytes/s; 0: no limit */
    int64_t credit;                 /* bytes that may be written now */
    uint64_t upkeep;                /* bytes of it that upkeep has taken */
    uint64_t credit_ns;             /* CLOCK_MONOTONIC it is of */
    bool dry;                       /* used up, and not half full again */
    bool must_load;                 /* slots is out of date */
    bool error_reported;            /* by ddebug_log_check(), and it persists */
};

/* -error: these set @error, unless it is NULL, and return false. */
bool ddlog_fail(GError **error, DdebugLogError code, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);
/* @err: a positive errno, as in those below */
bool ddlog_fail_io(GError **error, const char *path, const char *what, int err);
bool ddlog_fail_space(GError **error, const char *path, uint64_t size, int err);

/* -io: these return 0 or a negative errno.  Beyond the end, zeros are read. */
int ddlog_read_at(int fd, void *buf, size_t len, uint64_t off);
int ddlog_write_at(int fd, const void *buf, size_t len, uint64_t off);
/* If it fails, the tail stays, which is not part of the log. */
void ddlog_cut(int fd, uint64_t size);
/* An open file description's lock (F_WRLCK, F_UNLCK); false with errno set. */
bool ddlog_lock_byte(int fd, uint64_t byte, short type);
/* @opener: whose @fd is, or NULL */
void ddlog_close_fd(int fd, const DdebugLogOpener *opener);
/* The kernel's name for @fd, to be freed with g_free(). */
char *ddlog_fd_name(int fd);
uint64_t ddlog_clock_ns(clockid_t id);

/* -sync */
/* The log was opened wholly. */
void ddlog_note_opened(DdebugLog *log);
/* A chunk was written; @is_change: it is to be synced. */
void ddlog_note_chunk(DdebugLog *log, bool is_change);
/* So was a superblock. */
void ddlog_note_super(DdebugLog *log);
/* A segment is full: sync it now. */
void ddlog_note_full_segment(DdebugLog *log);
/* The log has another file, with log->fd. */
void ddlog_note_replaced(DdebugLog *log);
/* Wait for the disk.  Returns 0 or a negative errno. */
int ddlog_sync_now(DdebugLog *log);
/* Whether a failure is to be reported, @u. */
bool ddlog_get_unsynced(DdebugLog *log, DdebugLogUnsynced *u);
/* @u: from ddlog_get_unsynced() */
void ddlog_unsynced_reported(DdebugLog *log, const DdebugLogUnsynced *u);
/* log->fd is closed by the last user of log->sync. */
void ddlog_end_sync(DdebugLog *log);
/* Compare what an earlier writer had written with what was found. */
void ddlog_load_sync(DdebugLog *log);

/* -super */
/* Of the file, in bytes, if it had @nr_segs. */
uint64_t ddlog_size_with(const DdebugLog *log, uint64_t nr_segs);
uint64_t ddlog_slot_off(const DdebugLog *log, uint64_t slot);
/* The most slots that dictionary segments may take: rule 5. */
uint64_t ddlog_dict_limit(uint64_t nr_segs);
bool ddlog_check_nr_segs(const char *path, uint64_t size, uint32_t seg_size,
                         uint64_t shm_size, GError **error);
/* Writes @s with the next generation; then it is log->super. */
int ddlog_write_super(DdebugLog *log, struct ddebug_log_super *s);
int ddlog_write_geometry(DdebugLog *log, uint64_t nr_segs);
/* @info: NULL if a tool has the log, which is no writer that could have died */
void ddlog_super_fields(const DdebugLog *log, struct ddebug_log_super *s,
                        const DdebugLogInfo *info);
/* The writer that the superblock names, which may be gone; 0 if none counts. */
uint32_t ddlog_writer_pid(const DdebugLog *log);
bool ddlog_read_super(DdebugLog *log, GError **error);

/* -load */
bool ddlog_load_slots(DdebugLog *log, GError **error);
void ddlog_load_state(DdebugLog *log);
/* How far a segment was read. */
typedef struct DdebugLogPlace {
    uint32_t off;               /* of the next chunk */
    uint32_t doubts;            /* see ddebug_log_skip_damage() */
} DdebugLogPlace;

static inline DdebugLogPlace ddlog_first_place(const DdebugLog *log)
{
    return (DdebugLogPlace) { DDEBUG_LOG_FIRST_CHUNK, log->seg_size };
}

/*
 * The next chunk at or behind @place in the segment of @slot, damage skipped; its
 * payload is in @buf, or NULL if it is damaged.  @log: the one that the
 * segment is of;
 * @buf: the whole segment.  Returns false if there is none.
 */
bool ddlog_next_chunk(const DdebugLog *log, const char *buf,
                      const DdebugLogSlot *slot, DdebugLogPlace *place,
                      DdebugChunk *c);

/* -segment */
bool ddlog_is_used(const DdebugLogSlot *s, uint32_t type);
/* Rule 8: whether @s counts as unused once the log begins with @first_seg. */
bool ddlog_is_cleared(const DdebugLogSlot *s, uint64_t first_seg);
/* Slots, the one with the newest segment first. */
void ddlog_sort_desc_by_seq(const DdebugLog *log, GArray *order);
int ddlog_wipe_slot(DdebugLog *log, uint64_t slot);
DdebugLogCursor *ddlog_cursor_of(DdebugLog *log, uint32_t type);
int ddlog_begin_segment(DdebugLog *log, uint32_t type);
/*
 * Write the headers of the segments in use again, which a failed sync may have
 * lost: without them nothing that follows could be found.
 */
int ddlog_rewrite_headers(DdebugLog *log);

/* The slots with segments of a type, the newest first. */
GArray *ddlog_newest_first(const DdebugLog *log, uint32_t type);

bool ddlog_is_frozen(const DdebugLog *log, const DdebugLogSlot *s);
/* Whether frozen messages may refer to entries of @dict. */
bool ddlog_frozen_needs(const DdebugLog *log, const DdebugLogSlot *dict);
/* Unfreeze everything.  Returns 0 or a negative errno. */
int ddlog_thaw(DdebugLog *log);

/* -freeze */
/* Unfreeze the oldest beyond the share of a log of @nr_segs. */
void ddlog_thaw_beyond(const DdebugLog *log, uint64_t nr_segs,
                       struct ddebug_log_super *s);
/* Unfreeze what no writer can have frozen, in a log that was opened. */
void ddlog_check_frozen(const DdebugLog *log, struct ddebug_log_super *s);

/* -rate */
void ddlog_charge(DdebugLog *log, size_t bytes);
/*
 * For what is written besides chunks: zeros, and segments that move.  Data wait
 * for it, but it takes nothing from what other chunks may be written in advance.
 */
void ddlog_charge_upkeep(DdebugLog *log, size_t bytes);
/* Whether more was written than even DDEBUG_LOG_DEBT_MAX allows. */
bool ddlog_is_overdrawn(DdebugLog *log);

/* -space; zeros return 0 or a negative errno */
int ddlog_zero(DdebugLog *log, uint64_t off, uint64_t len);
/*
 * These return a positive errno, for ddlog_fail_space().  The former says
 * whether a file that has @from bytes may have @to of them, as far as that can
 * be known without trying.
 */
int ddlog_check_room(int fd, uint64_t from, uint64_t to);
int ddlog_preallocate(DdebugLog *log, uint64_t from, uint64_t to);

/* -append */
int ddlog_write_chunk(DdebugLog *log, uint32_t seg_type,
                      struct ddebug_log_chunk *c, const void *payload,
                      size_t len);
int ddlog_write_event(DdebugLog *log, uint32_t event, uint64_t arg0,
                      uint64_t arg1, uint64_t arg2);

/* -resize */
bool ddlog_set_nr_segs(DdebugLog *log, uint64_t nr_segs, GError **error);

/* -request */
int ddlog_drop_stale_request(DdebugLog *log);

#endif /* DDEBUG_LOG_INTERNAL_H */
