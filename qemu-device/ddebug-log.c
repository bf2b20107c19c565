/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer of the log file.
 *
 * What is on disk and the numbered rules named below: docs/log-format.md.
 * What is kept in memory is a table of the slots, one cursor for each type of
 * segment, and the next numbers; all of it can be found again by reading the
 * segments' headers and the newest chunks.
 *
 * Any write may be the last one (SIGKILL), so each of them leaves a log behind
 * that the rules allow: a header is wiped before the body beneath it changes
 * hands, and written after it; the superblock is written once what it speaks
 * of is in place; the file is cut only after that.
 */
#if __has_include("qemu/osdep.h")
#include "qemu/osdep.h"
#include "qemu/crc32c.h"
#define ddebug_crc32c(data, len) \
    crc32c(0xffffffff, (const uint8_t *)(data), len)
#else
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#define ddebug_crc32c(data, len) \
    (crc32_iscsi((unsigned char *)(data), len, 0xffffffff) ^ 0xffffffff)
#endif
#include <sys/uio.h>

#include "ddebug-log.h"

#define MIB (1ull << 20)

/* What the header of a segment leaves free. */
#define FIRST_CHUNK ((uint32_t)sizeof(struct ddebug_log_seg))

/* A chunk's payload is padded so that the next header is aligned. */
#define CHUNK_ALIGN 8u

G_STATIC_ASSERT(FIRST_CHUNK + sizeof(struct ddebug_log_chunk) +
                DDEBUG_LOG_PAYLOAD_MAX <= DDEBUG_LOG_SEG_SIZE_MIN);

typedef struct DdebugLogSlot {
    uint64_t seq;               /* of its segment; 0: unused */
    uint32_t type;
    uint32_t epoch;             /* when it was begun */
    uint32_t last_epoch;        /* it holds nothing of a later one */
} DdebugLogSlot;

/* The segment that takes the next chunk of its type. */
typedef struct DdebugLogCursor {
    bool open;
    uint64_t slot;
    uint32_t off;
} DdebugLogCursor;

struct DdebugLog {
    char *path;
    int fd;
    struct ddebug_log_super super;  /* as it is on disk */
    uint32_t seg_size;
    uint64_t nr_segs;
    DdebugLogSlot *slots;           /* nr_segs of them */
    DdebugLogCursor data, dict;
    uint64_t next_seq;
    uint64_t next_chunk;
    uint32_t epoch;
    bool attached;                  /* the epoch was begun by this writer */
    uint64_t last_pass;
    uint64_t answered;              /* id of the last request answered */
    uint64_t io_lost;               /* bytes */
    uint64_t untold_chunks;         /* lost, and not in an IO_LOST event yet */
    uint64_t untold_bytes;
    bool removal_told;
};

G_DEFINE_QUARK(ddebug-log-error-quark, ddebug_log_error)

/* Positioned input and output; 0 or a negative errno. */

static int read_at(int fd, void *buf, size_t len, uint64_t off)
{
    while (len) {
        ssize_t n = pread(fd, buf, len, off);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            /* Behind the end lies what a hole would hold. */
            memset(buf, 0, len);
            return 0;
        }
        buf = (char *)buf + n;
        off += n;
        len -= n;
    }
    return 0;
}

static int write_at(int fd, const void *buf, size_t len, uint64_t off)
{
    while (len) {
        ssize_t n = pwrite(fd, buf, len, off);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        buf = (const char *)buf + n;
        off += n;
        len -= n;
    }
    return 0;
}

/* Positive errno, as posix_fallocate() has it. */
static int preallocate(int fd, uint64_t from, uint64_t to)
{
    int err;

    do {
        err = posix_fallocate(fd, from, to - from);
    } while (err == EINTR);
    return err;
}

static void cut(int fd, uint64_t size)
{
    int r;

    do {
        r = ftruncate(fd, size);
    } while (r < 0 && errno == EINTR);
    /*
     * A tail that cannot be cut off is not part of the log: the superblock
     * bounds it, and the next writer tries again.
     */
}

