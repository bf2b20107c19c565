/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages that a test has the log writer write, each with a text that tells who said
 * it, and what the tool shows of them.
 */
#ifndef SAID_H
#define SAID_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message: its writer, its stream, and its number there. */
typedef struct Said {
    uint64_t life;
    uint32_t stream;
    uint64_t number;
} Said;

/* For hash tables of them. */
guint said_hash(gconstpointer said);
gboolean said_equal(gconstpointer a, gconstpointer b);

/* The text of a message; up to 3 KB, which may be random but are always the same. */
void said_text(GString *text, const Said *said);

/* What the tool shows of a log. */
typedef struct Found {
    GHashTable *said;           /* of Said */
    GHashTable *accounts;       /* by stream: how far it was shown or reported lost */
    uint64_t messages, lost;
    uint64_t torn;              /* chunks, or parts of them */
    uint64_t missing_to;        /* the last chunk said to be missing; 0: none */
    bool after_power_loss;      /* anything may be damaged, or have lost its dictionary */
} Found;

Found *found_new(bool after_power_loss);
void found_free(Found *found);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Found, found_free)

/*
 * Read the log at @path with the tool's library, as one without a writer.  What nobody
 * said, what is there twice, in the wrong order, or behind a gap that is not told
 * exactly, is a failure.
 */
void found_read(Found *found, const char *path);

/* Of the program that uses this: say why, and exit. */
void fail(const char *format, ...) G_GNUC_PRINTF(1, 2) G_GNUC_NORETURN;

#endif
