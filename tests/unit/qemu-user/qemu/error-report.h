/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QEMU_USER_ERROR_REPORT_H
#define QEMU_USER_ERROR_REPORT_H

void warn_report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
