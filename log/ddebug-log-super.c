/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The geometry of a log, and its superblock. */
#include "ddebug-log-internal.h"
#include "ddebug-log-origin.h"

uint64_t ddlog_size_with(const DdebugLog *log, uint64_t nr_segs)
{
    return ddebug_log_file_size(nr_segs, log->seg_size, log->shm_size);
}

uint64_t ddlog_slot_off(const DdebugLog *log, uint64_t slot)
{
    return ddlog_size_with(log, slot);
}

uint64_t ddlog_dict_limit(uint64_t nr_segs)
{
    return nr_segs / 2;
}

bool ddebug_log_check_size(uint64_t size, GError **error)
{
    if (size < DDEBUG_LOG_SIZE_MIN) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_SIZE,
                          "a log size of %" PRIu64 " bytes is too small; the "
                          "minimum is 1M (%llu bytes)", size,
                          DDEBUG_LOG_SIZE_MIN);
    }
    if (size > DDEBUG_LOG_SIZE_MAX) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_SIZE,
                          "a log size of %" PRIu64 " bytes is too large; the "
                          "maximum is 1T (%llu bytes)", size,
                          DDEBUG_LOG_SIZE_MAX);
    }
    return true;
}

bool ddlog_check_nr_segs(const char *path, uint64_t size, uint32_t seg_size,
                         uint64_t shm_size, GError **error)
{
    if (ddebug_log_nr_segs_for(size, seg_size, shm_size) <
        DDEBUG_LOG_NR_SEGS_MIN) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_SIZE,
                          "%" PRIu64 " bytes are too few for '%s', which has "
                          "segments of %u KiB and %" PRIu64 " KiB of shared "
                          "rings: use a size of at least %" PRIu64 " bytes, or "
                          "remove the file to create a new log", size, path,
                          seg_size >> 10,
                          shm_size >> 10,
                          ddebug_log_file_size(DDEBUG_LOG_NR_SEGS_MIN, seg_size,
                                          shm_size));
    }
    return true;
}

/* Superblock */

int ddlog_write_super(DdebugLog *log, struct ddebug_log_super *s)
{
    uint64_t generation = GUINT64_FROM_LE(log->super.generation) + 1;
    int r;

    s->generation = GUINT64_TO_LE(generation);
    ddebug_log_seal(s, sizeof(*s));
    r = ddlog_write_at(log->fd, s, sizeof(*s),
                       DDEBUG_LOG_SUPER_OFF(generation % 2));
    if (!r) {
        log->super = *s;
        ddlog_note_super(log);
    }
    return r;
}

int ddlog_write_geometry(DdebugLog *log, uint64_t nr_segs)
{
    struct ddebug_log_super s = log->super;

    s.nr_segs = GUINT64_TO_LE(nr_segs);
    s.size = GUINT64_TO_LE(ddlog_size_with(log, nr_segs));
    return ddlog_write_super(log, &s);
}

/* Says which file the log is, so that a reader can tell a copy. */
static void name_file(const DdebugLog *log, struct ddebug_log_super *s)
{
    DdebugLogOrigin origin;

    s->named_at = 0;
    if (!ddebug_log_origin(log->fd, &origin)) {
        return;
    }
    s->named_at = s->opened;
    s->file_dev = GUINT64_TO_LE(origin.dev);
    s->file_ino = GUINT64_TO_LE(origin.ino);
    s->file_fs = GUINT32_TO_LE(origin.fs);
    memcpy(s->host_boot, origin.host_boot, sizeof(s->host_boot));
}

