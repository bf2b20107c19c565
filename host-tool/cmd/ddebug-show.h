/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --trace, --follow and --pipe. */
#ifndef DDEBUG_SHOW_H
#define DDEBUG_SHOW_H

#include <glib.h>

#include "ddebug-common.h"
#include "ddebug-source.h"

/* Return the exit status; do not return if a signal ended the command. */
int ddebug_host_show (const DdebugOptions *options, DdebugShow show, DdebugWait *wait);

#endif
