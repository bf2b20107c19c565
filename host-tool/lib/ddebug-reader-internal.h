/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by the files of the reader, from the bottom: ddebug-slots (which segment is in which slot),
 * ddebug-walk (the chunks of one type of segment, in order), ddebug-reader (two walks joined, shared
 * rings, the interface).
 */
#ifndef DDEBUG_READER_INTERNAL_H
#define DDEBUG_READER_INTERNAL_H

#include <glib.h>

#include "ddebug-log-format.h"
#include "ddebug-log-shm.h"
#include "ddebug-origin.h"
#include "ddebug-reader.h"

/* Bytes.  A copy starts small, since most waits end with one short chunk, and grows with success. */
#define COPY_MIN 8192u
#define COPY_MAX (256u << 10)

#define CHUNK_HEADER ((guint32) sizeof (struct ddebug_log_chunk))
#define CHUNK_ALIGN DDEBUG_LOG_CHUNK_ALIGN

#define SEGMENT_HEADER DDEBUG_LOG_FIRST_CHUNK

/* A slot that holds a segment. */
typedef struct
{
  guint64 seq;              /* not 0 */
  guint64 slot;
  guint32 type;
  guint32 epoch;
  guint32 tag;              /* of its chunks; 0: any */
  gboolean headless;        /* its header is damaged: identified by a chunk */
  guint32 sum;              /* checksum of the header if that is damaged; otherwise 0 */
} DdebugSegment;

/* Indexed by type: DDEBUG_LOG_SEG_DATA, DDEBUG_LOG_SEG_DICT; 0: unknown types. */
#define N_TABLES 3

typedef struct
{
  guint32 type;             /* DDEBUG_LOG_SEG_* */
  guint64 seq;              /* current segment; 0: between two */
  guint32 tag;              /* of its chunks; 0: any */
  guint32 sum;              /* checksum of its header if that is damaged; otherwise 0 */
  guint64 last_seq;         /* segment that was entered last */
  guint64 slot;
  guint32 off;              /* of the next chunk in the segment */
  guint8 *copy;             /* bytes [copy_off, copy_off + copy_len) of the segment */
  guint32 copy_off;
  guint32 copy_len;
  guint32 copy_want;
  gboolean fresh;           /* the copy was made at off, and nothing was taken from it yet */
  gboolean complete;        /* the segment was known to be complete before the copy was made */
  gboolean newly_complete;  /* nothing was copied of it since that was known */
  gboolean passed;          /* the chunk at off is complete, since one after it exists */
  guint32 probe_budget;     /* bytes of this segment that is_payload_whole() may still check */
  gboolean exhausted;       /* nothing follows off, and nothing ever will */
  gboolean peeked;
  DdebugRead result;
  DdebugChunk chunk;
  guint32 next_off;         /* where off goes when the result is taken */
} DdebugWalk;

/* What a writer that died left in the shared rings. */
typedef struct
{
  guint64 generation;       /* of the superblock for which they were read; 0: not yet */
  gboolean done;
  guint64 off;              /* where to look for the next ring */
  DdebugShmRing ring;
  guint8 *copy;             /* DDEBUG_LOG_PAYLOAD_MAX bytes; NULL until needed */
  DdebugShmSeen seen;       /* of the newest chunk of messages */
  DdebugChunk newest;       /* the last chunk returned; its payload is gone */
  guint64 pass;             /* the highest so far */
  guint32 epoch;            /* the highest so far */
} DdebugRings;

struct DdebugReader
{
  int fd;
  char *path;
  gboolean is_spooled;      /* a copy that this process has made, without a name */
  DdebugSuper super;
  GArray *tables[N_TABLES]; /* of DdebugSegment, sorted by seq, each seq once */
  guint64 nr_slots;         /* with their header within the file */
  GArray *lost_slots;       /* of guint64: slots with an unidentifiable segment */
  guint lost_reported;      /* how many of them were reported */
  gboolean tables_read;     /* since the end of data was reached */
  gboolean tables_fresh;    /* since the last copy of data */
  gboolean live;
  guint64 generation;       /* of the superblock when the caller last set live to FALSE */
  gboolean other;           /* another log was formatted in the file */
  gboolean snapshot;
  guint64 segments_left;    /* of the snapshot */
  gboolean check_dict;      /* a copy of data was made since the dictionary's end was reached */
  guint64 chunk_seq;        /* of the last chunk returned */
  DdebugRings rings;
  DdebugWalk data;
  DdebugWalk dict;
};

/* ---- ddebug-slots.c, which also has ddebug_reader_file_size() and ddebug_reader_writer() ---- */

/*
 * Read the superblock that counts; @super is set as by ddebug_log_choose_super(), and errno to 0, or to why a
 * copy could not be read.
 */
DdebugSuperState ddebug_slots_read_super (int fd, DdebugSuper *super);
/* The offset of @slot in the file. */
guint64 ddebug_slots_offset (DdebugReader *reader, guint64 slot);
/* Read the geometry and the headers of all slots again. */
void ddebug_slots_read (DdebugReader *reader);
/* Whether the tables may be out of date in a way that their users do not check themselves. */
gboolean ddebug_slots_are_old (DdebugReader *reader);
/* Index of the first segment after @seq in @table. */
guint ddebug_slots_index_after (GArray *table, guint64 seq);
/* The oldest segment after @seq that is not cleared, or NULL. */
const DdebugSegment *ddebug_slots_find_after (DdebugReader *reader, guint32 type, guint64 seq);
/* Segment @seq, or NULL. */
const DdebugSegment *ddebug_slots_find (DdebugReader *reader, guint32 type, guint64 seq);
/* Whether any segment between @before and @seq, of any type, is missing from the tables. */
gboolean ddebug_slots_is_gap (DdebugReader *reader, guint64 before, guint64 seq);
/*
 * Whether @slot still holds segment @seq, according to the file; @sum: checksum of its header if that is
 * damaged, otherwise 0.
 */
gboolean ddebug_slots_still_hold (DdebugReader *reader, guint64 slot, guint64 seq, guint32 sum);

/* ---- ddebug-walk.c ---- */

/* Find the next result of @walk and keep it until it is taken. */
DdebugRead ddebug_walk_peek (DdebugReader *reader, DdebugWalk *walk, GError **error);
/* Take that result and advance. */
void ddebug_walk_take (DdebugWalk *walk, DdebugChunk *chunk);
/* Forget that the segment is complete, which was concluded because there was no writer. */
void ddebug_walk_forget_end (DdebugWalk *walk);

#endif
