/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of ddebug-host: parsing it and checking which options can be combined. */
#ifndef DDEBUG_OPTIONS_H
#define DDEBUG_OPTIONS_H

#include <glib.h>

#include "ddebug-filter.h"

/* The options as given.  Strings are owned; NULL: not given. */
typedef struct
{
  gboolean trace;
  gboolean pipe;
  gboolean follow;
  gboolean info;
  gboolean list_boots;
  gboolean last_words;
  gboolean show_size;
  char *size;
  gboolean clear;
  char *boot;
  char *since;
  char *until;
  char *cpu;
  char *grep;
  char *case_sensitive;
  char **query;
  char *output;
  char *connect;
  gboolean list;
  gboolean all;
  gboolean attach;
  gboolean detach;
  char *log;
  char *log_size;
  char *plugin;
  gboolean yes;
  gboolean wait;
  gboolean callsite;
  gboolean raw;
  gboolean quiet;
  gboolean help;
  gboolean version;
  char **files;
} DdebugArguments;

/* Fill @arguments, which must be zeroed; return the exit status.  Errors were reported. */
int ddebug_arguments_parse (char **argv, DdebugArguments *arguments);
void ddebug_arguments_clear (DdebugArguments *arguments);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (DdebugArguments, ddebug_arguments_clear)

gboolean ddebug_arguments_is_json (const DdebugArguments *arguments);

/*
 * Check that the options can be combined; @size: (out): bytes of --size or --log-size, if given.
 * Return the exit status.  Errors were reported.
 */
int ddebug_arguments_check (const DdebugArguments *arguments, guint64 *size);

/*
 * Make the filter that the options ask for; @filter: (out) (transfer full): NULL to show everything.
 * Return the exit status.  Errors were reported.
 */
int ddebug_arguments_make_filter (const DdebugArguments *arguments, DdebugFilter **filter);

#endif
