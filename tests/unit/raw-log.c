/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "raw-log.h"

#include <string.h>

uint32_t crc_slow(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t crc = 0xffffffff;

    while (len--) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++) {
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
        }
    }
    return crc ^ 0xffffffff;
}

uint32_t crc(const void *data, size_t len)
{
    static uint32_t table[256];
    const uint8_t *p = data;
    uint32_t c = 0xffffffff;

    if (!table[1]) {
        for (unsigned i = 0; i < 256; i++) {
            uint32_t v = i;

            for (int k = 0; k < 8; k++) {
                v = v & 1 ? v >> 1 ^ 0x82f63b78 : v >> 1;
            }
            table[i] = v;
        }
    }
    while (len--) {
        c = table[(c ^ *p++) & 0xff] ^ c >> 8;
    }
    return c ^ 0xffffffff;
}

void view_free(View *v)
{
    g_array_unref(v->all);
    g_array_unref(v->segs);
    g_array_unref(v->chunks);
    g_free(v->file);
    g_free(v);
}

static gint seg_cmp(gconstpointer a, gconstpointer b)
{
    const Seg *x = a, *y = b;

    return x->seq < y->seq ? -1 : x->seq > y->seq ? 1 :
           x->slot < y->slot ? -1 : 1;
}

static void view_super(View *v)
{
    uint64_t best = 0;
    bool found = false;

    for (int i = 0; i < 2; i++) {
        struct ddebug_log_super s;

        memcpy(&s, v->file + DDEBUG_LOG_SUPER_OFF(i), sizeof(s));
        if (memcmp(s.magic, "DDEBUGLG", 8) || s.crc != crc(&s, 4092)) {
            continue;
        }
        g_assert_cmpuint(s.generation % 2, ==, i);
        if (!found || s.generation > best) {
            v->super = s;
            best = s.generation;
            found = true;
        }
    }
    g_assert_true(found);
    g_assert_cmpuint(v->super.version, ==, 1);
    g_assert_cmpuint(v->super.incompat | v->super.compat, ==, 0);
    g_assert_cmpuint(v->super.size, ==,
                     65536 + v->super.shm_size + v->super.nr_segs * v->super.seg_size);
}

/* The end of the last of them. */
static uint32_t view_chunks(View *v, const Seg *seg, const uint8_t *base)
{
    uint32_t off = 64;

    while (off + 128 <= v->super.seg_size) {
        Chunk c = { .seg_type = seg->type, .seg_epoch = seg->epoch };

        memcpy(&c.h, base + off, 128);
        if (c.h.magic != DDEBUG_LOG_CHUNK_MAGIC || c.h.seg_seq != seg->seq ||
            c.h.off != off || c.h.tag != seg->tag || c.h.crc != crc(&c.h, 124)) {
            break;
        }
        g_assert_cmpuint(off + 128 + (uint64_t)c.h.len, <=, v->super.seg_size);
        c.payload = base + off + 128;
        if (c.h.payload_crc != crc(c.payload, c.h.len)) {
            /* torn by a SIGKILL: always the last of its segment */
            break;
        }
        for (uint32_t i = c.h.len; i % 8; i++) {
            g_assert_cmpuint(c.payload[i], ==, 0);
        }
        g_array_append_val(v->chunks, c);
        off += 128 + (c.h.len + 7) / 8 * 8;
    }
    return off;
}

static const uint8_t *view_base(const View *v, const Seg *seg)
{
    return v->file + 65536 + v->super.shm_size + seg->slot * v->super.seg_size;
}

void view_check_rest(View *v)
{
    for (guint i = 0; i < v->segs->len; i++) {
        const Seg *s = &g_array_index(v->segs, Seg, i);

        for (uint32_t off = s->end; off && off < v->super.seg_size; off++) {
            g_assert_cmpuint(view_base(v, s)[off], ==, 0);
        }
    }
}

