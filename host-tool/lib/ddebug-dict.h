/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the log records about epochs: the driver that attached, and its callsites.
 */
#ifndef DDEBUG_DICT_H
#define DDEBUG_DICT_H

#include <glib.h>

#include "ddebug-reader.h"
#include "ddebug_record.h"

/* Strings are a guest's: any bytes, not terminated.  They are valid as long as the epoch's callsites. */
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

/* A driver instance: its streams continue over all of its epochs. */
typedef struct DdebugInstance DdebugInstance;

typedef struct
{
  guint32 number;
  gboolean attached;        /* the ATTACH chunk was read; otherwise what follows up to driver is zero */
  guint64 realtime;         /* ns since 1970, host: when it was written */
  guint8 boot_id[16];
  guint64 instance_id;      /* of the driver instance */
  guint64 clock;
  guint64 guest_realtime;
  guint32 nr_cpus;
  char release[65];         /* the guest's bytes, terminated, not escaped */
  char driver[33];
  guint callsites;
  guint64 messages;         /* received in this epoch */
  guint64 first;            /* ns since 1970: when the host read the first of them; 0: none yet */
  guint64 last;             /* when the host read the last of them */
  gboolean unchecked;       /* there are more, which it did not read, in shared rings of a QEMU that died */
  guint32 notice;           /* VIRTIO_DDEBUG_NOTICE_*: the worst that the kernel reported */
  guint64 noticed;          /* ns since 1970, host: when that was first reported */
  guint32 event;            /* DDEBUG_LOG_EVENT_*: the last event of the VM before left; 0: none */
  guint64 args[2];          /* of the event */
  guint64 happened;         /* ns since 1970, host: when it happened */
  gboolean closed;          /* QEMU closed the log */
  gboolean left;            /* another QEMU has opened the log since */
  DdebugInstance *instance;
  GHashTable *by_id;        /* id -> struct ddebug_callsite in a payload; NULL: freed */
  GPtrArray *payloads;
} DdebugEpoch;

struct DdebugInstance
{
  char *name;               /* of its group in the cursor */
  guint32 epoch;            /* its last epoch so far */
  GHashTable *streams;      /* id -> DdebugMergerStream, maintained by the merger */
  guint64 nostream;         /* of LOSS records, as far as it was reported by the merger */
  guint64 missed;
};

typedef struct DdebugDict DdebugDict;

/* @free_stream: frees an entry of an instance's streams. */
DdebugDict *ddebug_dict_new (GDestroyNotify free_stream);
void ddebug_dict_free (DdebugDict *dict);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DdebugDict, ddebug_dict_free)

/**
 * ddebug_dict_epoch:
 *
 * Returns: (transfer none): the epoch of that number, created if it is new.  An epoch whose ATTACH
 * chunk was not read has an instance of its own.
 */
DdebugEpoch *ddebug_dict_epoch (DdebugDict *dict, guint32 number);

/* The instance that @epoch belongs to. */
DdebugInstance *ddebug_dict_instance (DdebugDict *dict, DdebugEpoch *epoch);

/* Update the epoch's times from @chunk, of type DATA. */
void ddebug_epoch_note_data (DdebugEpoch *epoch, const DdebugChunk *chunk);

/* Add an ATTACH chunk; FALSE if it is too short to be one. */
gboolean ddebug_dict_attach (DdebugDict *dict, const DdebugChunk *chunk);

/* Add a DICT chunk; FALSE if an entry is malformed: only those before it are added. */
gboolean ddebug_dict_add (DdebugDict *dict, const DdebugChunk *chunk);

/* FALSE if @id is not in the dictionary of @epoch. */
gboolean ddebug_dict_lookup (const DdebugEpoch *epoch, guint32 id, DdebugCallsite *callsite);

/* Free the callsites of all epochs before @number, once all their messages are out. */
void ddebug_dict_forget_before (DdebugDict *dict, guint32 number);

/* All epochs, sorted by number. (transfer container) */
GPtrArray *ddebug_dict_epochs (DdebugDict *dict);
/* All instances, in order of first use. (transfer none) */
GPtrArray *ddebug_dict_instances (DdebugDict *dict);

#endif
