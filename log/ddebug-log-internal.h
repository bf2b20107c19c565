/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the log writer share.  To be included before anything else.
 *
 * What is on disk and the numbered rules named in the parts:
 * docs/log-format.md.  What is kept in memory is a table of the slots, one
 * cursor for each type of segment, and the next numbers; all of it can be found
 * again by reading the segments' headers and the newest chunks.
 *
 * Any write may be the last one (SIGKILL), so each of them leaves a log behind
 * that the rules allow: a header is wiped before the body beneath it changes
 * hands, and written after it; the superblock is written once what it speaks
 * of is in place; the file is cut only after that.
 *
 *   -io        system calls, errors
 *   -super     geometry, superblock
 *   -load      what a former writer left
 *   -open      opening, formatting, closing
 *   -segment   the next slot
 *   -freeze    what is not overwritten
 *   -append    chunks, losses, state
 *   -rate      how much may be written when
 *   -resize    size, clear
 *   -request   requests of tools
 *   -check     what somebody else did to the file
 *   -shm       rings in the file, and what a writer that died left there
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
#include <time.h>
#include <unistd.h>

#include "ddebug-log-error.h"
#include "ddebug-log-format.h"
#include "ddebug-log-shm.h"
#include "ddebug-log-writer.h"

/*
 * What data leave free of the last segment of a log that keeps its oldest, for
 * the events that say how it went on: two dozen.
 */
#define EVENT_RESERVE 4096u

G_STATIC_ASSERT(DDEBUG_LOG_FIRST_CHUNK + sizeof(struct ddebug_log_chunk) +
                DDEBUG_LOG_PAYLOAD_MAX <= DDEBUG_LOG_SEG_SIZE_MIN);

typedef struct DdebugLogSlot {
    uint64_t seq;               /* of its segment; 0: unused */
    uint32_t type;              /* DDEBUG_LOG_SEG_*, or unknown */
    uint32_t epoch;             /* when it was begun */
    bool headless;              /* its header is damaged */
    uint32_t last_epoch;        /* it holds nothing of a later one */
} DdebugLogSlot;

/* The segment that takes the next chunk of its type. */
typedef struct DdebugLogCursor {
    bool open;
    uint64_t slot;
    uint32_t off;
} DdebugLogCursor;

struct DdebugLog {
    char *path;                     /* as it was named, for messages */
    char *where;                    /* the same, absolute */
    unsigned flags;                 /* DDEBUG_LOG_OPEN_* */
    int fd;
    struct ddebug_log_super super;  /* as it is on disk */
    uint32_t seg_size;
    uint64_t nr_segs;
    uint64_t shm_size;              /* bytes of the shared rings; 0: none */
    DdebugLogSlot *slots;           /* nr_segs of them */
    DdebugLogCursor data, dict;
    uint64_t next_seq;
    uint64_t next_chunk;
    uint32_t epoch;
    uint32_t frozen_epoch;          /* ddebug_log_freeze() was called in it */
    bool attached;                  /* the epoch was begun by this writer */
    uint64_t last_pass;
    DdebugShmSeen last_data;        /* what the newest DATA chunk says, when loaded */
    uint64_t answered;              /* id of the last request answered */
    DdebugLogMode mode;
    struct {
        uint64_t bytes;
        uint64_t untold_chunks;     /* not in an event yet */
        uint64_t untold_bytes;
    } lost[DDEBUG_LOG_NR_LOSSES];
    bool full;                      /* the last data found no room */
    void *introduction;             /* of the epoch, not written yet; or NULL */
    size_t introduction_len;
    uint64_t rate;                  /* bytes/s; 0: no limit */
    int64_t credit;                 /* bytes that may be written now */
    uint64_t credit_ns;             /* CLOCK_MONOTONIC it is of */
    bool dry;                       /* it was used up, is not half full yet */
    bool must_load;                 /* the file is not what slots says */
    bool mishap_told;               /* by ddebug_log_check(), and it goes on */
};

