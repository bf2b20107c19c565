/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Generated from trace-events; as every folder of QEMU that has some does it. */
#include "trace/trace-hw_virtio_ddebug.h"
