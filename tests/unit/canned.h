/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logs for tests, created without the code under test: what a guest produces, and a
 * file laid out by hand, chunk by chunk.
 */
#ifndef CANNED_H
#define CANNED_H

#include <glib.h>

#include "ddebug_log.h"
#include "ddebug_record.h"
#include "virtio_ddebug.h"

/* ---- a stream, as filled by a guest's CPU ---- */

typedef struct
{
  guint32 id;
  guint32 cpu;
  guint8 context;
  guint8 shift;             /* log2 of the sub-buffer size */
  GByteArray *bytes;        /* the stream from position 0 */
  guint64 taken;            /* position that the device has reached */
  guint64 base;
  guint64 number;           /* of the next message */
  guint64 recursed;
  guint64 torn;
} Producer;

Producer *producer_new (guint32 id, guint32 cpu, guint8 context);
void producer_free (Producer *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Producer, producer_free)

void producer_say (Producer *p, guint64 time, guint32 callsite, const void *text, gsize len);
/* A line of the kernel log; @flags: DDEBUG_KMSG_F_*. */
void producer_kmsg (Producer *p, guint64 time, guint32 flags, const char *text);
/* A packed message; @head NULL: in the layout without one. */
void producer_packed (Producer *p, guint64 time, guint32 callsite, const char *head, const void *args, gsize len);
void producer_printf (Producer *p, guint64 time, const char *format, ...) G_GNUC_PRINTF (3, 4);
/* A record of any kind at the stream's current position; must fit into the sub-buffer. */
void producer_record (Producer *p, const void *record, gsize len);
/* Start the next sub-buffer. */
void producer_turn (Producer *p, guint64 time);

/* The next span that a device would copy, at most one sub-buffer; FALSE if there is none. */
gboolean producer_take (Producer *p, struct ddebug_log_chunk *chunk, GByteArray *payload);
/* The device was too late: the guest has overwritten everything below @pos. */
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
  guint64 seg_seq;          /* last one started */
  guint32 tag;              /* of the next segments and chunks; 0: none */
  guint64 chunk_seq;        /* last one written */
  guint64 slot[3];          /* by type of segment: offset of its next chunk */
  guint32 off[3];
  guint64 seq[3];
  guint64 realtime;         /* of the next chunks, ns; tests may change it */
  guint64 monotonic;
  guint32 last_off;         /* of the last chunk, in its segment */
  guint64 last_slot;
} Canned;

Canned *canned_new (guint64 nr_segs);
/* With room for shared rings; 0: without. */
Canned *canned_new_shm (guint64 nr_segs, guint64 shm_size);
void canned_free (Canned *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Canned, canned_free)

/* Start a segment of @type in @slot, with the next number. */
void canned_segment (Canned *c, guint64 slot, guint32 type, guint32 epoch);
/* Append to the last segment of the chunk's type; fills in what depends on the position. */
void canned_chunk (Canned *c, struct ddebug_log_chunk chunk, const void *payload, gsize len);
void canned_attach (Canned *c, guint32 epoch, guint64 instance, guint8 boot);
void canned_dict (Canned *c, guint32 epoch, guint32 id, guint32 line, const char *module, const char *function);
void canned_event (Canned *c, guint32 epoch, guint32 event, guint64 arg0, guint64 arg1);
/* Append all that @p has for the device, as found in @pass. */
void canned_take (Canned *c, Producer *p, guint32 epoch, guint64 pass);
void canned_state (Canned *c, guint64 settled_pass);
/* A SYNC_LOST event; and the record of what was synced, of chunk numbers. */
void canned_sync_lost (Canned *c, guint32 epoch, guint64 first, guint64 last, guint64 error);
void canned_sync (Canned *c, guint64 written, guint64 synced, guint64 failed);
/* Offset of the last chunk in the file. */
gsize canned_last (Canned *c);

/* Write both superblocks, @generation in copy @generation % 2. */
void canned_super (Canned *c, guint64 generation);
void canned_write (Canned *c, const char *path);

guint32 canned_crc (const void *data, gsize len);

/* ---- number of memory allocations ---- */

/* Known to AddressSanitizer, which the tests are built with, except for coverage. */
#ifdef __SANITIZE_ADDRESS__
#define COUNTS_ALLOCATIONS
/* Allocations by this process so far, by malloc() etc.  With G_SLICE=always-malloc GLib's slices count. */
guint64 allocations (void);
#endif

/* ---- a directory for a test's files ---- */

char *scratch_new (void);
void scratch_free (char *path);

/* A fixture: such a directory, and the path of a log in it, which does not exist yet. */
typedef struct
{
  char *dir;
  char *path;
} LogFolder;

void log_folder_set_up (LogFolder *f, gconstpointer data);
void log_folder_tear_down (LogFolder *f, gconstpointer data);

#endif
