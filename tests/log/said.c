/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../unit/raw-log.h"
#include "ddebug-view.h"
#include "said.h"

guint said_hash(gconstpointer said)
{
    const Said *s = said;

    return mix(s->life * 31 + s->stream * 7 + s->number);
}

gboolean said_equal(gconstpointer a, gconstpointer b)
{
    const Said *x = a, *y = b;

    return x->life == y->life && x->stream == y->stream && x->number == y->number;
}

void said_text(GString *text, const Said *s)
{
    const uint32_t hash = mix(s->life * 1000003 + s->stream * 10007 + s->number);

    g_string_printf(text, "life %" PRIu64 " stream %u number %" PRIu64 " ", s->life, s->stream, s->number);
    for (uint32_t i = 0; i < hash % 3000; i++) {
        g_string_append_c(text, 'a' + (hash + i * i) % 26);
    }
}

static bool parse(const char *text, size_t len, Said *said)
{
    g_autoptr(GString) want = g_string_new(NULL);
    g_autofree char *copy = g_strndup(text, MIN(len, 100));

    return sscanf(copy, "life %" SCNu64 " stream %u number %" SCNu64 " ", &said->life, &said->stream,
                  &said->number) == 3 &&
           (said_text(want, said), want->len == len) &&
           memcmp(want->str, text, len) == 0;
}

/* A stream as shown by the tool. */
typedef struct Account {
    uint64_t next;              /* everything below is shown or reported lost */
} Account;

static void take_message(Found *found, const DdebugItem *item)
{
    Said *said = g_new(Said, 1);
    const DdebugMessage *message = &item->message;
    bool is_known;

    if (!parse((const char *)message->text, message->len, said)) {
        fail("false text: '%.60s'", (const char *)message->text);
    }
    /* an instance is known by a chunk that may be lost */
    is_known = item->epoch->instance_id || !found->after_power_loss;
    if (message->number != said->number || item->stream->id != said->stream ||
        (is_known && item->epoch->instance_id != said->life)) {
        fail("a message at another place than it was written to");
    }
    if (!g_hash_table_add(found->said, said)) {
        fail("message %" PRIu64 " is there twice", message->number);
    }
    found->messages++;
}

static void take_item(Found *found, const DdebugItem *item)
{
    Account *a;

    switch (item->type) {
    case DDEBUG_ITEM_MESSAGE:
        take_message(found, item);
        break;
    case DDEBUG_ITEM_LOST:
        found->lost += item->count;
        break;
    case DDEBUG_ITEM_IO_LOST:
        if (item->reason != DDEBUG_LOST_FULL) {
            fail("chunks are said to be lost, for the reason %d", item->reason);
        }
        return;
    case DDEBUG_ITEM_BAD_CHUNK:
        found->torn++;
        return;
    case DDEBUG_ITEM_UNSYNCED:
        if (found->after_power_loss && !item->error) {
            found->missing_to = item->args[1];
            return;
        }
        /* fall through */
    default:
        fail("a notice of something that never happened: %d", item->type);
    }
    a = g_hash_table_lookup(found->accounts, item->stream);
    if (!a) {
        a = g_new0(Account, 1);
        g_hash_table_insert(found->accounts, item->stream, a);
    }
    if (item->type == DDEBUG_ITEM_LOST) {
        a->next += item->count;
    } else if (item->message.number != a->next) {
        fail("message %" PRIu64 " comes after those up to %" PRIu64 ", and the gap is not told or is wrong",
             item->message.number, a->next);
    } else {
        a->next++;
    }
}

Found *found_new(bool after_power_loss)
{
    Found *found = g_new0(Found, 1);

    found->said = g_hash_table_new_full(said_hash, said_equal, g_free, NULL);
    found->accounts = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    found->after_power_loss = after_power_loss;
    return found;
}

void found_free(Found *found)
{
    g_hash_table_unref(found->said);
    g_hash_table_unref(found->accounts);
    g_free(found);
}

static void take_items(Found *found, DdebugView *view)
{
    g_autoptr(GError) error = NULL;
    DdebugViewResult result;
    DdebugItem item;

    while ((result = ddebug_view_next(view, &item, &error)) == DDEBUG_VIEW_ITEM) {
        take_item(found, &item);
    }
    if (result != DDEBUG_VIEW_END) {
        fail("the tool cannot read the log: %s", error ? error->message : "it is another one");
    }
}

void found_read(Found *found, const char *path)
{
    g_autoptr(GError) error = NULL;
    DdebugReader *reader = ddebug_reader_open(path, &error);
    g_autoptr(DdebugView) view = NULL;

    if (!reader) {
        fail("the tool cannot open the log: %s", error->message);
    }
    view = ddebug_view_new(reader);
    ddebug_view_start(view, FALSE);
    take_items(found, view);
    ddebug_view_finish(view);
    take_items(found, view);
}
