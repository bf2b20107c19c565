/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The device's side of the test of rings' lives: qemu-device/ddebug-stream.c and the tool's decoder. */
#include "ddebug-codec.h"
#include "ddebug-render.h"
#include "ddebug-stream.h"
#include "life.h"

struct LifeElement {
    DdebugStream stream;
    uint8_t buf[DDEBUG_STREAM_SPAN_MAX];
    DdebugSpan span;
    bool inside;            /* the span is not read to its end */
};

LifeElement *device_post(const StressStream *s, uint64_t start)
{
    LifeElement *e = g_new0(LifeElement, 1);

    e->stream = (DdebugStream) {
        .id = s->id,
        .cpu = s->cpu,
        .context = s->context,
        .subbuf_shift = s->subbuf_shift,
        .ring_size = s->ring_size,
        .hdr = s->hdr,
        .status = s->status,
        .ring = s->ring,
        .nr_pieces = s->nr_pieces,
        .consumed = start,
    };
    return e;
}

void device_free(LifeElement *e)
{
    g_free(e->stream.ring);
    g_free(e);
}

void device_want_kick(LifeElement *e, bool want)
{
    ddebug_stream_want_kick(&e->stream, want);
}

uint64_t device_dropped(const LifeElement *e)
{
    return e->span.lost;
}

static bool next_span(LifeElement *e)
{
    DdebugChunk chunk = { .type = DDEBUG_LOG_CHUNK_DATA };
    DdebugLogData data;
    size_t len;

    len = ddebug_stream_copy(&e->stream, ddebug_stream_head(&e->stream), e->buf, &data);
    if (e->stream.stopped) {
        stress_fail("stream %u: %s", e->stream.id, e->stream.broken_rule);
    }
    if (!len) {
        return false;
    }
    chunk.subbuf_shift = data.subbuf_shift;
    chunk.pos = data.pos;
    chunk.len = len;
    chunk.payload = e->buf;
    ddebug_span_init(&e->span, &chunk);
    e->inside = true;
    return true;
}

bool device_next(LifeElement *e, LifeMessage *to, const char *(*format)(uint32_t callsite))
{
    DdebugMessage m;
    int len;

    for (;;) {
        if (!e->inside && !next_span(e)) {
            return false;
        }
        if (ddebug_span_next(&e->span, &m)) {
            break;
        }
        if (e->span.damage || e->span.unknown) {
            stress_fail("stream %u: %s", e->stream.id,
                        e->span.damage ? e->span.damage : "a record of unknown type");
        }
        e->inside = false;
    }
    *to = (LifeMessage) {
        .time = m.time, .number = m.number, .callsite = m.callsite, .pid = m.pid, .packed = m.args != NULL,
    };
    if (m.args) {
        const char *packed = format(m.callsite);
        const DdebugCallsite site = {
            .packed = (const guint8 *)packed, .packed_len = packed ? strlen(packed) : 0,
        };

        len = packed ? ddebug_render_packed(&m, &site, (guint8 *)to->text) : -1;
        if (len < 0) {
            stress_fail("stream %u: a packed record that cannot be read", e->stream.id);
        }
        to->len = len;
    } else {
        to->len = m.len;
        memcpy(to->text, m.text, m.len);
    }
    return true;
}
