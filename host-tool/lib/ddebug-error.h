/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What can go wrong in the tool, but for the log file itself, whose errors are of
 * DDEBUG_LOG_ERROR.  Each code of either has one exit status of ddebug-host.
 */
#ifndef DDEBUG_ERROR_H
#define DDEBUG_ERROR_H

#include <glib.h>

#define DDEBUG_ERROR (ddebug_error_quark ())
GQuark ddebug_error_quark (void);

typedef enum
{
  DDEBUG_ERROR_IO,          /* reading or writing failed */
  DDEBUG_ERROR_NOT_FOUND,   /* no such file or directory */
  DDEBUG_ERROR_ACCESS,      /* no permission */
  DDEBUG_ERROR_NOT_A_FILE,  /* directory, symbolic link, FIFO, device, ... */
  DDEBUG_ERROR_FORMAT,      /* a domain's XML is not what it should be */
  DDEBUG_ERROR_DAMAGED,     /* a cursor that cannot be read */
  DDEBUG_ERROR_REFUSED,     /* the device refused a request or did not answer */
  DDEBUG_ERROR_BOOT,        /* the log has no boot as it was asked for */
  DDEBUG_ERROR_LIBVIRT,     /* libvirt is not there, cannot be reached, or refused */
} DdebugError;

/* Sets @error, if it is not NULL, as printf() would say it; returns FALSE. */
gboolean ddebug_refuse (GError **error, DdebugError code, const char *format, ...) G_GNUC_PRINTF (3, 4);

#endif
