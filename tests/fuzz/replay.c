/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * replay TARGET FOLDER: gives each file of the folder, and each truncation of
 * it to 64 lengths, to the target that it is linked with.  For compilers without
 * libFuzzer.  Output is TAP.
 */
#include <stdio.h>

#include "fuzz.h"

/* In an allocation of exactly its size, so that the sanitizer sees a byte too far. */
static void
give (const char *bytes, gsize len)
{
  g_autofree uint8_t *copy = g_malloc (len ? len : 1);

  for (gsize i = 0; i < len; i++)
    copy[i] = bytes[i];
  LLVMFuzzerTestOneInput (copy, len);
}

static void
replay (const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *bytes = NULL;
  gsize len;

  if (!g_file_get_contents (path, &bytes, &len, &error))
    g_error ("%s", error->message);
  /* The name of the culprit, should the target abort. */
  printf ("# %s\n", path);
  fflush (stdout);
  give (bytes, len);
  for (guint i = 1; i <= MIN (64, len); i++)
    give (bytes, len - len * i / MIN (64, len));
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = NULL;
  const char *name;
  guint n = 0;

  if (argc != 3)
    {
      fprintf (stderr, "usage: replay TARGET FOLDER\n");
      return 2;
    }
  dir = g_dir_open (argv[2], 0, &error);
  if (!dir)
    g_error ("%s", error->message);
  while ((name = g_dir_read_name (dir)))
    {
      g_autofree char *path = g_build_filename (argv[2], name, NULL);

      replay (path);
      n++;
    }
  printf ("%sok - /fuzz/%s: all %u inputs of the corpus, and their truncations\n", n ? "" : "not ", argv[1], n);
  return n ? 0 : 1;
}
