/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --list-boots and --last-words. */
#ifndef DDEBUG_BOOTS_REPORT_H
#define DDEBUG_BOOTS_REPORT_H

#include <glib.h>

#include "ddebug-common.h"

/*
 * Both report on the first log of @options.  They return the exit status, and do not return if a
 * signal ended the command.
 */
int ddebug_host_list_boots (const DdebugOptions *options, DdebugWait *wait);
int ddebug_host_last_words (const DdebugOptions *options, DdebugWait *wait);

#endif
