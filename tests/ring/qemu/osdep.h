/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of QEMU's headers that qemu-device/ddebug-stream.c uses. */
#ifndef QEMU_OSDEP_H
#define QEMU_OSDEP_H

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define QEMU_BUILD_BUG_ON(x) _Static_assert(!(x), #x)
#define ROUND_DOWN(n, d) ((n) & -(0 ? (n) : (d)))
#define ROUND_UP(n, d) ROUND_DOWN((n) + (d) - 1, (d))

#endif
