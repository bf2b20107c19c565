/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which file a process has open, and on which host: what a writer stores. */
#ifndef DDEBUG_LOG_ORIGIN_H
#define DDEBUG_LOG_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

typedef struct DdebugLogOrigin {
    uint64_t dev;               /* st_dev */
    uint64_t ino;               /* st_ino */
    uint32_t fs;                /* f_type of statfs(); 0: not known */
    uint8_t host_boot[16];      /* boot id of the host; zero: not known */
} DdebugLogOrigin;

/* Returns false if the file cannot be examined. */
bool ddebug_log_origin(int fd, DdebugLogOrigin *origin);

#endif /* DDEBUG_LOG_ORIGIN_H */
