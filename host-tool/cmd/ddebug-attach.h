/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --attach and --detach. */
#ifndef DDEBUG_ATTACH_H
#define DDEBUG_ATTACH_H

#include <glib.h>

#include "ddebug-wait.h"

typedef struct
{
  const char *domain;       /* name, id or UUID */
  const char *uri;          /* libvirt URI; NULL: libvirt's default */
  const char *log;          /* NULL: in the default directory */
  const char *plugin;       /* NULL: the one installed with the tool, if QEMU needs it */
  guint64 size;             /* bytes; 0: not given */
  gboolean detach;
  gboolean yes;             /* do not ask */
  gboolean utf8;
} DdebugAttach;

/* Add the device to a domain, or remove it; returns the exit status. */
int ddebug_host_attach (const DdebugAttach *options, DdebugWait *wait);

#endif
