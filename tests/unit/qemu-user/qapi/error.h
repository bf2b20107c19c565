/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QEMU_USER_ERROR_H
#define QEMU_USER_ERROR_H

#define error_setg_errno(errp, err, ...) \
    do { \
        (void)(errp); \
        g_error("%s", g_strerror(err)); \
    } while (0)

#endif
