/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Render packed records as text: docs/log-format.md, "Packed records".  Format and arguments may be
 * hostile and need not match.
 */
#ifndef DDEBUG_RENDER_H
#define DDEBUG_RENDER_H

#include <glib.h>

#include "ddebug-codec.h"
#include "ddebug-dict.h"

/**
 * ddebug_render_packed:
 * @message: a packed one
 * @callsite: its entry in the dictionary
 * @text: room for DDEBUG_TEXT_MAX bytes
 *
 * Allocates nothing.
 *
 * Returns: the number of bytes in @text, of any value, or -1 if the record does not match the format
 */
int ddebug_render_packed (const DdebugMessage *message, const DdebugCallsite *callsite, guint8 *text);

#endif
