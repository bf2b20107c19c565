/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ddebug-error.h"

G_DEFINE_QUARK (ddebug-error-quark, ddebug_error)

gboolean
ddebug_refuse (GError **error, DdebugError code, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  if (error)
    *error = g_error_new_valist (DDEBUG_ERROR, code, format, args);
  va_end (args);
  return FALSE;
}
