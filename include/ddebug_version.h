/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/*
 * The version of the product: modules, device and tool.  Contracts have numbers
 * of their own.  Scripts read it too, so it stays one line.
 */
#ifndef _DDEBUG_VERSION_H
#define _DDEBUG_VERSION_H

#define DDEBUG_VERSION "0.1"

#endif
