/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of QEMU's headers that the drain (qemu-device/ddebug-drain.c and
 * ddebug-stream.c) uses, for a program without QEMU: see test-drain.c.
 */
#ifndef QEMU_USER_OSDEP_H
#define QEMU_USER_OSDEP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "qemu/bswap.h"

#define ARRAY_SIZE(array) G_N_ELEMENTS(array)
#define QEMU_BUILD_BUG_ON(x) _Static_assert(!(x), #x)
#define ROUND_DOWN(n, d) ((n) & -(0 ? (n) : (d)))
#define ROUND_UP(n, d) ROUND_DOWN((n) + (d) - 1, (d))

typedef struct Error Error;

#endif
