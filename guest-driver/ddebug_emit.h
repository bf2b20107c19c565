/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From a message to a record.
 */
#ifndef _DDEBUG_EMIT_H
#define _DDEBUG_EMIT_H

#include <linux/compiler.h>
#include <linux/dynamic_debug.h>
#include <linux/stdarg.h>

/**
 * enum ddebug_kind - which of the kernel's print functions a message is for
 * @DDEBUG_KIND_PR: __dynamic_pr_debug(); there is no object
 * @DDEBUG_KIND_DEV: __dynamic_dev_dbg(); the object is a struct device or NULL
 * @DDEBUG_KIND_NETDEV: __dynamic_netdev_dbg(); a struct net_device or NULL
 * @DDEBUG_KIND_IBDEV: __dynamic_ibdev_dbg(); a struct ib_device or NULL
 * @DDEBUG_KIND_HEX_DUMP: a line of print_hex_dump(); there is no object
 * @DDEBUG_KIND_CONT: pr_cont(): a piece of the line before; there is no object
 */
enum ddebug_kind {
	DDEBUG_KIND_PR,
	DDEBUG_KIND_DEV,
	DDEBUG_KIND_NETDEV,
	DDEBUG_KIND_IBDEV,
	DDEBUG_KIND_HEX_DUMP,
	DDEBUG_KIND_CONT,
};

__printf(4, 0)
void ddebug_emit(const struct _ddebug *d, enum ddebug_kind kind,
		 const void *obj, const char *fmt, va_list args);

#endif /* _DDEBUG_EMIT_H */
