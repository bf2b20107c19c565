/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs ddebug-host, which the environment names in DDEBUG_HOST, as a user's shell would. */
#ifndef RUN_TOOL_H
#define RUN_TOOL_H

#include <glib.h>

typedef struct
{
  char *out;                /* standard output */
  char *err;
  int status;               /* exit status; 128 + signal, as a shell has it */
} Result;

void result_clear (Result *result);

/* It has said one line on standard error that has @text in it, and ended with @status.  Clears @r. */
void assert_says (Result r, int status, const char *text);

/* Runs with @args up to NULL, to its end. */
Result tool_run (const char *first, ...) G_GNUC_NULL_TERMINATED;
/* The same as a user without rights; where the tests are run by root. */
Result tool_run_unprivileged (const char *first, ...) G_GNUC_NULL_TERMINATED;

/* A tool that runs beside the test. */
typedef struct
{
  GPid pid;
  int out;                  /* its standard output; -1: closed */
  int err;
  GString *text;            /* what was read of its output */
} Tool;

Tool *tool_start (const char *first, ...) G_GNUC_NULL_TERMINATED;
/* With two options and @n files. */
Tool *tool_start_paths (const char *one, const char *two, char **paths, guint n);
/* The same after @setup in the new process. */
Tool *tool_start_setup (GSpawnChildSetupFunc setup, const char *one, const char *two, char **paths, guint n);
/* Reads what it has printed, and waits for nothing. */
void tool_take (Tool *tool);
/* Reads until @text, which must come within thirty seconds, was printed. */
void tool_expect (Tool *tool, const char *text);
/* Reads until the output ends; @status as in Result.  Frees nothing. */
int tool_finish (Tool *tool);
/* Reads all of @n tools until their outputs end, in turn: one may wait for another to be read. */
void tool_drain (Tool **tools, guint n);
/* Waits, without reading, until it has ended; fails after thirty seconds. */
int tool_wait (Tool *tool);
/* What it has said on standard error; after it has ended. */
char *tool_errors (Tool *tool);
void tool_free (Tool *tool);

/* Waits until the tool sleeps in poll(). */
void tool_wait_asleep (Tool *tool);
/* How often it was put to sleep and woken so far. */
guint64 tool_switches (Tool *tool);

#endif
