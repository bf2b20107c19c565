/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QEMU_USER_THREAD_H
#define QEMU_USER_THREAD_H

#include <glib.h>

typedef GMutex QemuMutex;
typedef GCond QemuCond;

#define qemu_mutex_init(m) g_mutex_init(m)
#define qemu_mutex_destroy(m) g_mutex_clear(m)
#define qemu_mutex_lock(m) g_mutex_lock(m)
#define qemu_mutex_unlock(m) g_mutex_unlock(m)
#define qemu_cond_init(c) g_cond_init(c)
#define qemu_cond_destroy(c) g_cond_clear(c)
#define qemu_cond_signal(c) g_cond_signal(c)
#define qemu_cond_wait(c, m) g_cond_wait(c, m)
#define qemu_cond_timedwait(c, m, ms) \
    g_cond_wait_until(c, m, g_get_monotonic_time() + (ms) * 1000ll)

#endif
