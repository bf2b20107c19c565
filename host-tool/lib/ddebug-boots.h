/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The boots of a guest that a log has, and how its user names one: as journalctl.
 * A boot is what epochs of one boot id have in common; an epoch whose introduction
 * is not in the log is one by itself.
 */
#ifndef DDEBUG_BOOTS_H
#define DDEBUG_BOOTS_H

#include <glib.h>

#include "ddebug-dict.h"
#include "ddebug-error.h"

typedef struct
{
  const DdebugEpoch *epoch; /* the last one */
  guint32 from;             /* numbers of the first */
  guint32 to;               /* and the last */
  guint64 first;            /* ns since 1970, host: of its messages; 0: none yet */
  guint64 last;             /* that it took */
  gboolean unchecked;       /* there are more in shared rings of a QEMU that died: of what time nobody knows */
  guint64 messages;
  guint32 notice;           /* VIRTIO_DDEBUG_NOTICE_*: the worst that its kernel said of itself */
  guint64 noticed;          /* ns since 1970, host: when it was said first */
} DdebugBoot;

/* Whether both were introduced, by the same boot. */
gboolean ddebug_boots_are_one (const DdebugEpoch *a, const DdebugEpoch *b);

/* Of what was read so far: array of DdebugBoot, the oldest first. (transfer full) */
GArray *ddebug_boots_find (DdebugDict *dict);

/* (transfer none) (nullable): the boot that has the epoch of that number */
const DdebugBoot *ddebug_boots_of (const GArray *boots, guint32 epoch);

/**
 * ddebug_boots_scan:
 * @reader: stands before the oldest chunk; is read to its end
 * @live: somebody may be writing the log
 * @dict: learns which epochs there are, who introduced them, and of which time their messages are; nothing else
 *
 * What ddebug_boots_find() needs, without messages being decoded.  A signal ends it
 * early (ddebug_wait_signal()).
 *
 * Returns: %FALSE with @error set if the log could not be read
 */
gboolean ddebug_boots_scan (DdebugReader *reader, gboolean live, DdebugDict *dict, GError **error);

/* [ID][±N] */
typedef struct
{
  gboolean by_id;
  guint8 id[16];
  /* from that boot; or, without one, from the newest if not above 0, and else the oldest is 1 */
  gint64 offset;
} DdebugBootName;

/* FALSE if @text names no boot, of whatever log. */
gboolean ddebug_boot_name_parse (const char *text, DdebugBootName *name);

/**
 * ddebug_boots_choose:
 * @boots: as ddebug_boots_find() has them
 * @text: the name as its user wrote it, @path: the log; for @error
 *
 * Returns: (transfer none): the boot, or %NULL with @error set (%DDEBUG_ERROR_BOOT)
 */
const DdebugBoot *ddebug_boots_choose (const GArray *boots, const DdebugBootName *name, const char *text,
                                       const char *path, GError **error);

#endif
