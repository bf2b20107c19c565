/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The file trace_pipe, and the position up to which messages were consumed.
 */
#ifndef _DDEBUG_PIPE_H
#define _DDEBUG_PIPE_H

struct ddebug_view;
struct file_operations;

extern const struct file_operations ddebug_pipe_fops;
int ddebug_pipe_init(void);
void ddebug_pipe_exit(void);
void ddebug_pipe_copy(struct ddebug_view *v);
void ddebug_pipe_clear(void);

#endif /* _DDEBUG_PIPE_H */
