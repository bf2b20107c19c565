/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench-merge LOG: what the tool does apart from output: read the log and merge the
 * messages of all streams in order.
 */
#include <stdio.h>

#include "ddebug-reader.h"
#include "ddebug-view.h"

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  DdebugReader *reader;
  DdebugView *view;
  DdebugViewResult result;
  DdebugItem item;
  guint64 messages = 0, bytes = 0;

  if (argc != 2)
    {
      fprintf (stderr, "usage: bench-merge LOG\n");
      return 2;
    }
  reader = ddebug_reader_open (argv[1], &error);
  if (!reader)
    g_error ("%s", error->message);
  ddebug_reader_set_snapshot (reader);
  view = ddebug_view_new (reader);
  ddebug_view_start (view, FALSE);
  for (int round = 0; round < 2; round++)
    {
      while ((result = ddebug_view_next (view, &item, &error)) == DDEBUG_VIEW_ITEM)
        if (item.type == DDEBUG_ITEM_MESSAGE)
          {
            messages++;
            bytes += item.message.len;
          }
      if (result != DDEBUG_VIEW_END)
        g_error ("%s", error ? error->message : "another log");
      ddebug_view_finish (view);
    }
  printf ("messages: %" G_GUINT64_FORMAT "\nbytes: %" G_GUINT64_FORMAT "\n", messages, bytes);
  ddebug_view_free (view);
  return 0;
}
