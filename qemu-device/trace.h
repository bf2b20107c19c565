/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Generated from trace-events; included in the way of QEMU's other devices. */
#include "trace/trace-hw_virtio_ddebug.h"
