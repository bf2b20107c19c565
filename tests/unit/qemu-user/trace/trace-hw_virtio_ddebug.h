/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The drain's trace points, which do nothing. */
#ifndef QEMU_USER_TRACE_DDEBUG_H
#define QEMU_USER_TRACE_DDEBUG_H

#define trace_virtio_ddebug_drain_start(...) ((void)0)
#define trace_virtio_ddebug_drain_opened(...) ((void)0)
#define trace_virtio_ddebug_drain_stop(...) ((void)0)
#define trace_virtio_ddebug_drain_withdraw(...) ((void)0)
#define trace_virtio_ddebug_drain_permit(...) ((void)0)
#define trace_virtio_ddebug_drain_span(...) ((void)0)
#define trace_virtio_ddebug_drain_broken(...) ((void)0)
#define trace_virtio_ddebug_drain_gone(...) ((void)0)
#define trace_virtio_ddebug_drain_notice(...) ((void)0)
#define trace_virtio_ddebug_drain_pass(...) ((void)0)
#define trace_virtio_ddebug_drain_settled(...) ((void)0)
#define trace_virtio_ddebug_drain_sleep(...) ((void)0)
#define trace_virtio_ddebug_drain_unstaged(...) ((void)0)
#define trace_virtio_ddebug_drain_io_error(...) ((void)0)

#endif
