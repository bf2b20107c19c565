/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --info. */
#ifndef DDEBUG_INFO_H
#define DDEBUG_INFO_H

#include <glib.h>

#include "ddebug-common.h"

/* Return the exit status; do not return if a signal ended the command. */
int ddebug_host_info (const DdebugOptions *options, DdebugWait *wait);

#endif
