/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Run ddebug-host, whose path is in the environment variable DDEBUG_HOST, as a shell would. */
#ifndef RUN_TOOL_H
#define RUN_TOOL_H

#include <glib.h>

typedef struct
{
  char *out;                /* standard output */
  char *err;
  int status;               /* exit status; 128 + signal, as in a shell */
} Result;

void result_clear (Result *result);

/* It printed one line on standard error that contains @text, and exited with @status.  Clears @r. */
void assert_says (Result r, int status, const char *text);

/* Run to completion, with @args up to NULL. */
Result tool_run (const char *first, ...) G_GNUC_NULL_TERMINATED;
/* The same as an unprivileged user, if the tests are run by root. */
Result tool_run_unprivileged (const char *first, ...) G_GNUC_NULL_TERMINATED;

/* A tool running in the background. */
typedef struct
{
  GPid pid;
  int out;                  /* its standard output; -1: closed */
  int err;
  GString *text;            /* output read so far */
} Tool;

Tool *tool_start (const char *first, ...) G_GNUC_NULL_TERMINATED;
/* Start it with two options and @n files. */
Tool *tool_start_paths (const char *one, const char *two, char **paths, guint n);
/* The same, calling @setup in the new process first. */
Tool *tool_start_setup (GSpawnChildSetupFunc setup, const char *one, const char *two, char **paths, guint n);
/* Read available output without waiting. */
void tool_take (Tool *tool);
/* Read until @text is printed, which must happen within 30 seconds. */
void tool_expect (Tool *tool, const char *text);
/* Read to the end of the output; @status as in Result.  Frees nothing. */
int tool_finish (Tool *tool);
/* Read from @n tools in turn until their outputs end: one may wait until another is read. */
void tool_drain (Tool **tools, guint n);
/* Wait, without reading, until it exits; fails after 30 seconds. */
int tool_wait (Tool *tool);
/* Its standard error output; call after it has exited. */
char *tool_errors (Tool *tool);
void tool_free (Tool *tool);

/* Wait until the tool sleeps in poll(). */
void tool_wait_asleep (Tool *tool);
/* How often it has slept and been woken so far. */
guint64 tool_switches (Tool *tool);

#endif
