/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be wrong with a log file, or with access to it. */
#ifndef DDEBUG_LOG_ERROR_H
#define DDEBUG_LOG_ERROR_H

#include <glib.h>

#define DDEBUG_LOG_ERROR ddebug_log_error_quark()
GQuark ddebug_log_error_quark(void);

typedef enum {
    DDEBUG_LOG_ERROR_NOT_FOUND,     /* no such file or directory */
    DDEBUG_LOG_ERROR_NOT_A_FILE,    /* directory, symbolic link, FIFO, ... */
    DDEBUG_LOG_ERROR_LINKED,        /* several hard links, or replaced */
    DDEBUG_LOG_ERROR_OWNER,         /* another user's: DDEBUG_LOG_OPEN_OWNED */
    DDEBUG_LOG_ERROR_PERMISSION,    /* no permission to open or change it */
    DDEBUG_LOG_ERROR_BUSY,          /* another writer has it */
    DDEBUG_LOG_ERROR_EMPTY,         /* readers: not formatted yet */
    DDEBUG_LOG_ERROR_FORMAT,        /* not a log; writers: nor of length 0 */
    DDEBUG_LOG_ERROR_VERSION,       /* unknown version or flags */
    DDEBUG_LOG_ERROR_DAMAGED,       /* no superblock is valid */
    DDEBUG_LOG_ERROR_SIZE,          /* the size asked for is out of range */
    DDEBUG_LOG_ERROR_SHM,           /* no shared rings, or of another size */
    DDEBUG_LOG_ERROR_SPACE,         /* no space left on its file system */
    DDEBUG_LOG_ERROR_LIMIT,         /* a limit on the size of files forbids it */
    DDEBUG_LOG_ERROR_IO,            /* any other error of a system call */
} DdebugLogError;

#endif /* DDEBUG_LOG_ERROR_H */
