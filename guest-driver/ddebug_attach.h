/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Taking a transport into use, and out of use.
 */
#ifndef _DDEBUG_ATTACH_H
#define _DDEBUG_ATTACH_H

#include <linux/types.h>
#include "ddebug_transport.h"

int ddebug_transport_attach(struct ddebug_transport *t);
void ddebug_transport_detach(struct ddebug_transport *t);
void ddebug_stream_returned(struct ddebug_stream *s);
void ddebug_stream_retired(struct ddebug_stream *s);
void ddebug_transport_answers(void);
u64 ddebug_rb_instance(void);
void ddebug_attach_init(void);
void ddebug_own_begin(void);
void ddebug_own_end(void);

#endif /* _DDEBUG_ATTACH_H */