static bool set_error(GError **error, DdebugLogError code, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

static bool set_error(GError **error, DdebugLogError code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (error) {
        *error = g_error_new_valist(DDEBUG_LOG_ERROR, code, fmt, ap);
    }
    va_end(ap);
    return false;
}

static bool set_io_error(GError **error, const char *path, const char *what,
                         int err)
{
    return set_error(error, DDEBUG_LOG_ERROR_IO, "%s '%s': %s", what, path,
                     g_strerror(err));
}

static bool set_space_error(GError **error, const char *path, uint64_t size,
                            int err)
{
    return set_error(error, DDEBUG_LOG_ERROR_SPACE,
                     "no room for '%s' to take %" PRIu64 " bytes: %s; make "
                     "room on its file system or ask for a smaller size",
                     path, size, g_strerror(err));
}

/* Every structure of the file ends in the checksum of what comes before it. */
#define seal(s) \
    ((s)->crc = GUINT32_TO_LE(ddebug_crc32c((s), sizeof(*(s)) - 4)))
#define sealed(s) \
    ((s)->crc == GUINT32_TO_LE(ddebug_crc32c((s), sizeof(*(s)) - 4)))

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* Geometry */

static uint32_t seg_size_for(uint64_t size)
{
    return size < 8 * MIB ? 128u << 10 :
           size < 64 * MIB ? 256u << 10 : 1u << 20;
}

static uint64_t nr_segs_for(uint64_t size, uint32_t seg_size)
{
    return (size - DDEBUG_LOG_SEGS_OFF) / seg_size;
}

static uint64_t file_size(uint64_t nr_segs, uint32_t seg_size)
{
    return DDEBUG_LOG_SEGS_OFF + nr_segs * seg_size;
}

static uint64_t slot_off(const DdebugLog *log, uint64_t slot)
{
    return DDEBUG_LOG_SEGS_OFF + slot * log->seg_size;
}

/* Dictionary segments take at most half of the slots: rule 5. */
static uint64_t dict_limit(uint64_t nr_segs)
{
    return nr_segs / 2;
}

static bool check_size(uint64_t size, GError **error)
{
    if (size < DDEBUG_LOG_SIZE_MIN) {
        return set_error(error, DDEBUG_LOG_ERROR_SIZE,
                         "a log of %" PRIu64 " bytes is too small; the "
                         "smallest is 1M (%llu bytes)", size,
                         DDEBUG_LOG_SIZE_MIN);
    }
    if (size > DDEBUG_LOG_SIZE_MAX) {
        return set_error(error, DDEBUG_LOG_ERROR_SIZE,
                         "a log of %" PRIu64 " bytes is too large; the "
                         "largest is 1T (%llu bytes)", size,
                         DDEBUG_LOG_SIZE_MAX);
    }
    return true;
}

static bool check_nr_segs(const char *path, uint64_t size, uint32_t seg_size,
                          GError **error)
{
    if (nr_segs_for(size, seg_size) < DDEBUG_LOG_NR_SEGS_MIN) {
        return set_error(error, DDEBUG_LOG_ERROR_SIZE,
                         "%" PRIu64 " bytes are too few for '%s', which was "
                         "made with segments of %u KiB: ask for at least "
                         "%" PRIu64 " bytes, or remove the file so that it is "
                         "made anew", size, path, seg_size >> 10,
                         file_size(DDEBUG_LOG_NR_SEGS_MIN, seg_size));
    }
    return true;
}

/* Superblock */

static int write_super(DdebugLog *log, struct ddebug_log_super *s)
{
    uint64_t generation = GUINT64_FROM_LE(log->super.generation) + 1;
    int r;

    s->generation = GUINT64_TO_LE(generation);
    seal(s);
    r = write_at(log->fd, s, sizeof(*s), DDEBUG_LOG_SUPER_OFF(generation % 2));
    if (!r) {
        log->super = *s;
    }
    return r;
}

static int write_geometry(DdebugLog *log, uint64_t nr_segs)
{
    struct ddebug_log_super s = log->super;

    s.nr_segs = GUINT64_TO_LE(nr_segs);
    s.size = GUINT64_TO_LE(file_size(nr_segs, log->seg_size));
    return write_super(log, &s);
}

static void super_fields(struct ddebug_log_super *s, const DdebugLogInfo *info)
{
    s->opened = GUINT64_TO_LE(clock_ns(CLOCK_REALTIME));
    s->writer_pid = GUINT32_TO_LE(getpid());
    if (!info) {
        return;
    }
    memset(s->vm_name, 0, sizeof(s->vm_name));
    memset(s->vm_uuid, 0, sizeof(s->vm_uuid));
    memset(s->writer, 0, sizeof(s->writer));
    if (info->vm_name) {
        memcpy(s->vm_name, info->vm_name,
               MIN(strlen(info->vm_name), sizeof(s->vm_name)));
    }
    if (info->vm_uuid) {
        memcpy(s->vm_uuid, info->vm_uuid, sizeof(s->vm_uuid));
    }
    if (info->writer) {
        memcpy(s->writer, info->writer,
               MIN(strlen(info->writer), sizeof(s->writer)));
    }
}

static bool super_usable(const struct ddebug_log_super *s)
{
    uint32_t seg_size = GUINT32_FROM_LE(s->seg_size);
    uint64_t nr_segs = GUINT64_FROM_LE(s->nr_segs);

    return sealed(s) &&
           seg_size >= DDEBUG_LOG_SEG_SIZE_MIN &&
           seg_size <= DDEBUG_LOG_SEG_SIZE_MAX &&
           (seg_size & (seg_size - 1)) == 0 &&
           nr_segs >= DDEBUG_LOG_NR_SEGS_MIN &&
           nr_segs <= nr_segs_for(DDEBUG_LOG_SIZE_MAX, seg_size) &&
           GUINT64_FROM_LE(s->size) == file_size(nr_segs, seg_size);
}

static bool read_super(DdebugLog *log, GError **error)
{
    struct ddebug_log_super copy[2];
    bool is_log = false, found = false;
    int i, r;

    for (i = 0; i < 2; i++) {
        r = read_at(log->fd, &copy[i], sizeof(copy[i]),
                    DDEBUG_LOG_SUPER_OFF(i));
        if (r) {
            return set_io_error(error, log->path, "cannot read", -r);
        }
        if (memcmp(copy[i].magic, DDEBUG_LOG_MAGIC, sizeof(copy[i].magic))) {
            continue;
        }
        is_log = true;
        if (GUINT32_FROM_LE(copy[i].version) != DDEBUG_LOG_VERSION) {
            return set_error(error, DDEBUG_LOG_ERROR_VERSION,
                             "'%s' is a log of version %u, this program "
                             "writes version %u: use a newer program, or "
                             "another file", log->path,
                             GUINT32_FROM_LE(copy[i].version),
                             DDEBUG_LOG_VERSION);
        }
        if (!super_usable(&copy[i])) {
            continue;
        }
        if (!found || GUINT64_FROM_LE(copy[i].generation) >
                      GUINT64_FROM_LE(log->super.generation)) {
            log->super = copy[i];
            found = true;
        }
    }
    if (!found && is_log) {
        return set_error(error, DDEBUG_LOG_ERROR_FORMAT,
                         "both superblocks of the log '%s' are damaged: name "
                         "another file, or remove this one", log->path);
    }
    if (!found) {
        return set_error(error, DDEBUG_LOG_ERROR_FORMAT,
                         "'%s' is not a virtio-ddebug log and not empty: name "
                         "another file, or remove this one", log->path);
    }
    if (GUINT32_FROM_LE(log->super.incompat) & ~DDEBUG_LOG_INCOMPAT_KNOWN ||
        GUINT32_FROM_LE(log->super.compat) & ~DDEBUG_LOG_COMPAT_KNOWN) {
        return set_error(error, DDEBUG_LOG_ERROR_VERSION,
                         "the log '%s' has flags (incompat %#x, compat %#x) "
                         "that this program does not know: use a newer "
                         "program, or another file", log->path,
                         GUINT32_FROM_LE(log->super.incompat),
                         GUINT32_FROM_LE(log->super.compat));
    }
    log->seg_size = GUINT32_FROM_LE(log->super.seg_size);
    log->nr_segs = GUINT64_FROM_LE(log->super.nr_segs);
    return true;
}

/* Finding again what a former writer left */

static void sort_desc_by_seq(const DdebugLog *log, GArray *order);

static bool seg_usable(const struct ddebug_log_seg *seg)
{
    uint32_t type = GUINT32_FROM_LE(seg->type);

    return GUINT32_FROM_LE(seg->magic) == DDEBUG_LOG_SEG_MAGIC && sealed(seg) &&
           (type == DDEBUG_LOG_SEG_DATA || type == DDEBUG_LOG_SEG_DICT) &&
           seg->seq != 0;
}

static int wipe_slot(DdebugLog *log, uint64_t slot)
{
    static const struct ddebug_log_seg none;

    log->slots[slot].seq = 0;
    return write_at(log->fd, &none, sizeof(none), slot_off(log, slot));
}

/*
 * Takes the numbers that the chunks of a segment have used.  Returns how many
 * chunks it saw of those that count for the type: a data segment may hold
 * nothing but events, which have no pass.
 */
static unsigned scan_segment(DdebugLog *log, uint64_t slot, char *buf)
{
    const uint64_t seq = log->slots[slot].seq;
    uint32_t off = FIRST_CHUNK;
    unsigned seen = 0;

    if (read_at(log->fd, buf, log->seg_size, slot_off(log, slot))) {
        return 0;
    }
    while (off + sizeof(struct ddebug_log_chunk) <= log->seg_size) {
        struct ddebug_log_chunk c;
        uint32_t room = log->seg_size - off - sizeof(c), len;

        memcpy(&c, buf + off, sizeof(c));
        len = GUINT32_FROM_LE(c.len);
        if (GUINT32_FROM_LE(c.magic) != DDEBUG_LOG_CHUNK_MAGIC || !sealed(&c) ||
            GUINT64_FROM_LE(c.seg_seq) != seq ||
            GUINT32_FROM_LE(c.off) != off || len > room) {
            break;
        }
        log->next_chunk = MAX(log->next_chunk,
                              GUINT64_FROM_LE(c.chunk_seq) + 1);
        log->epoch = MAX(log->epoch, GUINT32_FROM_LE(c.epoch));
        if (GUINT16_FROM_LE(c.type) == DDEBUG_LOG_CHUNK_DATA) {
            log->last_pass = MAX(log->last_pass, GUINT64_FROM_LE(c.pass));
        }
        if (log->slots[slot].type == DDEBUG_LOG_SEG_DICT ||
            GUINT16_FROM_LE(c.type) == DDEBUG_LOG_CHUNK_DATA) {
            seen++;
        }
        off += sizeof(c) + (len + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;
    }
    return seen;
}

/*
 * Numbers only grow, so the highest are in the newest segment of either type
 * that holds any.
 */
static void scan_newest(DdebugLog *log, GArray *order)
{
    g_autofree char *buf = g_malloc(log->seg_size);
    bool want[] = {
        [DDEBUG_LOG_SEG_DATA] = true,
        [DDEBUG_LOG_SEG_DICT] = true,
    };
    guint i;

    for (i = 0; i < order->len; i++) {
        uint64_t slot = g_array_index(order, uint64_t, i);
        uint32_t type = log->slots[slot].type;

        if (want[type] && scan_segment(log, slot, buf)) {
            want[type] = false;
        }
    }
}

/* Does the segment begin with its epoch? */
static bool begins_epoch(const DdebugLog *log, uint64_t slot)
{
    struct ddebug_log_chunk c;

    return read_at(log->fd, &c, sizeof(c), slot_off(log, slot) + FIRST_CHUNK)
               == 0 &&
           GUINT32_FROM_LE(c.magic) == DDEBUG_LOG_CHUNK_MAGIC && sealed(&c) &&
           GUINT64_FROM_LE(c.seg_seq) == log->slots[slot].seq &&
           GUINT16_FROM_LE(c.type) == DDEBUG_LOG_CHUNK_ATTACH;
}

/*
 * Nothing was put into a dictionary segment once the next one was begun.  So
 * the headers bound its epochs, and the other segments need not be read.
 */
static void find_last_epochs(DdebugLog *log, GArray *order)
{
    uint32_t last = log->epoch;
    guint i;

    for (i = 0; i < order->len; i++) {
        DdebugLogSlot *s = &log->slots[g_array_index(order, uint64_t, i)];

        if (s->type == DDEBUG_LOG_SEG_DICT) {
            uint64_t slot = g_array_index(order, uint64_t, i);

            s->last_epoch = MAX(last, s->epoch);
            last = s->epoch - (s->epoch && begins_epoch(log, slot));
        }
    }
}

/* Rule 3; and what rule 7 says may be there twice is made single again. */
static bool load_slots(DdebugLog *log, GError **error)
{
    g_autoptr(GArray) order = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    struct ddebug_log_seg seg;
    uint64_t slot;
    guint i;
    int r;

    log->slots = g_renew(DdebugLogSlot, log->slots, log->nr_segs);
    memset(log->slots, 0, log->nr_segs * sizeof(log->slots[0]));
    for (slot = 0; slot < log->nr_segs; slot++) {
        r = read_at(log->fd, &seg, sizeof(seg), slot_off(log, slot));
        if (r) {
            return set_io_error(error, log->path, "cannot read", -r);
        }
        if (!seg_usable(&seg)) {
            continue;
        }
        log->slots[slot].seq = GUINT64_FROM_LE(seg.seq);
        log->slots[slot].type = GUINT32_FROM_LE(seg.type);
        log->slots[slot].epoch = GUINT32_FROM_LE(seg.epoch);
        log->next_seq = MAX(log->next_seq, log->slots[slot].seq + 1);
        log->epoch = MAX(log->epoch, log->slots[slot].epoch);
        g_array_append_val(order, slot);
    }
    sort_desc_by_seq(log, order);
    scan_newest(log, order);
    find_last_epochs(log, order);
    for (i = 0; i < order->len; i++) {
        DdebugLogSlot *s = &log->slots[g_array_index(order, uint64_t, i)];
        bool twice = i && s->seq ==
            log->slots[g_array_index(order, uint64_t, i - 1)].seq;
        bool cleared = s->type == DDEBUG_LOG_SEG_DATA &&
                       s->seq < GUINT64_FROM_LE(log->super.first_seg);

        if (twice) {
            r = wipe_slot(log, g_array_index(order, uint64_t, i));
            if (r) {
                return set_io_error(error, log->path, "cannot write", -r);
            }
            /* the next one is compared with the one that stays */
            g_array_index(order, uint64_t, i) =
                g_array_index(order, uint64_t, i - 1);
        } else if (cleared) {
            s->seq = 0;
        }
    }
    return true;
}

/* Rule 3: passes go on too.  A state page that is damaged says nothing. */
static void load_state(DdebugLog *log)
{
    struct ddebug_log_state s;

    if (!read_at(log->fd, &s, sizeof(s), DDEBUG_LOG_STATE_OFF) &&
        GUINT32_FROM_LE(s.magic) == DDEBUG_LOG_STATE_MAGIC && sealed(&s)) {
        log->last_pass = MAX(log->last_pass, GUINT64_FROM_LE(s.settled_pass));
    }
}

/* Requests */

static bool lock_byte(int fd, uint64_t byte, short type)
{
    struct flock lock = {
        .l_type = type,
        .l_whence = SEEK_SET,
        .l_start = byte,
        .l_len = 1,
    };

    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/*
 * A request that a tool wrote to a former writer must not be served now: it
 * has given up.  While a tool has the request lock, the request may be meant
 * for us, and stays.
 */
static int drop_stale_request(DdebugLog *log)
{
    static const struct ddebug_log_request none;
    struct ddebug_log_reply reply;
    int r;

    r = read_at(log->fd, &reply, sizeof(reply), DDEBUG_LOG_REPLY_OFF);
    if (r) {
        return r;
    }
    if (GUINT32_FROM_LE(reply.magic) == DDEBUG_LOG_REPLY_MAGIC &&
        sealed(&reply)) {
        log->answered = GUINT64_FROM_LE(reply.id);
    }
    if (lock_byte(log->fd, DDEBUG_LOG_LOCK_REQUEST, F_WRLCK)) {
        r = write_at(log->fd, &none, sizeof(none), DDEBUG_LOG_REQUEST_OFF);
        lock_byte(log->fd, DDEBUG_LOG_LOCK_REQUEST, F_UNLCK);
    }
    return r;
}

bool ddebug_log_poll_request(DdebugLog *log, DdebugLogRequest *request)
{
    struct ddebug_log_request q;

    if (read_at(log->fd, &q, sizeof(q), DDEBUG_LOG_REQUEST_OFF) ||
        GUINT32_FROM_LE(q.magic) != DDEBUG_LOG_REQUEST_MAGIC || !sealed(&q) ||
        GUINT64_FROM_LE(q.id) == log->answered) {
        return false;
    }
    request->type = GUINT32_FROM_LE(q.type);
    request->id = GUINT64_FROM_LE(q.id);
    request->arg = GUINT64_FROM_LE(q.arg);
    return true;
}

static int error_to_errno(const GError *error)
{
    switch (error->code) {
    case DDEBUG_LOG_ERROR_SIZE:
        return EINVAL;
    case DDEBUG_LOG_ERROR_SPACE:
        return ENOSPC;
    default:
        return EIO;
    }
}

void ddebug_log_serve_request(DdebugLog *log, const DdebugLogRequest *request)
{
    g_autoptr(GError) error = NULL;
    struct ddebug_log_reply reply = {
        .magic = GUINT32_TO_LE(DDEBUG_LOG_REPLY_MAGIC),
        .id = GUINT64_TO_LE(request->id),
    };
    int err = 0;

    switch (request->type) {
    case DDEBUG_LOG_REQUEST_SIZE:
        if (!ddebug_log_resize(log, request->arg, &error)) {
            err = error_to_errno(error);
        }
        reply.value = GUINT64_TO_LE(ddebug_log_size(log));
        break;
    case DDEBUG_LOG_REQUEST_CLEAR:
        if (!ddebug_log_clear(log, &error)) {
            err = error_to_errno(error);
        }
        break;
    default:
        err = EOPNOTSUPP;
        break;
    }
    reply.error = GUINT32_TO_LE(err);
    seal(&reply);
    log->answered = request->id;
    /* A reply that cannot be written: the tool gives up by itself. */
    write_at(log->fd, &reply, sizeof(reply), DDEBUG_LOG_REPLY_OFF);
}

/* Opening */

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode) ? "a directory" :
           S_ISLNK(mode) ? "a symbolic link" :
           S_ISFIFO(mode) ? "a FIFO" :
           S_ISSOCK(mode) ? "a socket" :
           S_ISBLK(mode) ? "a block device" :
           S_ISCHR(mode) ? "a character device" : "not a regular file";
}

static bool check_kind(const char *path, const struct stat *st, GError **error)
{
    if (!S_ISREG(st->st_mode)) {
        return set_error(error, DDEBUG_LOG_ERROR_NOT_A_FILE,
                         "'%s' is %s: name a regular file, or one that does "
                         "not exist yet", path, kind_of(st->st_mode));
    }
    if (st->st_nlink > 1) {
        return set_error(error, DDEBUG_LOG_ERROR_LINKED,
                         "'%s' has %ju hard links: name a file that has no "
                         "other name", path, (uintmax_t)st->st_nlink);
    }
    return true;
}

static bool set_open_error(GError **error, const char *path, int err)
{
    switch (err) {
    case ENOENT:
        return set_error(error, DDEBUG_LOG_ERROR_NOT_FOUND,
                         "there is no '%s', or no directory for it: check the "
                         "path", path);
    case ELOOP:
        return set_error(error, DDEBUG_LOG_ERROR_NOT_A_FILE,
                         "'%s' is %s: name a regular file, or one that does "
                         "not exist yet", path, kind_of(S_IFLNK));
    case EACCES:
    case EPERM:
    case EROFS:
        return set_error(error, DDEBUG_LOG_ERROR_PERMISSION,
                         "'%s' cannot be opened for writing: %s; give the "
                         "user with id %u write access to it and its "
                         "directory, or name another file", path,
                         g_strerror(err), geteuid());
    case ENOSPC:
    case EDQUOT:
        return set_space_error(error, path, 0, err);
    default:
        return set_io_error(error, path, "cannot open", err);
    }
}

/*
 * The look before opening is for devices and FIFOs, where opening alone may
 * have an effect; the one after it is what counts.
 */
static bool open_file(DdebugLog *log, unsigned flags, bool *created,
                      struct stat *st, GError **error)
{
    const int how = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

    *created = false;
    if (lstat(log->path, st) == 0) {
        if (!check_kind(log->path, st, error)) {
            return false;
        }
        log->fd = open(log->path, how);
    } else if (errno == ENOENT && flags & DDEBUG_LOG_OPEN_CREATE) {
        log->fd = open(log->path, how | O_CREAT | O_EXCL, 0600);
        *created = log->fd >= 0;
    }
    if (log->fd < 0) {
        return set_open_error(error, log->path, errno);
    }
    if (fstat(log->fd, st) < 0) {
        return set_io_error(error, log->path, "cannot look at", errno);
    }
    return check_kind(log->path, st, error);
}

static bool take_lock(DdebugLog *log, GError **error)
{
    struct ddebug_log_super copy[2];
    uint64_t best = 0;
    uint32_t pid = 0;
    int err, i;

    if (lock_byte(log->fd, DDEBUG_LOG_LOCK_WRITER, F_WRLCK)) {
        return true;
    }
    err = errno;
    if (err != EAGAIN && err != EACCES) {
        return set_io_error(error, log->path, "cannot lock", err);
    }
    for (i = 0; i < 2; i++) {
        if (!read_at(log->fd, &copy[i], sizeof(copy[i]),
                     DDEBUG_LOG_SUPER_OFF(i)) &&
            super_usable(&copy[i]) &&
            GUINT64_FROM_LE(copy[i].generation) >= best) {
            best = GUINT64_FROM_LE(copy[i].generation);
            pid = GUINT32_FROM_LE(copy[i].writer_pid);
        }
    }
    return set_error(error, DDEBUG_LOG_ERROR_BUSY,
                     "'%s' is in use, by the process %u as its superblock "
                     "says: name another file, or end that process first",
                     log->path, pid);
}

static void new_uuid(uint8_t uuid[16])
{
    int i;

    for (i = 0; i < 16; i += 4) {
        uint32_t word = g_random_int();

        memcpy(uuid + i, &word, 4);
    }
    /* version 4, variant 1 of RFC 4122 */
    uuid[6] = (uuid[6] & 0x0f) | 0x40;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

/*
 * The superblock comes first, the room after it: whoever dies in between
 * leaves an empty file or a log that was cut short, both of which can be
 * opened.
 */
static bool format(DdebugLog *log, uint64_t size, const DdebugLogInfo *info,
                   GError **error)
{
    struct ddebug_log_super s = {
        .version = GUINT32_TO_LE(DDEBUG_LOG_VERSION),
    };
    int r;

    log->seg_size = seg_size_for(size);
    log->nr_segs = nr_segs_for(size, log->seg_size);
    memcpy(s.magic, DDEBUG_LOG_MAGIC, sizeof(s.magic));
    s.seg_size = GUINT32_TO_LE(log->seg_size);
    s.nr_segs = GUINT64_TO_LE(log->nr_segs);
    s.size = GUINT64_TO_LE(file_size(log->nr_segs, log->seg_size));
    s.created = GUINT64_TO_LE(clock_ns(CLOCK_REALTIME));
    new_uuid(s.uuid);
    super_fields(&s, info);
    r = write_super(log, &s);
    if (r == -ENOSPC || r == -EDQUOT) {
        return set_space_error(error, log->path, size, -r);
    }
    if (r) {
        return set_io_error(error, log->path, "cannot write", -r);
    }
    r = preallocate(log->fd, 0, GUINT64_FROM_LE(s.size));
    if (r) {
        return set_space_error(error, log->path, GUINT64_FROM_LE(s.size), r);
    }
    log->slots = g_new0(DdebugLogSlot, log->nr_segs);
    return true;
}

static bool set_nr_segs(DdebugLog *log, uint64_t nr_segs, GError **error);

static bool reopen(DdebugLog *log, uint64_t size, const DdebugLogInfo *info,
                   uint64_t have, GError **error)
{
    struct ddebug_log_super s;
    uint64_t want;
    int r;

    if (!read_super(log, error) ||
        (size && !check_nr_segs(log->path, size, log->seg_size, error))) {
        return false;
    }
    want = GUINT64_FROM_LE(log->super.size);
    if (have < want) {
        r = preallocate(log->fd, have, want);
        if (r) {
            cut(log->fd, have);
            return set_space_error(error, log->path, want, r);
        }
    }
    if (!load_slots(log, error)) {
        return false;
    }
    load_state(log);
    if (have > want) {
        cut(log->fd, want);
    }
    r = drop_stale_request(log);
    if (!r) {
        s = log->super;
        super_fields(&s, info);
        r = write_super(log, &s);
    }
    if (r) {
        return set_io_error(error, log->path, "cannot write", -r);
    }
    return !size || set_nr_segs(log, nr_segs_for(size, log->seg_size), error);
}

DdebugLog *ddebug_log_open(const char *path, uint64_t size,
                           const DdebugLogInfo *info, unsigned flags,
                           GError **error)
{
    DdebugLog *log;
    bool created, locked, ok;
    struct stat st;

    if (size && !check_size(size, error)) {
        return NULL;
    }
    log = g_new0(DdebugLog, 1);
    log->path = g_strdup(path);
    log->fd = -1;
    log->next_seq = 1;
    log->next_chunk = 1;
    locked = open_file(log, flags, &created, &st, error) &&
             take_lock(log, error);
    ok = locked;
    /* Only now is its length settled: another writer may just have gone. */
    if (ok && fstat(log->fd, &st) < 0) {
        ok = set_io_error(error, path, "cannot look at", errno);
    }
    if (ok && st.st_size == 0) {
        ok = format(log, size ? size : DDEBUG_LOG_SIZE_DEFAULT, info, error);
        if (!ok) {
            cut(log->fd, 0);
        }
    } else if (ok) {
        ok = reopen(log, size, info, st.st_size, error);
    }
    if (!ok) {
        if (created && locked) {
            unlink(path);
        }
        ddebug_log_close(log);
        return NULL;
    }
    return log;
}

void ddebug_log_close(DdebugLog *log)
{
    if (!log) {
        return;
    }
    if (log->fd >= 0) {
        close(log->fd);
    }
    g_free(log->slots);
    g_free(log->path);
    g_free(log);
}

uint64_t ddebug_log_size(const DdebugLog *log)
{
    return GUINT64_FROM_LE(log->super.size);
}

const char *ddebug_log_path(const DdebugLog *log)
{
    return log->path;
}

uint32_t ddebug_log_epoch(const DdebugLog *log)
{
    return log->epoch;
}

uint64_t ddebug_log_last_pass(const DdebugLog *log)
{
    return log->last_pass;
}

uint64_t ddebug_log_io_lost(const DdebugLog *log)
{
    return log->io_lost;
}

/* Segments: rule 5 */

static gint by_seq_desc(gconstpointer a, gconstpointer b, gpointer slots)
{
    uint64_t x = ((DdebugLogSlot *)slots)[*(const uint64_t *)a].seq;
    uint64_t y = ((DdebugLogSlot *)slots)[*(const uint64_t *)b].seq;

    return x < y ? 1 : x > y ? -1 : 0;
}

static void sort_desc_by_seq(const DdebugLog *log, GArray *order)
{
    g_array_sort_with_data(order, by_seq_desc, log->slots);
}

static bool is_used(const DdebugLogSlot *s, uint32_t type)
{
    return s->seq && s->type == type;
}

/* What the table of slots says, in one walk. */
typedef struct DdebugLogCensus {
    uint64_t unused;            /* a slot, or nr_segs: none */
    uint64_t oldest_data;       /* likewise */
    uint64_t oldest_dict;       /* likewise */
    uint64_t nr_dict;
    uint32_t data_epoch;        /* no data is of an epoch below it */
} DdebugLogCensus;

static void take_census(const DdebugLog *log, DdebugLogCensus *c)
{
    const DdebugLogSlot *slots = log->slots;
    uint64_t i;

    *c = (DdebugLogCensus) {
        .unused = log->nr_segs,
        .oldest_data = log->nr_segs,
        .oldest_dict = log->nr_segs,
        .data_epoch = log->epoch,
    };
    for (i = log->nr_segs; i-- > 0; ) {
        if (!slots[i].seq) {
            c->unused = i;
        } else if (slots[i].type == DDEBUG_LOG_SEG_DATA) {
            if (c->oldest_data == log->nr_segs ||
                slots[i].seq < slots[c->oldest_data].seq) {
                c->oldest_data = i;
            }
            c->data_epoch = MIN(c->data_epoch, slots[i].epoch);
        } else {
            if (c->oldest_dict == log->nr_segs ||
                slots[i].seq < slots[c->oldest_dict].seq) {
                c->oldest_dict = i;
            }
            c->nr_dict++;
        }
    }
}

static bool dict_is_dead(const DdebugLog *log, const DdebugLogCensus *c)
{
    return c->oldest_dict < log->nr_segs &&
           log->slots[c->oldest_dict].last_epoch < c->data_epoch;
}

/*
 * Where the dictionary has its half, its oldest segment has to go, and before
 * it the data that refer to it; save for the segment that data are being put
 * into, whose oldest messages lose their callsites then.  What the newest epoch
 * has in the dictionary stays: then there is no slot, -EXFULL.
 */
static int free_oldest_dict(DdebugLog *log, const DdebugLogCensus *c)
{
    uint32_t epoch = log->slots[c->oldest_dict].last_epoch;
    uint64_t i;
    int r;

    if (epoch >= log->epoch) {
        return -EXFULL;
    }
    for (i = 0; i < log->nr_segs; i++) {
        DdebugLogSlot *s = &log->slots[i];

        if (is_used(s, DDEBUG_LOG_SEG_DATA) && s->epoch <= epoch &&
            !(log->data.open && log->data.slot == i)) {
            r = wipe_slot(log, i);
            if (r) {
                return r;
            }
        }
    }
    return 0;
}

static int pick_slot(DdebugLog *log, uint32_t type, uint64_t *slot)
{
    DdebugLogCensus c;
    int r;

    take_census(log, &c);
    if (type == DDEBUG_LOG_SEG_DICT && c.nr_dict >= dict_limit(log->nr_segs)) {
        if (!dict_is_dead(log, &c)) {
            r = free_oldest_dict(log, &c);
            if (r) {
                return r;
            }
        }
        *slot = c.oldest_dict;
    } else if (c.unused < log->nr_segs) {
        *slot = c.unused;
    } else if (dict_is_dead(log, &c)) {
        *slot = c.oldest_dict;
    } else {
        *slot = c.oldest_data;
    }
    return 0;
}

static DdebugLogCursor *cursor_of(DdebugLog *log, uint32_t type)
{
    return type == DDEBUG_LOG_SEG_DATA ? &log->data : &log->dict;
}

/*
 * The number is used up and the slot unused also where the write fails: nobody
 * knows what reached the disk.
 */
static int begin_segment(DdebugLog *log, uint32_t type)
{
    DdebugLogCursor *cur = cursor_of(log, type);
    struct ddebug_log_seg seg = {
        .magic = GUINT32_TO_LE(DDEBUG_LOG_SEG_MAGIC),
        .type = GUINT32_TO_LE(type),
        .epoch = GUINT32_TO_LE(log->epoch),
    };
    uint64_t slot;
    int r;

    cur->open = false;
    r = pick_slot(log, type, &slot);
    if (r) {
        return r;
    }
    seg.seq = GUINT64_TO_LE(log->next_seq);
    seal(&seg);
    log->slots[slot].seq = 0;
    r = write_at(log->fd, &seg, sizeof(seg), slot_off(log, slot));
    if (r) {
        log->next_seq++;
        return r;
    }
    log->slots[slot] = (DdebugLogSlot) {
        .seq = log->next_seq++,
        .type = type,
        .epoch = log->epoch,
        .last_epoch = log->epoch,
    };
    *cur = (DdebugLogCursor) { .open = true, .slot = slot, .off = FIRST_CHUNK };
    return 0;
}

/* Chunks: rule 4 */

static void count_lost(DdebugLog *log, uint64_t chunks, uint64_t bytes)
{
    log->io_lost += bytes;
    log->untold_chunks += chunks;
    log->untold_bytes += bytes;
}

/*
 * A write that was cut short left no whole chunk: the next one begins at the
 * same place.  Where a file's write is cut short, the disk is full.
 */
static int write_chunk(DdebugLog *log, uint32_t seg_type,
                       struct ddebug_log_chunk *c, const void *payload,
                       size_t len)
{
    static const char zeros[CHUNK_ALIGN];
    DdebugLogCursor *cur = cursor_of(log, seg_type);
    const size_t pad = -len % CHUNK_ALIGN;
    const size_t total = sizeof(*c) + len + pad;
    struct iovec iov[] = {
        { c, sizeof(*c) },
        { (void *)payload, len },
        { (void *)zeros, pad },
    };
    ssize_t n;
    int r;

    if (!cur->open || cur->off + total > log->seg_size) {
        r = begin_segment(log, seg_type);
        if (r) {
            return r;
        }
    }
    c->magic = GUINT32_TO_LE(DDEBUG_LOG_CHUNK_MAGIC);
    c->seg_seq = GUINT64_TO_LE(log->slots[cur->slot].seq);
    c->off = GUINT32_TO_LE(cur->off);
    c->len = GUINT32_TO_LE(len);
    c->chunk_seq = GUINT64_TO_LE(log->next_chunk);
    c->realtime = GUINT64_TO_LE(clock_ns(CLOCK_REALTIME));
    c->monotonic = GUINT64_TO_LE(clock_ns(CLOCK_MONOTONIC));
    c->payload_crc = GUINT32_TO_LE(ddebug_crc32c(payload, len));
    seal(c);
    do {
        n = pwritev(log->fd, iov, G_N_ELEMENTS(iov),
                    slot_off(log, cur->slot) + cur->off);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)total) {
        return n < 0 ? -errno : -ENOSPC;
    }
    cur->off += total;
    log->slots[cur->slot].last_epoch = log->epoch;
    log->next_chunk++;
    return 0;
}

static int write_event(DdebugLog *log, uint32_t event, uint64_t arg0,
                       uint64_t arg1, uint64_t arg2)
{
    struct ddebug_log_chunk c = {
        .type = GUINT16_TO_LE(DDEBUG_LOG_CHUNK_EVENT),
        .epoch = GUINT32_TO_LE(log->epoch),
    };
    struct ddebug_log_event e = {
        .event = GUINT32_TO_LE(event),
        .arg = {
            GUINT64_TO_LE(arg0), GUINT64_TO_LE(arg1), GUINT64_TO_LE(arg2),
        },
    };

    return write_chunk(log, DDEBUG_LOG_SEG_DATA, &c, &e, sizeof(e));
}

/* Rule 9 */
static int tell_lost(DdebugLog *log)
{
    int r;

    if (!log->untold_chunks) {
        return 0;
    }
    r = write_event(log, DDEBUG_LOG_EVENT_IO_LOST, log->untold_chunks,
                    log->untold_bytes, 0);
    if (!r) {
        log->untold_chunks = 0;
        log->untold_bytes = 0;
    }
    return r;
}

static int append(DdebugLog *log, uint32_t seg_type, struct ddebug_log_chunk *c,
                  const void *payload, size_t len)
{
    int r;

    g_return_val_if_fail(len <= DDEBUG_LOG_PAYLOAD_MAX, -EINVAL);
    r = tell_lost(log);
    if (!r) {
        r = write_chunk(log, seg_type, c, payload, len);
    }
    if (r && r != -EXFULL) {
        count_lost(log, 1, len);
    }
    return r;
}

int ddebug_log_append_data(DdebugLog *log, const DdebugLogData *data,
                           const void *payload, size_t len)
{
    struct ddebug_log_chunk c = {
        .type = GUINT16_TO_LE(DDEBUG_LOG_CHUNK_DATA),
        .epoch = GUINT32_TO_LE(data->epoch),
        .stream = GUINT32_TO_LE(data->stream),
        .generation = GUINT32_TO_LE(data->generation),
        .cpu = GUINT32_TO_LE(data->cpu),
        .context = data->context,
        .subbuf_shift = data->subbuf_shift,
        .pass = GUINT64_TO_LE(data->pass),
        .pos = GUINT64_TO_LE(data->pos),
        .produced = GUINT64_TO_LE(data->produced),
        .recursed = GUINT64_TO_LE(data->recursed),
        .torn = GUINT64_TO_LE(data->torn),
        .clamped = GUINT64_TO_LE(data->clamped),
    };

    return append(log, DDEBUG_LOG_SEG_DATA, &c, payload, len);
}

static int append_to_dict(DdebugLog *log, uint16_t type, const void *payload,
                          size_t len)
{
    struct ddebug_log_chunk c = {
        .type = GUINT16_TO_LE(type),
        .epoch = GUINT32_TO_LE(log->epoch),
    };

    return append(log, DDEBUG_LOG_SEG_DICT, &c, payload, len);
}

int ddebug_log_append_attach(DdebugLog *log, const void *payload, size_t len)
{
    int r, r_event;

    log->epoch++;
    log->attached = true;
    r = append_to_dict(log, DDEBUG_LOG_CHUNK_ATTACH, payload, len);
    r_event = ddebug_log_append_event(log, DDEBUG_LOG_EVENT_ATTACH, log->epoch,
                                      0, 0);
    return r ? r : r_event;
}

int ddebug_log_append_dict(DdebugLog *log, const void *payload, size_t len)
{
    if (!log->attached) {
        return -EINVAL;
    }
    return append_to_dict(log, DDEBUG_LOG_CHUNK_DICT, payload, len);
}

int ddebug_log_append_event(DdebugLog *log, uint32_t event,
                            uint64_t arg0, uint64_t arg1, uint64_t arg2)
{
    int r = tell_lost(log);

    if (!r) {
        r = write_event(log, event, arg0, arg1, arg2);
    }
    if (r) {
        count_lost(log, 1, sizeof(struct ddebug_log_event));
    }
    return r;
}

void ddebug_log_append_lost(DdebugLog *log, uint64_t chunks, uint64_t bytes)
{
    count_lost(log, chunks, bytes);
}

int ddebug_log_write_state(DdebugLog *log, uint64_t settled_pass)
{
    struct ddebug_log_state s = {
        .magic = GUINT32_TO_LE(DDEBUG_LOG_STATE_MAGIC),
        .settled_pass = GUINT64_TO_LE(settled_pass),
        .io_lost = GUINT64_TO_LE(log->io_lost),
    };

    if (log->data.open) {
        s.seg_seq = GUINT64_TO_LE(log->slots[log->data.slot].seq);
    }
    seal(&s);
    return write_at(log->fd, &s, sizeof(s), DDEBUG_LOG_STATE_OFF);
}

/* Size: rule 7 */

static bool grow(DdebugLog *log, uint64_t nr_segs, GError **error)
{
    const uint64_t had = ddebug_log_size(log);
    const uint64_t size = file_size(nr_segs, log->seg_size);
    int r = preallocate(log->fd, had, size);

    if (r) {
        cut(log->fd, had);
        return set_space_error(error, log->path, size, r);
    }
    r = write_geometry(log, nr_segs);
    if (r) {
        cut(log->fd, had);
        return set_io_error(error, log->path, "cannot write", -r);
    }
    log->slots = g_renew(DdebugLogSlot, log->slots, nr_segs);
    memset(log->slots + log->nr_segs, 0,
           (nr_segs - log->nr_segs) * sizeof(log->slots[0]));
    log->nr_segs = nr_segs;
    return true;
}

static GArray *newest_first(const DdebugLog *log, uint32_t type)
{
    GArray *order = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    uint64_t i;

    for (i = 0; i < log->nr_segs; i++) {
        if (is_used(&log->slots[i], type)) {
            g_array_append_val(order, i);
        }
    }
    sort_desc_by_seq(log, order);
    return order;
}

/* How many of the dictionary segments hold anything of @epoch or later. */
static guint count_since(const DdebugLog *log, const GArray *dict,
                         uint32_t epoch)
{
    guint n = 0;

    while (n < dict->len &&
           log->slots[g_array_index(dict, uint64_t, n)].last_epoch >= epoch) {
        n++;
    }
    return n;
}

/*
 * Marks the newest data segments that fit into nr_segs together with the
 * dictionary segments of their epochs.  The newest data segment and the newest
 * epoch's dictionary are never given up; an older dictionary is, where it is
 * the newest data segment's alone.  Returns false if not even they fit.
 */
static bool choose_keep(const DdebugLog *log, uint64_t nr_segs, bool *keep)
{
    g_autoptr(GArray) data = newest_first(log, DDEBUG_LOG_SEG_DATA);
    g_autoptr(GArray) dict = newest_first(log, DDEBUG_LOG_SEG_DICT);
    const guint limit = dict_limit(nr_segs);
    uint32_t epoch = log->epoch;
    guint nr_data, nr_dict, i;

    nr_dict = count_since(log, dict, epoch);
    if (nr_dict > limit) {
        return false;
    }
    for (nr_data = 0; nr_data < data->len; nr_data++) {
        uint64_t slot = g_array_index(data, uint64_t, nr_data);
        guint need;

        epoch = MIN(epoch, log->slots[slot].epoch);
        need = count_since(log, dict, epoch);
        if (nr_data == 0) {
            need = MIN(need, limit);
        }
        if (need > limit || nr_data + 1 + need > nr_segs) {
            break;
        }
        nr_dict = need;
        keep[slot] = true;
    }
    for (i = 0; i < nr_dict; i++) {
        keep[g_array_index(dict, uint64_t, i)] = true;
    }
    return true;
}

/*
 * Oldest first, and the dictionary after the data, so that whoever dies in
 * here leaves no hole in what is left.
 */
static int drop_rest(DdebugLog *log, const bool *keep)
{
    g_autoptr(GArray) data = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    uint64_t i;
    int r = 0;

    for (i = 0; i < log->nr_segs; i++) {
        if (!keep[i] && is_used(&log->slots[i], DDEBUG_LOG_SEG_DATA)) {
            g_array_append_val(data, i);
        }
    }
    sort_desc_by_seq(log, data);
    for (i = data->len; i-- > 0 && !r; ) {
        r = wipe_slot(log, g_array_index(data, uint64_t, i));
    }
    for (i = 0; i < log->nr_segs && !r; i++) {
        if (!keep[i] && log->slots[i].seq) {
            r = wipe_slot(log, i);
        }
    }
    return r;
}

/* The body first, so that a header never vouches for half a segment. */
static int copy_segment(DdebugLog *log, uint64_t from, uint64_t to, char *buf)
{
    int r = read_at(log->fd, buf, log->seg_size, slot_off(log, from));

    if (!r) {
        r = write_at(log->fd, buf + FIRST_CHUNK, log->seg_size - FIRST_CHUNK,
                     slot_off(log, to) + FIRST_CHUNK);
    }
    if (!r) {
        r = write_at(log->fd, buf, FIRST_CHUNK, slot_off(log, to));
    }
    return r;
}

/*
 * Moves what is kept below nr_segs; to[] is where each slot's segment is.
 * Until the superblock is written a moved segment is in both places.
 */
static int move_down(DdebugLog *log, uint64_t nr_segs, bool *keep, uint64_t *to)
{
    g_autofree char *buf = g_malloc(log->seg_size);
    uint64_t from, free_slot = 0;
    int r;

    for (from = nr_segs; from < log->nr_segs; from++) {
        if (!keep[from]) {
            continue;
        }
        while (keep[free_slot]) {
            free_slot++;
        }
        r = copy_segment(log, from, free_slot, buf);
        if (r) {
            return r;
        }
        keep[free_slot] = true;
        to[from] = free_slot;
    }
    return 0;
}

static void undo_move_down(DdebugLog *log, uint64_t nr_segs, const uint64_t *to)
{
    uint64_t from;

    for (from = nr_segs; from < log->nr_segs; from++) {
        if (to[from] != from) {
            wipe_slot(log, to[from]);
        }
    }
}

static void follow(DdebugLogCursor *cur, const uint64_t *to)
{
    if (cur->open) {
        cur->slot = to[cur->slot];
    }
}

static void take_moved(DdebugLog *log, uint64_t nr_segs, const uint64_t *to)
{
    uint64_t i;

    follow(&log->data, to);
    follow(&log->dict, to);
    for (i = nr_segs; i < log->nr_segs; i++) {
        if (to[i] != i) {
            log->slots[to[i]] = log->slots[i];
        }
    }
    log->nr_segs = nr_segs;
    log->slots = g_renew(DdebugLogSlot, log->slots, nr_segs);
}

static bool shrink(DdebugLog *log, uint64_t nr_segs, GError **error)
{
    g_autofree bool *keep = g_new0(bool, log->nr_segs);
    g_autofree uint64_t *to = g_new(uint64_t, log->nr_segs);
    uint64_t i;
    int r;

    if (!choose_keep(log, nr_segs, keep)) {
        return set_error(error, DDEBUG_LOG_ERROR_SIZE,
                         "the dictionary of the newest boot in '%s' does not "
                         "fit %" PRIu64 " bytes: ask for a larger size",
                         log->path, file_size(nr_segs, log->seg_size));
    }
    for (i = 0; i < log->nr_segs; i++) {
        to[i] = i;
    }
    r = drop_rest(log, keep);
    if (!r) {
        r = move_down(log, nr_segs, keep, to);
    }
    if (!r) {
        r = write_geometry(log, nr_segs);
    }
    if (r) {
        undo_move_down(log, nr_segs, to);
        return set_io_error(error, log->path, "cannot write", -r);
    }
    take_moved(log, nr_segs, to);
    cut(log->fd, file_size(nr_segs, log->seg_size));
    return true;
}

static bool set_nr_segs(DdebugLog *log, uint64_t nr_segs, GError **error)
{
    if (nr_segs == log->nr_segs) {
        return true;
    }
    return nr_segs > log->nr_segs ? grow(log, nr_segs, error) :
                                    shrink(log, nr_segs, error);
}

bool ddebug_log_resize(DdebugLog *log, uint64_t size, GError **error)
{
    const uint64_t had = ddebug_log_size(log);

    if (!check_size(size, error) ||
        !check_nr_segs(log->path, size, log->seg_size, error) ||
        !set_nr_segs(log, nr_segs_for(size, log->seg_size), error)) {
        return false;
    }
    if (ddebug_log_size(log) != had) {
        ddebug_log_append_event(log, DDEBUG_LOG_EVENT_SIZE, had,
                                ddebug_log_size(log), 0);
    }
    return true;
}

/* Rule 8 */
bool ddebug_log_clear(DdebugLog *log, GError **error)
{
    struct ddebug_log_super s = log->super;
    uint64_t first, i;
    int r;

    r = begin_segment(log, DDEBUG_LOG_SEG_DATA);
    if (!r) {
        first = log->slots[log->data.slot].seq;
        r = write_event(log, DDEBUG_LOG_EVENT_CLEAR, 0, 0, 0);
    }
    if (!r) {
        s.first_seg = GUINT64_TO_LE(first);
        r = write_super(log, &s);
    }
    if (r) {
        return set_io_error(error, log->path, "cannot write", -r);
    }
    for (i = 0; i < log->nr_segs; i++) {
        if (is_used(&log->slots[i], DDEBUG_LOG_SEG_DATA) &&
            log->slots[i].seq < first) {
            log->slots[i].seq = 0;
        }
    }
    return true;
}

/* Both copies: which of them was cut off does not matter then. */
static bool mend_cut(DdebugLog *log, uint64_t have, GError **error)
{
    const uint64_t size = ddebug_log_size(log);
    struct ddebug_log_super s = log->super;
    int r;

    log->data.open = false;
    log->dict.open = false;
    r = preallocate(log->fd, have, size);
    if (r) {
        return set_error(error, DDEBUG_LOG_ERROR_SPACE,
                         "'%s' was cut short to %" PRIu64 " bytes and cannot "
                         "be made whole: %s; make room on its file system",
                         log->path, have, g_strerror(r));
    }
    r = write_super(log, &s);
    if (!r) {
        r = write_super(log, &s);
    }
    if (r) {
        return set_io_error(error, log->path, "cannot write", -r);
    }
    if (!load_slots(log, error)) {
        return false;
    }
    return set_error(error, DDEBUG_LOG_ERROR_IO,
                     "'%s' was cut short to %" PRIu64 " bytes by somebody; it "
                     "is whole again, what was cut off is lost: use "
                     "ddebug-host to resize or clear a log", log->path, have);
}

bool ddebug_log_check(DdebugLog *log, GError **error)
{
    struct stat st;

    if (fstat(log->fd, &st) < 0) {
        return true;
    }
    if ((uint64_t)st.st_size < ddebug_log_size(log)) {
        return mend_cut(log, st.st_size, error);
    }
    if (st.st_nlink == 0 && !log->removal_told) {
        log->removal_told = true;
        return set_error(error, DDEBUG_LOG_ERROR_NOT_FOUND,
                         "'%s' was removed; what is written to it now is gone "
                         "when this program ends: unplug the device and plug "
                         "it in again to begin a new file", log->path);
    }
    return true;
}
