/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What somebody else has done to the file, and what is done about it. */
#include "ddebug-log-internal.h"

/* Both copies: which of them was cut off does not matter then. */
static bool mend_cut(DdebugLog *log, uint64_t have, bool *mended,
                     GError **error)
{
    const uint64_t size = ddebug_log_size(log);
    struct ddebug_log_super s = log->super;
    int r;

    log->data.open = false;
    log->dict.open = false;
    log->must_load = true;
    r = ddlog_preallocate(log->fd, have, size);
    if (r) {
        /* it would seem whole the next time */
        ddlog_cut(log->fd, have);
        return ddlog_fail(error, DDEBUG_LOG_ERROR_SPACE,
                          "'%s' was cut short to %" PRIu64 " bytes and cannot "
                          "be made whole: %s; make room on its file system",
                          log->path, have, g_strerror(r));
    }
    r = ddlog_write_super(log, &s);
    if (!r) {
        r = ddlog_write_super(log, &s);
    }
    if (r) {
        return ddlog_fail_io(error, log->path, "cannot write", -r);
    }
    if (!ddlog_load_slots(log, error)) {
        return false;
    }
    log->must_load = false;
    *mended = true;
    return ddlog_fail(error, DDEBUG_LOG_ERROR_IO,
                      "'%s' was cut short to %" PRIu64 " bytes by somebody; it "
                      "is whole again, what was cut off is lost: use "
                      "ddebug-host to resize or clear a log", log->path, have);
}

/* What segment @seq of @old holds of the present epoch. */
static int copy_chunks(DdebugLog *log, const DdebugLog *old, const char *buf,
                       uint64_t seq)
{
    DdebugLogPlace place = ddlog_first_place(old);
    DdebugChunk c;
    int r = 0;

    while (!r && ddlog_next_chunk(old, buf, seq, &place, &c)) {
        struct ddebug_log_chunk disk = {
            .type = GUINT16_TO_LE(c.type),
            .epoch = GUINT32_TO_LE(c.epoch),
        };

        /* a new checksum would vouch for a damaged payload */
        if (c.epoch == log->epoch && c.payload) {
            r = ddlog_write_chunk(log, DDEBUG_LOG_SEG_DICT, &disk, c.payload,
                                  c.len);
        }
    }
    return r;
}

/* The dictionary of the present epoch, out of the file that was removed. */
static int copy_dict(DdebugLog *log, const DdebugLog *old)
{
    g_autoptr(GArray) order = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    g_autofree char *buf = g_malloc(old->seg_size);
    uint64_t i;
    int r = 0;

    for (i = 0; i < old->nr_segs; i++) {
        if (ddlog_is_used(&old->slots[i], DDEBUG_LOG_SEG_DICT) &&
            old->slots[i].last_epoch >= old->epoch) {
            g_array_append_val(order, i);
        }
    }
    ddlog_sort_desc_by_seq(old, order);
    for (i = order->len; i-- > 0 && !r; ) {
        uint64_t slot = g_array_index(order, uint64_t, i);

        r = ddlog_read_at(old->fd, buf, old->seg_size,
                          ddlog_slot_off(old, slot));
        if (!r) {
            r = copy_chunks(log, old, buf, old->slots[slot].seq);
        }
    }
    return r;
}

/* An empty log of the size and with the access that the old one has. */
static DdebugLog *make_heir(const DdebugLog *old, const struct stat *st,
                            GError **error)
{
    const struct ddebug_log_super *s = &old->super;
    g_autofree char *vm_name = g_strndup((const char *)s->vm_name,
                                         sizeof(s->vm_name));
    g_autofree char *writer = g_strndup((const char *)s->writer,
                                        sizeof(s->writer));
    const DdebugLogInfo info = {
        .vm_name = vm_name,
        .vm_uuid = s->vm_uuid,
        .writer = writer,
        .file_mode = st->st_mode & 0777,
        .file_group = &st->st_gid,
        .shm_size = old->shm_size,
    };

    return ddebug_log_open(old->where, ddebug_log_size(old), &info,
                           old->flags | DDEBUG_LOG_OPEN_CREATE, error);
}

static void swap_files(DdebugLog *a, DdebugLog *b)
{
    DdebugLog c = *a;

    a->fd = b->fd;
    a->super = b->super;
    a->seg_size = b->seg_size;
    a->nr_segs = b->nr_segs;
    a->shm_size = b->shm_size;
    a->slots = b->slots;
    a->data = b->data;
    a->dict = b->dict;
    a->next_seq = b->next_seq;
    a->next_chunk = b->next_chunk;
    b->fd = c.fd;
    b->slots = c.slots;
}

/*
 * There was a name, and the file had no other, so nothing of it can be found
 * any more once it is closed.
 */
static bool begin_anew(DdebugLog *log, const struct stat *st, bool *mended,
                       GError **error)
{
    g_autoptr(GError) why = NULL;
    struct stat other;
    DdebugLog *heir;
    int r;

    if (lstat(log->where, &other) == 0) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_NOT_FOUND,
                          "'%s' was replaced by another file; what is logged "
                          "is lost until that is moved away: a new log is "
                          "begun then", log->path);
    }
    heir = make_heir(log, st, &why);
    if (!heir) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_NOT_FOUND,
                          "'%s' was removed; what is logged is lost until a "
                          "new one can be made: %s", log->path, why->message);
    }
    heir->epoch = log->epoch;
    heir->next_chunk = log->next_chunk;
    heir->next_seq = log->next_seq;
    r = copy_dict(heir, log);
    if (r) {
        unlink(log->where);
        ddebug_log_close(heir);
        return ddlog_fail_io(error, log->path, "cannot begin anew", -r);
    }
    swap_files(log, heir);
    ddebug_log_close(heir);
    log->must_load = false;
    *mended = true;
    return ddlog_fail(error, DDEBUG_LOG_ERROR_NOT_FOUND,
                      "'%s' was removed; a new log was begun there, what was "
                      "in the old one is lost: use ddebug-host to resize or "
                      "clear a log", log->path);
}

static bool load_again(DdebugLog *log, GError **error)
{
    log->must_load = !ddlog_load_slots(log, error);
    return !log->must_load;
}

bool ddebug_log_check(DdebugLog *log, GError **error)
{
    g_autoptr(GError) why = NULL;
    struct stat st;
    const bool again = log->mishap_told;
    bool well, mended = false;

    if (fstat(log->fd, &st) < 0) {
        return true;
    }
    if (st.st_nlink == 0) {
        well = begin_anew(log, &st, &mended, &why);
    } else if ((uint64_t)st.st_size < ddebug_log_size(log)) {
        well = mend_cut(log, st.st_size, &mended, &why);
    } else {
        well = !log->must_load || load_again(log, &why);
    }
    /* what could not be mended is looked at again, and not said again */
    log->mishap_told = !well && !mended;
    if (well || (again && log->mishap_told)) {
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
}
