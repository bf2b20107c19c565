/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which file a process has open, and on which host. */
#include "ddebug-log-origin.h"

#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

/* A confined process may not see the boot id: then @boot stays as it is. */
static void read_host_boot(uint8_t boot[16])
{
    g_autofree char *text = NULL;
    uint8_t id[16];
    const char *p;
    int i;

    if (!g_file_get_contents(BOOT_ID, &text, NULL, NULL)) {
        return;
    }
    for (i = 0, p = text; i < 16; i++, p += 2) {
        p += *p == '-';
        if (!g_ascii_isxdigit(p[0]) || !g_ascii_isxdigit(p[1])) {
            return;
        }
        id[i] = g_ascii_xdigit_value(p[0]) << 4 | g_ascii_xdigit_value(p[1]);
    }
    memcpy(boot, id, sizeof(id));
}

bool ddebug_log_origin(int fd, DdebugLogOrigin *origin)
{
    struct statfs fs;
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return false;
    }
    *origin = (DdebugLogOrigin) { .dev = st.st_dev, .ino = st.st_ino };
    if (fstatfs(fd, &fs) == 0) {
        origin->fs = fs.f_type;
    }
    read_host_boot(origin->host_boot);
    return true;
}
