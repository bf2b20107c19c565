/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of QEMU's header of this name that qemu-device/ddebug-stream.c uses. */
#ifndef QEMU_BSWAP_H
#define QEMU_BSWAP_H

#include <endian.h>

#define le32_to_cpu(x) le32toh(x)
#define le64_to_cpu(x) le64toh(x)
#define cpu_to_le32(x) htole32(x)
#define cpu_to_le64(x) htole64(x)

#endif
