/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The boots of a guest in a log, and how a user names one, as in journalctl.
 * A boot is made of all adjacent epochs with the same boot ID; an epoch whose attach record is not in
 * the log is a boot of its own.
 */
#ifndef DDEBUG_BOOTS_H
#define DDEBUG_BOOTS_H

#include <glib.h>

#include "ddebug-dict.h"
#include "ddebug-error.h"

typedef struct
{
  const DdebugEpoch *epoch; /* its last epoch */
  guint32 from;             /* number of its first epoch */
  guint32 to;               /* number of its last epoch */
  guint64 first;            /* ns since 1970, host: when its first message was read; 0: none yet */
  guint64 last;             /* when its last message was read */
  gboolean unchecked;       /* more messages, of unknown time, are in the shared rings of a QEMU that died */
  guint64 messages;
  guint32 notice;           /* VIRTIO_DDEBUG_NOTICE_*: the worst that its kernel reported */
  guint64 noticed;          /* ns since 1970, host: when that was first reported */
} DdebugBoot;

/* Whether both epochs have attach records with the same boot ID. */
gboolean ddebug_boots_are_one (const DdebugEpoch *a, const DdebugEpoch *b);

/* The boots in @dict so far: array of DdebugBoot, the oldest first. (transfer full) */
GArray *ddebug_boots_find (DdebugDict *dict);

/* The boot that contains epoch number @epoch. (transfer none) (nullable) */
const DdebugBoot *ddebug_boots_of (const GArray *boots, guint32 epoch);

/**
 * ddebug_boots_scan:
 * @reader: positioned before the oldest chunk; is read to its end
 * @live: the log may have a writer
 * @dict: gets the epochs, their attach records, and the times of their messages; nothing else
 *
 * Read what ddebug_boots_find() needs, without decoding messages.  A signal ends it early
 * (ddebug_wait_signal()).
 *
 * Returns: %FALSE with @error set if the log could not be read
 */
gboolean ddebug_boots_scan (DdebugReader *reader, gboolean live, DdebugDict *dict, GError **error);

/* [ID][±N] */
typedef struct
{
  gboolean by_id;
  guint8 id[16];
  /* relative to boot ID; without one, 0 is the newest boot, -1 the one before it, and 1 the oldest */
  gint64 offset;
} DdebugBootName;

/* FALSE if @text cannot name a boot. */
gboolean ddebug_boot_name_parse (const char *text, DdebugBootName *name);

/**
 * ddebug_boots_choose:
 * @boots: from ddebug_boots_find()
 * @text: the name as the user wrote it, for @error
 * @path: the log, for @error
 *
 * Returns: (transfer none): the boot, or %NULL with @error set (%DDEBUG_ERROR_BOOT)
 */
const DdebugBoot *ddebug_boots_choose (const GArray *boots, const DdebugBootName *name, const char *text,
                                       const char *path, GError **error);

#endif
