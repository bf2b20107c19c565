/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Items as JSON, an object a line: --output=json.  What the members mean is said in
 * docs/json-output.md; what a guest can choose is a string there, or an array of bytes.
 */
#ifndef DDEBUG_JSON_H
#define DDEBUG_JSON_H

#include <glib.h>
#include <json-glib/json-glib.h>

#include "ddebug-boots.h"
#include "ddebug-merge.h"
#include "ddebug-reader.h"

typedef struct
{
  const char *log;          /* path of the log */
  const char *vm;           /* name of its VM; NULL: as the log has it */
  gboolean utf8;            /* the output understands UTF-8; else all is ASCII */
  gboolean quiet;           /* messages only */
  const DdebugEpoch *epoch; /* of the last object; kept by ddebug_json_item() */
} DdebugJson;

/**
 * ddebug_json_item:
 * @super: of the log that @item is of
 *
 * Appends the lines of @item to @out: an object for a message, an event, a gap; one of
 * type "epoch" before what is of another epoch than the item before it.
 */
void ddebug_json_item (DdebugJson *json, const DdebugSuper *super, const DdebugItem *item, GString *out);

/* Appends an object of type "boot"; @index: as --list-boots counts, 0 is the newest. */
void ddebug_json_boot (const DdebugJson *json, const DdebugSuper *super, const DdebugBoot *boot, int index, GString *out);

/*
 * For objects made elsewhere: members of a JsonBuilder, which is in an object.  Numbers
 * above 2^53 - 1, which not all readers of JSON can tell apart, become that.
 */
void ddebug_json_add_string (JsonBuilder *builder, const char *name, const char *value);
void ddebug_json_add_true (JsonBuilder *builder, const char *name);
void ddebug_json_add_number (JsonBuilder *builder, const char *name, guint64 value);
/* Seconds with nine digits behind the point, as a string: exact, which a number would not be. */
void ddebug_json_add_time (JsonBuilder *builder, const char *name, guint64 ns);
/* Appends the object that @builder has, and a newline. */
void ddebug_json_finish (JsonBuilder *builder, gboolean utf8, GString *out);

#endif