/* -error: these set @error, unless it is NULL, and return false. */
bool ddlog_fail(GError **error, DdebugLogError code, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);
/* @err: a positive errno, as in those below */
bool ddlog_fail_io(GError **error, const char *path, const char *what, int err);
bool ddlog_fail_space(GError **error, const char *path, uint64_t size, int err);

/* -io: 0 or a negative errno.  What lies behind the file's end reads as 0. */
int ddlog_read_at(int fd, void *buf, size_t len, uint64_t off);
int ddlog_write_at(int fd, const void *buf, size_t len, uint64_t off);
int ddlog_zero(int fd, uint64_t off, uint64_t len);
/* A positive errno, as posix_fallocate() has it. */
int ddlog_preallocate(int fd, uint64_t from, uint64_t to);
/* Where it fails the tail stays, which is not part of the log. */
void ddlog_cut(int fd, uint64_t size);
/* An open file description's lock (F_WRLCK, F_UNLCK); false with errno set. */
bool ddlog_lock_byte(int fd, uint64_t byte, short type);
uint64_t ddlog_clock_ns(clockid_t id);

/* -super */
/* Of this log, with so many segments. */
uint64_t ddlog_size_with(const DdebugLog *log, uint64_t nr_segs);
uint64_t ddlog_slot_off(const DdebugLog *log, uint64_t slot);
/* How many slots dictionary segments take at most: rule 5. */
uint64_t ddlog_dict_limit(uint64_t nr_segs);
bool ddlog_check_nr_segs(const char *path, uint64_t size, uint32_t seg_size,
                         uint64_t shm_size, GError **error);
/* Gives it the next generation; what was written last is log->super. */
int ddlog_write_super(DdebugLog *log, struct ddebug_log_super *s);
int ddlog_write_geometry(DdebugLog *log, uint64_t nr_segs);
void ddlog_super_fields(struct ddebug_log_super *s, const DdebugLogInfo *info);
/* The process that wrote the superblock, by its own word; 0 if there is none. */
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
 * The next chunk at or behind @place in segment @seq, damage skipped; its payload
 * is in @buf, or NULL if it is damaged.  @log: the one that the segment is of;
 * @buf: the whole segment.  Returns false if there is none.
 */
bool ddlog_next_chunk(const DdebugLog *log, const char *buf, uint64_t seq,
                      DdebugLogPlace *place, DdebugChunk *c);

/* -segment */
bool ddlog_is_used(const DdebugLogSlot *s, uint32_t type);
/* Rule 8: whether @s counts as unused once the log begins with @first_seg. */
bool ddlog_is_cleared(const DdebugLogSlot *s, uint64_t first_seg);
/* Slots, the one with the newest segment first. */
void ddlog_sort_desc_by_seq(const DdebugLog *log, GArray *order);
int ddlog_wipe_slot(DdebugLog *log, uint64_t slot);
DdebugLogCursor *ddlog_cursor_of(DdebugLog *log, uint32_t type);
int ddlog_begin_segment(DdebugLog *log, uint32_t type);

/* The slots with segments of a type, the newest first. */
GArray *ddlog_newest_first(const DdebugLog *log, uint32_t type);

bool ddlog_is_frozen(const DdebugLog *log, const DdebugLogSlot *s);
/* Whether messages that are frozen may refer to what is in @dict. */
bool ddlog_frozen_needs(const DdebugLog *log, const DdebugLogSlot *dict);
/* Nothing is frozen any more. */
int ddlog_thaw(DdebugLog *log);

/* -freeze */
/* In a log of @nr_segs no more are frozen than its share: the oldest go. */
void ddlog_thaw_beyond(const DdebugLog *log, uint64_t nr_segs,
                       struct ddebug_log_super *s);
/* What is frozen in a log that was opened is what a writer may have frozen. */
void ddlog_check_frozen(const DdebugLog *log, struct ddebug_log_super *s);

/* -rate */
void ddlog_charge(DdebugLog *log, size_t bytes);
/* More was written than even DDEBUG_LOG_DEBT_MAX allows. */
bool ddlog_is_overdrawn(DdebugLog *log);

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
