/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fuzz targets share.  Each target is one function, which libFuzzer,
 * AFL++ (by its libFuzzer driver) and replay.c call alike.  A check that fails
 * aborts, as a sanitizer does.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Not g_assert(): it is not to be compiled out, and must not look like a test's. */
#define FUZZ_CHECK(condition)                                                                              \
  do                                                                                                       \
    if (!(condition))                                                                                      \
      fuzz_fail (__FILE__, __LINE__, #condition);                                                          \
  while (0)

G_NORETURN void fuzz_fail (const char *file, int line, const char *condition);

/* Little-endian numbers, byte by byte: written apart from the code that is tested. */
guint64 fuzz_le (const guint8 *p, guint bytes);

/* Only text that may go to a terminal, with newlines and tabs as only controls. */
void fuzz_check_safe (const char *text, gsize len);

#endif
