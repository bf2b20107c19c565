/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the log says about epochs: who attached, and which callsites there are.
 */
#ifndef DDEBUG_DICT_H
#define DDEBUG_DICT_H

#include <glib.h>

#include "ddebug-reader.h"
#include "ddebug_record.h"

/* Strings of a guest: any bytes, not terminated.  They live as long as the epoch's callsites. */
typedef struct
{
  guint32 id;
  guint32 line;
  guint16 flags;
  guint16 module_len;
  guint16 function_len;
  guint16 file_len;
  guint16 format_len;
  guint16 packed_len;
  const guint8 *module;
  const guint8 *function;
  const guint8 *file;
  const guint8 *format;
  const guint8 *packed;     /* format of its packed records */
} DdebugCallsite;

/* An instance of the rings: streams go on over all epochs of one instance. */
typedef struct DdebugInstance DdebugInstance;

typedef struct
{
  guint32 number;
  gboolean attached;        /* the ATTACH chunk was read; else what follows is zero */
  guint64 realtime;         /* ns since 1970 on the host when it was written */
  guint8 boot_id[16];
  guint64 instance_id;      /* of the driver instance */
  guint64 clock;
  guint64 guest_realtime;
  guint32 nr_cpus;
  char release[65];         /* bytes of the guest, terminated, not escaped */
  char driver[33];
  guint callsites;
  guint64 messages;         /* received of this epoch */
  guint64 first;            /* ns since 1970 when the host took the first of them; 0: none yet */
  guint64 last;             /* and the last that it took */
  gboolean unchecked;       /* there are more, which it did not: in shared rings of a QEMU that died */
  guint32 notice;           /* VIRTIO_DDEBUG_NOTICE_*: the worst that the kernel said of itself */
  guint64 noticed;          /* ns since 1970, host: when it was said first */
  guint32 event;            /* DDEBUG_LOG_EVENT_*: the last that says what became of the VM, up to left; 0: none */
  guint64 args[2];          /* of the event */
  guint64 happened;         /* ns since 1970, host: when it did */
  gboolean closed;          /* QEMU has ended, and said so, */
  gboolean left;            /* or is gone: the next one came */
  DdebugInstance *instance;
  GHashTable *by_id;        /* id -> struct ddebug_callsite in a payload; NULL: forgotten */
  GPtrArray *payloads;
} DdebugEpoch;

struct DdebugInstance
{
  char *name;               /* group of it in the cursor */
  guint32 epoch;            /* last one seen */
  GHashTable *streams;      /* id -> DdebugMergerStream, kept by the merger */
};

typedef struct DdebugDict DdebugDict;

/* @free_stream: frees what the merger keeps in an instance's streams. */
DdebugDict *ddebug_dict_new (GDestroyNotify free_stream);
void ddebug_dict_free (DdebugDict *dict);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugDict, ddebug_dict_free)

/**
 * ddebug_dict_epoch:
 *
 * Returns: (transfer none): the epoch of that number, made if it is new.  An
 * epoch whose ATTACH chunk was not read has an instance of its own.
 */
DdebugEpoch *ddebug_dict_epoch (DdebugDict *dict, guint32 number);

/* The instance that @epoch belongs to. */
DdebugInstance *ddebug_dict_instance (DdebugDict *dict, DdebugEpoch *epoch);

/* Notes when the messages of @chunk, of type DATA, came. */
void ddebug_epoch_note_data (DdebugEpoch *epoch, const DdebugChunk *chunk);

/* Takes an ATTACH chunk in; FALSE if it is too short to be one. */
gboolean ddebug_dict_attach (DdebugDict *dict, const DdebugChunk *chunk);

/* Takes a DICT chunk in; FALSE if an entry was malformed: what came before it counts. */
gboolean ddebug_dict_add (DdebugDict *dict, const DdebugChunk *chunk);

/* FALSE if @id is not in the dictionary of @epoch. */
gboolean ddebug_dict_lookup (const DdebugEpoch *epoch, guint32 id, DdebugCallsite *callsite);

/* Forgets the callsites of all epochs before @number: their messages are all out. */
void ddebug_dict_forget_before (DdebugDict *dict, guint32 number);

/* For tables of numbers that a guest or a log chooses: a hash that cannot be foreseen. */
guint ddebug_dict_hash (gconstpointer number);

/* All epochs, by number. (transfer container) */
GPtrArray *ddebug_dict_epochs (DdebugDict *dict);
/* All instances, in the order in which they were met. (transfer none) */
GPtrArray *ddebug_dict_instances (DdebugDict *dict);

#endif
