/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of --help. */
#ifndef DDEBUG_HELP_H
#define DDEBUG_HELP_H

#include <glib.h>

/* Append the whole text of --help. */
void ddebug_help_append (GString *out);

#endif