/* Rule 5, and which chunks may be in which segment. */
static void view_check_epochs(View *v, bool live)
{
    uint32_t oldest = UINT32_MAX, last_epoch = 0;
    uint64_t dict = 0, last_seq = 0;
    g_autoptr(GHashTable) attached = g_hash_table_new(NULL, NULL);

    for (guint i = 0; i < v->segs->len; i++) {
        Seg *s = &g_array_index(v->segs, Seg, i);

        g_assert_cmpuint(s->epoch, >=, last_epoch);
        last_epoch = s->epoch;
        if (s->type == DDEBUG_LOG_SEG_DATA) {
            if (s->seq >= v->super.first_seg) {
                oldest = MIN(oldest, s->epoch);
            }
        } else {
            dict++;
        }
    }
    g_assert_cmpuint(dict, <=, v->super.nr_segs / 2);
    for (guint i = 0; i < v->chunks->len; i++) {
        Chunk *c = &g_array_index(v->chunks, Chunk, i);
        bool of_dict = c->h.type == DDEBUG_LOG_CHUNK_ATTACH ||
                       c->h.type == DDEBUG_LOG_CHUNK_DICT;
        g_assert_cmpuint(of_dict, ==, c->seg_type == DDEBUG_LOG_SEG_DICT);
        g_assert_cmpuint(c->h.epoch, >=, c->seg_epoch);
        if (c->seg_type == DDEBUG_LOG_SEG_DATA) {
            g_assert_cmpuint(c->h.chunk_seq, >, last_seq);
            last_seq = c->h.chunk_seq;
        }
        if (c->h.type == DDEBUG_LOG_CHUNK_ATTACH) {
            g_hash_table_add(attached, GUINT_TO_POINTER(c->h.epoch));
        }
    }
    for (guint i = 0; live && i < v->chunks->len; i++) {
        Chunk *c = &g_array_index(v->chunks, Chunk, i);

        if (c->h.type == DDEBUG_LOG_CHUNK_DATA) {
            g_assert_true(g_hash_table_contains(
                attached, GUINT_TO_POINTER(c->h.epoch)));
        }
    }
}

View *view_load(const char *path, bool live)
{
    View *v = g_new0(View, 1);
    v->all = g_array_new(FALSE, FALSE, sizeof(Seg));
    v->segs = g_array_new(FALSE, FALSE, sizeof(Seg));
    v->chunks = g_array_new(FALSE, FALSE, sizeof(Chunk));
    g_assert_true(g_file_get_contents(path, (char **)&v->file, &v->len, NULL));
    g_assert_cmpuint(v->len, >=, 8192);
    view_super(v);
    for (uint64_t slot = 0; slot < v->super.nr_segs; slot++) {
        uint64_t off = 65536 + v->super.shm_size + slot * v->super.seg_size;
        struct ddebug_log_seg s;
        Seg seg;

        if (off + v->super.seg_size > v->len) {
            break;
        }
        memcpy(&s, v->file + off, sizeof(s));
        if (s.magic != DDEBUG_LOG_SEG_MAGIC || s.crc != crc(&s, 60)) {
            continue;
        }
        g_assert_cmpuint(s.seq, >, 0);
        g_assert_cmpuint(s.tag, !=, 0);
        seg = (Seg) {
            .seq = s.seq, .type = s.type, .epoch = s.epoch, .tag = s.tag, .slot = slot,
        };
        g_array_append_val(v->all, seg);
    }
    g_array_sort(v->all, seg_cmp);
    for (guint i = 0; i < v->all->len; i++) {
        Seg *s = &g_array_index(v->all, Seg, i);

        if (i && g_array_index(v->all, Seg, i - 1).seq == s->seq) {
            v->twice++;
            continue;
        }
        g_array_append_val(v->segs, *s);
        if (s->type == DDEBUG_LOG_SEG_DICT || s->seq >= v->super.first_seg) {
            uint32_t end = view_chunks(v, s, view_base(v, s));

            g_array_index(v->segs, Seg, v->segs->len - 1).end = end;
        }
    }
    view_check_epochs(v, live);
    return v;
}

View *view(const char *path)
{
    View *v = view_load(path, true);

    g_assert_cmpuint(v->len, ==, v->super.size);
    g_assert_cmpuint(v->twice, ==, 0);
    return v;
}

unsigned count(View *v, unsigned type)
{
    unsigned n = 0;

    for (guint i = 0; i < v->chunks->len; i++) {
        n += g_array_index(v->chunks, Chunk, i).h.type == type;
    }
    return n;
}

struct ddebug_log_event event_at(View *v, int from_end)
{
    struct ddebug_log_event e = { 0 };

    for (guint i = v->chunks->len; i-- > 0; ) {
        Chunk *c = &g_array_index(v->chunks, Chunk, i);

        if (c->h.type == DDEBUG_LOG_CHUNK_EVENT && from_end-- == 0) {
            g_assert_cmpuint(c->h.len, ==, sizeof(e));
            memcpy(&e, c->payload, sizeof(e));
            return e;
        }
    }
    return e;
}