void ddlog_super_fields(const DdebugLog *log, struct ddebug_log_super *s,
                        const DdebugLogInfo *info)
{
    const bool named = s->named_at && s->named_at == s->opened;

    s->opened = GUINT64_TO_LE(ddlog_clock_ns(CLOCK_REALTIME));
    s->writer_pid = GUINT32_TO_LE(getpid());
    if (!info) {
        /* a copy stays one: how the writer of the original ended is unknown */
        s->named_at = named ? s->opened : 0;
        return;
    }
    name_file(log, s);
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

/* Reads both copies; @len: how many bytes of them the file has. */
static int read_supers(const DdebugLog *log,
                       struct ddebug_log_super copies[2], size_t *len)
{
    struct stat st;

    *len = 0;
    if (fstat(log->fd, &st) < 0) {
        return -errno;
    }
    *len = MIN((uint64_t)st.st_size, DDEBUG_LOG_SUPERS_SIZE);
    return ddlog_read_at(log->fd, copies, DDEBUG_LOG_SUPERS_SIZE,
                         DDEBUG_LOG_SUPER_OFF(0));
}

uint32_t ddlog_writer_pid(const DdebugLog *log)
{
    struct ddebug_log_super copies[2];
    DdebugSuperState state;
    DdebugSuper super;
    size_t len;
    int copy;

    if (read_supers(log, copies, &len)) {
        return 0;
    }
    state = ddebug_log_choose_super(copies, len, &super, &copy);
    return state == DDEBUG_SUPER_GOOD || state == DDEBUG_SUPER_FEATURES ?
           super.writer_pid : 0;
}

static bool fail_super(const DdebugLog *log, DdebugSuperState state,
                       const DdebugSuper *super, GError **error)
{
    switch (state) {
    case DDEBUG_SUPER_OTHER:
    case DDEBUG_SUPER_VERSION:
        return ddlog_fail(error, DDEBUG_LOG_ERROR_VERSION,
                          "'%s' is a log of version %u, but this program "
                          "writes version %u: use another file, or the program "
                          "that created this one", log->path, super->version,
                          DDEBUG_LOG_VERSION);
    case DDEBUG_SUPER_GOOD:
    case DDEBUG_SUPER_FEATURES:
        return ddlog_fail(error, DDEBUG_LOG_ERROR_VERSION,
                          "'%s' uses features (incompat %#x, compat %#x) "
                          "unknown to this program: use a newer program, or "
                          "another file", log->path, super->incompat,
                          super->compat);
    case DDEBUG_SUPER_DAMAGED:
        return ddlog_fail(error, DDEBUG_LOG_ERROR_DAMAGED,
                          "both superblocks of '%s' are damaged: use another "
                          "file, or remove this one", log->path);
    case DDEBUG_SUPER_NOTHING:
    case DDEBUG_SUPER_FOREIGN:
    default:
        return ddlog_fail(error, DDEBUG_LOG_ERROR_FORMAT,
                          "'%s' is not a virtio-ddebug log and not empty: use "
                          "another file, or remove this one", log->path);
    }
}

bool ddlog_read_super(DdebugLog *log, GError **error)
{
    struct ddebug_log_super copies[2];
    DdebugSuperState state;
    DdebugSuper super;
    size_t len;
    int copy, r;

    r = read_supers(log, copies, &len);
    if (r) {
        return ddlog_fail_io(error, log->path, "cannot read", -r);
    }
    state = ddebug_log_choose_super(copies, len, &super, &copy);
    if (state != DDEBUG_SUPER_GOOD || !ddebug_log_may_write(&super)) {
        return fail_super(log, state, &super, error);
    }
    log->super = copies[copy];
    log->seg_size = super.seg_size;
    log->nr_segs = super.nr_segs;
    log->shm_size = super.shm_size;
    return true;
}

uint64_t ddebug_log_id(const DdebugLog *log)
{
    uint64_t half[2];

    G_STATIC_ASSERT(sizeof(half) == sizeof(log->super.uuid));
    memcpy(half, log->super.uuid, sizeof(half));
    /* all but six bits of a uuid are random */
    return (GUINT64_FROM_LE(half[0]) ^ GUINT64_FROM_LE(half[1])) | 1;
}

uint64_t ddebug_log_size(const DdebugLog *log)
{
    return GUINT64_FROM_LE(log->super.size);
}
