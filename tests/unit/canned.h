/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logs for tests, made without the code that is tested: what a guest produces,
 * and a file laid out by hand, chunk by chunk.
 */
#ifndef CANNED_H
#define CANNED_H

#include <glib.h>

#include "ddebug_log.h"
#include "ddebug_record.h"
#include "virtio_ddebug.h"

/* ---- a stream, as a guest's CPU fills it ---- */

typedef struct
{
  guint32 id;
  guint32 cpu;
  guint8 context;
  guint8 shift;             /* log2 of the sub-buffer size */
  GByteArray *bytes;        /* the stream from position 0 */
  guint64 taken;            /* position up to which the device has come */
  guint64 base;
  guint64 number;           /* of the next message */
  guint64 recursed;
  guint64 torn;
} Producer;

Producer *producer_new (guint32 id, guint32 cpu, guint8 context);
void producer_free (Producer *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Producer, producer_free)

void producer_say (Producer *p, guint64 time, guint32 callsite, const void *text, gsize len);
/* A line of the kernel's log; @flags: DDEBUG_KMSG_F_*. */
void producer_kmsg (Producer *p, guint64 time, guint32 flags, const char *text);
/* A packed message; @head NULL: of the layout that has none. */
void producer_packed (Producer *p, guint64 time, guint32 callsite, const char *head, const void *args, gsize len);
void producer_printf (Producer *p, guint64 time, const char *format, ...) G_GNUC_PRINTF (3, 4);
/* A record of any kind, at the place where the stream is; it must fit the sub-buffer. */
void producer_record (Producer *p, const void *record, gsize len);
/* Begins the next sub-buffer. */
void producer_turn (Producer *p, guint64 time);

/* The next span that a device would take: one sub-buffer at most; FALSE if there is none. */
gboolean producer_take (Producer *p, struct ddebug_log_chunk *chunk, GByteArray *payload);
/* The device comes too late: the guest has overwritten up to @pos. */
void producer_lap (Producer *p, guint64 pos);

/* ---- a file ---- */

typedef struct
{
  guint8 *bytes;
  gsize size;
  guint32 seg_size;
  guint64 nr_segs;
  guint64 shm_size;         /* of the shared rings */
  struct ddebug_log_super super;
  guint64 seg_seq;          /* last one begun */
  guint64 chunk_seq;        /* last one written */
  guint64 slot[3];          /* by type of segment: where its next chunk goes */
  guint32 off[3];
  guint64 seq[3];
  guint64 realtime;         /* of the next chunks, ns; may be changed */
  guint64 monotonic;
  guint32 last_off;         /* of the last chunk, in its segment */
  guint64 last_slot;
} Canned;

Canned *canned_new (guint64 nr_segs);
/* With room for shared rings; 0: without. */
Canned *canned_new_shm (guint64 nr_segs, guint64 shm_size);
void canned_free (Canned *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Canned, canned_free)

/* Begins a segment of @type in @slot, with the next number. */
void canned_segment (Canned *c, guint64 slot, guint32 type, guint32 epoch);
/* Appends to the last segment of the chunk's type; fills in what follows from the place. */
void canned_chunk (Canned *c, struct ddebug_log_chunk chunk, const void *payload, gsize len);
void canned_attach (Canned *c, guint32 epoch, guint64 instance, guint8 boot);
void canned_dict (Canned *c, guint32 epoch, guint32 id, guint32 line, const char *module, const char *function);
void canned_event (Canned *c, guint32 epoch, guint32 event, guint64 arg0, guint64 arg1);
/* All that @p has for the device, as found in @pass. */
void canned_take (Canned *c, Producer *p, guint32 epoch, guint64 pass);
void canned_state (Canned *c, guint64 settled_pass);
/* Where the last chunk lies in the file. */
gsize canned_last (Canned *c);

/* Writes both superblocks, @generation in copy @generation % 2. */
void canned_super (Canned *c, guint64 generation);
void canned_write (Canned *c, const char *path);

guint32 canned_crc (const void *data, gsize len);

/* ---- how often memory is allocated ---- */

/* AddressSanitizer, which the tests are built with, tells; the build for the coverage is without. */
#ifdef __SANITIZE_ADDRESS__
#define COUNTS_ALLOCATIONS
/* By this process so far: malloc() and the like.  GLib's slices count if G_SLICE is always-malloc. */
guint64 allocations (void);
#endif

/* ---- a folder for a test's files ---- */

char *scratch_new (void);
void scratch_free (char *path);

/* A fixture: such a folder, and the path of a log in it, which is not there yet. */
typedef struct
{
  char *dir;
  char *path;
} LogFolder;

void log_folder_set_up (LogFolder *f, gconstpointer data);
void log_folder_tear_down (LogFolder *f, gconstpointer data);

#endif
