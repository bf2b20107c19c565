/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log's geometry, and the superblock that it stands in. */
#include "ddebug-log-internal.h"

uint32_t ddlog_seg_size_for(uint64_t size)
{
    return size < 8 * MIB ? 128u << 10 :
           size < 64 * MIB ? 256u << 10 : 1u << 20;
}

uint64_t ddlog_nr_segs_for(uint64_t size, uint32_t seg_size, uint64_t shm_size)
{
    const uint64_t begin = DDEBUG_LOG_SEGS_OFF + shm_size;

    return size < begin ? 0 : (size - begin) / seg_size;
}

uint64_t ddlog_file_size(uint64_t nr_segs, uint32_t seg_size,
                         uint64_t shm_size)
{
    return DDEBUG_LOG_SEGS_OFF + shm_size + nr_segs * seg_size;
}

uint64_t ddlog_size_with(const DdebugLog *log, uint64_t nr_segs)
{
    return ddlog_file_size(nr_segs, log->seg_size, log->shm_size);
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
                          "a log of %" PRIu64 " bytes is too small; the "
                          "smallest is 1M (%llu bytes)", size,
                          DDEBUG_LOG_SIZE_MIN);
    }
    if (size > DDEBUG_LOG_SIZE_MAX) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_SIZE,
                          "a log of %" PRIu64 " bytes is too large; the "
                          "largest is 1T (%llu bytes)", size,
                          DDEBUG_LOG_SIZE_MAX);
    }
    return true;
}

bool ddlog_check_nr_segs(const char *path, uint64_t size, uint32_t seg_size,
                         uint64_t shm_size, GError **error)
{
    if (ddlog_nr_segs_for(size, seg_size, shm_size) < DDEBUG_LOG_NR_SEGS_MIN) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_SIZE,
                          "%" PRIu64 " bytes are too few for '%s', which was "
                          "made with segments of %u KiB and %" PRIu64 " KiB for "
                          "shared rings: ask for at least "
                          "%" PRIu64 " bytes, or remove the file so that it is "
                          "made anew", size, path, seg_size >> 10,
                          shm_size >> 10,
                          ddlog_file_size(DDEBUG_LOG_NR_SEGS_MIN, seg_size,
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
    seal(s);
    r = ddlog_write_at(log->fd, s, sizeof(*s),
                       DDEBUG_LOG_SUPER_OFF(generation % 2));
    if (!r) {
        log->super = *s;
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

void ddlog_super_fields(struct ddebug_log_super *s, const DdebugLogInfo *info)
{
    s->opened = GUINT64_TO_LE(ddlog_clock_ns(CLOCK_REALTIME));
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

static bool has_unknown_incompat(const struct ddebug_log_super *s)
{
    return GUINT32_FROM_LE(s->incompat) & ~DDEBUG_LOG_INCOMPAT_KNOWN;
}

static bool super_in_bounds(const struct ddebug_log_super *s)
{
    uint32_t seg_size = GUINT32_FROM_LE(s->seg_size);
    uint64_t nr_segs = GUINT64_FROM_LE(s->nr_segs);
    uint64_t shm_size = GUINT64_FROM_LE(s->shm_size);
    bool has_shm = GUINT32_FROM_LE(s->incompat) & DDEBUG_LOG_INCOMPAT_SHM;

    return has_shm == (shm_size != 0) &&
           (!has_shm || ddebug_log_is_shm_size(shm_size)) &&
           seg_size >= DDEBUG_LOG_SEG_SIZE_MIN &&
           seg_size <= DDEBUG_LOG_SEG_SIZE_MAX &&
           (seg_size & (seg_size - 1)) == 0 &&
           nr_segs >= DDEBUG_LOG_NR_SEGS_MIN &&
           nr_segs <= ddlog_nr_segs_for(DDEBUG_LOG_SIZE_MAX, seg_size, 0) &&
           GUINT64_FROM_LE(s->size) == ddlog_file_size(nr_segs, seg_size,
                                                       shm_size);
}

/*
 * An unknown incompat bit may change what the bounds mean, so a copy that has
 * one is valid by its checksum alone: it must not be passed over for an older
 * copy, which would then be written on.
 */
bool ddlog_super_usable(const struct ddebug_log_super *s)
{
    return sealed(s) && (has_unknown_incompat(s) || super_in_bounds(s));
}

static bool fail_version(const DdebugLog *log,
                         const struct ddebug_log_super *s, GError **error)
{
    return ddlog_fail(error, DDEBUG_LOG_ERROR_VERSION,
                      "'%s' is a log of version %u, this program writes "
                      "version %u: name another file, or use the program "
                      "that wrote it", log->path, GUINT32_FROM_LE(s->version),
                      DDEBUG_LOG_VERSION);
}

bool ddlog_read_super(DdebugLog *log, GError **error)
{
    const struct ddebug_log_super *other = NULL;
    struct ddebug_log_super copy[2];
    bool is_log = false, found = false;
    int i, r;

    for (i = 0; i < 2; i++) {
        r = ddlog_read_at(log->fd, &copy[i], sizeof(copy[i]),
                          DDEBUG_LOG_SUPER_OFF(i));
        if (r) {
            return ddlog_fail_io(error, log->path, "cannot read", -r);
        }
        if (memcmp(copy[i].magic, DDEBUG_LOG_MAGIC, sizeof(copy[i].magic))) {
            continue;
        }
        is_log = true;
        if (GUINT32_FROM_LE(copy[i].version) != DDEBUG_LOG_VERSION) {
            if (sealed(&copy[i])) {
                return fail_version(log, &copy[i], error);
            }
            other = &copy[i];
            continue;
        }
        if (!ddlog_super_usable(&copy[i])) {
            continue;
        }
        if (!found || GUINT64_FROM_LE(copy[i].generation) >
                      GUINT64_FROM_LE(log->super.generation)) {
            log->super = copy[i];
            found = true;
        }
    }
    if (!found && other) {
        return fail_version(log, other, error);
    }
    if (!found && is_log) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_FORMAT,
                          "both superblocks of the log '%s' are damaged: name "
                          "another file, or remove this one", log->path);
    }
    if (!found) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_FORMAT,
                          "'%s' is not a virtio-ddebug log and not empty: name "
                          "another file, or remove this one", log->path);
    }
    if (has_unknown_incompat(&log->super) ||
        GUINT32_FROM_LE(log->super.compat) & ~DDEBUG_LOG_COMPAT_KNOWN) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_VERSION,
                          "the log '%s' has flags (incompat %#x, compat %#x) "
                          "that this program does not know: use a newer "
                          "program, or another file", log->path,
                          GUINT32_FROM_LE(log->super.incompat),
                          GUINT32_FROM_LE(log->super.compat));
    }
    log->seg_size = GUINT32_FROM_LE(log->super.seg_size);
    log->nr_segs = GUINT64_FROM_LE(log->super.nr_segs);
    log->shm_size = GUINT64_FROM_LE(log->super.shm_size);
    return true;
}
