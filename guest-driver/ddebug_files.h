/* SPDX-License-Identifier: GPL-2.0 */
/* Inside ddebug_rb.ko: the files in <debugfs>/dynamic_debug/ besides control. */
#ifndef _DDEBUG_FILES_H
#define _DDEBUG_FILES_H

struct ddebug_view;
struct file_operations;

/* ddebug_files.c */
void ddebug_files_init(void);
void ddebug_files_exit(void);

/* ddebug_pipe.c */
extern const struct file_operations ddebug_pipe_fops;
int ddebug_pipe_init(void);
void ddebug_pipe_exit(void);
void ddebug_pipe_copy(struct ddebug_view *v);
void ddebug_pipe_clear(void);

#endif /* _DDEBUG_FILES_H */
