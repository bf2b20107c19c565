/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FILEs that are no plain files: symbolic links, standard input, pipes, compressed logs. */
#ifndef DDEBUG_INPUT_H
#define DDEBUG_INPUT_H

#include "ddebug-common.h"
#include "ddebug-domains.h"

/* What stands for standard input. */
#define DDEBUG_INPUT_STDIN "-"

/**
 * ddebug_host_prepare:
 * @logs: what the command line names: paths may be replaced by those that they lead to
 * @copies: (out): of each of them the descriptor of a copy, which belongs to the caller; -1: none
 *
 * For commands that only read.  What can be read once only, or not in place, is copied; that may block until
 * it has an end or a signal ends the process.  Domains are left alone: their logs are plain files.
 *
 * Returns: the exit status; errors were reported
 */
int ddebug_host_prepare (DdebugLogPaths *logs, GArray **copies);

#endif
