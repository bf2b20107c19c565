/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Repairing what another program did to the file. */
#include "ddebug-log-internal.h"

/* Write both copies, whichever was cut off. */
static bool extend_cut(DdebugLog *log, uint64_t have, bool *repaired,
                     GError **error)
{
    const uint64_t size = ddebug_log_size(log);
    struct ddebug_log_super s = log->super;
    int r;

    log->data.open = false;
    log->dict.open = false;
    log->must_load = true;
    r = ddlog_preallocate(log, have, size);
    if (r) {
        /* or it would seem whole next time */
        ddlog_cut(log->fd, have);
        return ddlog_fail(error, DDEBUG_LOG_ERROR_SPACE,
                          "'%s' was cut short to %" PRIu64 " bytes and cannot "
                          "be extended again: %s; free space on its file "
                          "system",
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
    *repaired = true;
    return ddlog_fail(error, DDEBUG_LOG_ERROR_IO,
                      "'%s' was cut short to %" PRIu64 " bytes by another "
                      "program; it has been extended again, but the messages "
                      "cut off are lost: use ddebug-host to resize or clear a "
                      "log", log->path, have);
}

/* Copy the chunks of the present epoch from the segment of @slot of @old. */
static int copy_chunks(DdebugLog *log, const DdebugLog *old, const char *buf,
                       const DdebugLogSlot *slot)
{
    DdebugLogPlace place = ddlog_first_place(old);
    DdebugChunk c;
    int r = 0;

    while (!r && ddlog_next_chunk(old, buf, slot, &place, &c)) {
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

/* Copy the dictionary of the present epoch from the removed file. */
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
            r = copy_chunks(log, old, buf, &old->slots[slot]);
        }
    }
    return r;
}

/*
 * Create an empty log with the size and the permissions of the old one.  A log
 * that has epochs of its own cannot take those of another one.
 */
static DdebugLog *create_heir(const DdebugLog *old, const struct stat *st,
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
        .opener = old->opener,
    };
    /* a log of the least size has fewer bytes, since segments are whole */
    const uint64_t size = MAX(ddebug_log_size(old), DDEBUG_LOG_SIZE_MIN);
    DdebugLog *heir = ddebug_log_begin(old->where, size, &info,
                                       old->flags | DDEBUG_LOG_OPEN_CREATE,
                                       error);
    bool ok = false;

    if (heir && !heir->opening.is_new) {
        ddlog_fail(error, DDEBUG_LOG_ERROR_FORMAT, "'%s' is a log already: use "
                   "an empty file", old->path);
    } else if (heir) {
        ok = ddebug_log_finish(heir, error);
    }
    if (!ok) {
        ddebug_log_close(heir);
        heir = NULL;
    }
    return heir;
}

static void swap_files(DdebugLog *a, DdebugLog *b)
{
    DdebugLog c = *a;

    a->fd = b->fd;
    a->lent = b->lent;
    a->locked = b->locked;
    a->super = b->super;
    a->seg_size = b->seg_size;
    a->nr_segs = b->nr_segs;
    a->shm_size = b->shm_size;
    a->slots = b->slots;
    a->data = b->data;
    a->dict = b->dict;
    a->next_seq = b->next_seq;
    a->next_chunk = b->next_chunk;
    a->folder_fd = b->folder_fd;
    b->fd = c.fd;
    b->folder_fd = c.folder_fd;
    b->lent = c.lent;
    b->locked = c.locked;
    b->slots = c.slots;
}

/*
 * The file had no other name, so its contents are gone once it is closed.
 */
static bool replace_removed(DdebugLog *log, const struct stat *st,
                            bool *repaired, GError **error)
{
    g_autoptr(GError) why = NULL;
    struct stat other;
    DdebugLog *heir;
    int r;

    if (!log->opener && lstat(log->where, &other) == 0) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_NOT_FOUND,
                          "'%s' was replaced by another file; messages are "
                          "lost until that file is moved away, then a new log "
                          "is created", log->path);
    }
    heir = create_heir(log, st, &why);
    if (!heir) {
        return ddlog_fail(error, DDEBUG_LOG_ERROR_NOT_FOUND,
                          "'%s' was removed; messages are lost until a new log "
                          "can be created: %s", log->path, why->message);
    }
    heir->epoch = log->epoch;
    heir->next_chunk = log->next_chunk;
    heir->next_seq = log->next_seq;
    r = copy_dict(heir, log);
    if (r) {
        ddlog_cut(heir->fd, 0);
        if (!log->opener) {
            unlink(log->where);
        }
        ddebug_log_close(heir);
        return ddlog_fail_io(error, log->path, "cannot copy the dictionary to",
                             -r);
    }
    swap_files(log, heir);
    ddlog_note_replaced(log);
    ddebug_log_close(heir);
    log->must_load = false;
    *repaired = true;
    return ddlog_fail(error, DDEBUG_LOG_ERROR_NOT_FOUND,
                      "'%s' was removed; a new log was created there, the "
                      "messages in the old one are lost: use ddebug-host to "
                      "resize or clear a log", log->path);
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
    const bool again = log->error_reported;
    bool well, repaired = false;

    if (fstat(log->fd, &st) < 0) {
        return true;
    }
    if (st.st_nlink == 0) {
        well = replace_removed(log, &st, &repaired, &why);
    } else if ((uint64_t)st.st_size < ddebug_log_size(log)) {
        well = extend_cut(log, st.st_size, &repaired, &why);
    } else {
        well = !log->must_load || load_again(log, &why);
    }
    /* retry what could not be repaired, without reporting it again */
    log->error_reported = !well && !repaired;
    if (well || (again && log->error_reported)) {
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
}
