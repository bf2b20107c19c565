/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The files in <debugfs>/dynamic_debug/ besides control.
 */
#ifndef _DDEBUG_FILES_H
#define _DDEBUG_FILES_H

void ddebug_files_init(void);
void ddebug_files_exit(void);

#endif /* _DDEBUG_FILES_H */
