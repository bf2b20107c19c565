/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the reader share, from the bottom: ddebug-slots (which segment is in which slot), ddebug-walk (the
 * chunks of one type of segment, in order), ddebug-reader (two walks joined, shared rings, the interface).
 */
#ifndef DDEBUG_READER_INTERNAL_H
#define DDEBUG_READER_INTERNAL_H

#include <glib.h>

#include "ddebug-log-shm.h"
#include "ddebug-reader.h"

/* A copy begins small, since most waits end with one short chunk, and grows with success. */
#define COPY_MIN 8192u
#define COPY_MAX (256u << 10)

#define CHUNK_HEADER ((guint32) sizeof (struct ddebug_log_chunk))
#define CHUNK_ALIGN 8u

#define SEGMENT_HEADER ((guint32) sizeof (struct ddebug_log_seg))

/* A slot that holds a segment. */
typedef struct
{
  guint64 seq;              /* not 0 */
  guint64 slot;
  guint32 type;
  guint32 epoch;
  gboolean headless;        /* its header is damaged: known from a chunk */
  guint32 sum;              /* of the header, if it is damaged */
} DdebugSegment;

/* By type: DDEBUG_LOG_SEG_DATA, DDEBUG_LOG_SEG_DICT; 0: of types not known. */
#define N_TABLES 3

typedef struct
{
  guint32 type;             /* DDEBUG_LOG_SEG_* */
  guint64 seq;              /* segment that is read; 0: between two */
  guint32 sum;              /* of its header, if that is damaged */
  guint64 last_seq;         /* segment that was left or entered last */
  guint64 slot;
  guint32 off;              /* of the next chunk in the segment */
  guint8 *copy;             /* bytes [copy_off, copy_off + copy_len) of the segment */
  guint32 copy_off;
  guint32 copy_len;
  guint32 copy_want;
  gboolean fresh;           /* the copy was made at off, and nothing taken from it yet */
  gboolean complete;        /* the segment was known complete before the copy was made */
  gboolean newly_complete;  /* nothing was copied of it since */
  gboolean passed;          /* the chunk at off was, since one behind it was there */
  guint32 doubts;           /* bytes of this segment that is_payload_whole() may still look at */
  gboolean exhausted;       /* nothing is behind off, and nothing ever will be */
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
  guint64 off;              /* where the next ring is looked for */
  DdebugShmRing ring;
  guint8 *copy;             /* DDEBUG_LOG_PAYLOAD_MAX bytes; NULL until they are needed */
  DdebugShmSeen seen;       /* of the newest chunk of messages */
  DdebugChunk newest;       /* that was given out; its payload is gone */
  guint64 pass;             /* the highest one */
  guint32 epoch;            /* likewise */
} DdebugRings;

struct DdebugReader
{
  int fd;
  char *path;
  DdebugSuper super;
  GArray *tables[N_TABLES]; /* of DdebugSegment, sorted by seq, each seq once */
  guint64 nr_slots;         /* whose headers are in the file */
  GArray *lost_slots;       /* of guint64: slots whose segment cannot be told */
  guint lost_told;          /* how many of them were reported */
  gboolean tables_read;     /* since the end of data was met */
  gboolean tables_fresh;    /* since the last copy of data */
  gboolean live;
  guint64 generation;       /* of the superblock when the caller said that there is no writer */
  gboolean other;
  gboolean snapshot;
  guint64 segments_left;
  gboolean look_at_dict;    /* a copy of data was made since the dictionary ended */
  guint64 chunk_seq;        /* of the chunk that was given out last */
  DdebugRings rings;
  DdebugWalk data;
  DdebugWalk dict;
};

/* ---- ddebug-reader.c: the format ---- */

/* Whether one of the superblocks of @fd is valid and counts; it is in *@super then. */
gboolean ddebug_reader_read_super (int fd, DdebugSuper *super);
/* Whether @p, with @avail bytes behind it, is the header of a chunk, of any place. */
gboolean ddebug_reader_parse_header (const guint8 *p, gsize avail, DdebugChunk *chunk, guint32 *payload_crc);

/* ---- ddebug-slots.c, which also has ddebug_reader_file_size() and ddebug_reader_writer() ---- */

/* Where @slot is in the file, in bytes. */
guint64 ddebug_slots_offset (DdebugReader *reader, guint64 slot);
/* Reads the geometry and the headers of all slots anew. */
void ddebug_slots_read (DdebugReader *reader);
/* Whether what the tables say may have changed, other than by what every use of them looks at again. */
gboolean ddebug_slots_are_old (DdebugReader *reader);
/* Index of the first segment after @seq in @table. */
guint ddebug_slots_index_after (GArray *table, guint64 seq);
/* The oldest segment after @seq that is not cleared, or NULL. */
const DdebugSegment *ddebug_slots_find_after (DdebugReader *reader, guint32 type, guint64 seq);
/* Segment @seq, or NULL. */
const DdebugSegment *ddebug_slots_find (DdebugReader *reader, guint32 type, guint64 seq);
/* Whether segments between @before and @seq, of any type, are not in the tables. */
gboolean ddebug_slots_is_gap (DdebugReader *reader, guint64 before, guint64 seq);
/* Whether @slot belongs to segment @seq still, in the file; @sum: of its header, if that was damaged. */
gboolean ddebug_slots_still_hold (DdebugReader *reader, guint64 slot, guint64 seq, guint32 sum);

/* ---- ddebug-walk.c ---- */

/* Finds what comes next on @walk, and keeps it until it is taken. */
DdebugRead ddebug_walk_peek (DdebugReader *reader, DdebugWalk *walk, GError **error);
/* Takes what was found. */
void ddebug_walk_take (DdebugWalk *walk, DdebugChunk *chunk);
/* That a segment is complete was said because there was no writer: it is said anew. */
void ddebug_walk_forget_end (DdebugWalk *walk);

#endif
