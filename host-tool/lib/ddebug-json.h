/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Items as JSON, one object per line: --output=json.  docs/json-output.md describes the members.  What
 * a guest can choose is a string or an array of bytes.
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
  const char *vm;           /* name of its VM; NULL: use the one in the log */
  gboolean utf8;            /* the output supports UTF-8; otherwise it is ASCII */
  gboolean quiet;           /* messages only */
  const DdebugEpoch *epoch; /* of the last object; state of ddebug_json_item() */
} DdebugJson;

/**
 * ddebug_json_item:
 * @super: of the log that @item belongs to
 *
 * Append the lines of @item to @out: an object for a message, event or gap, preceded by one of type
 * "epoch" if the item is of another epoch than the one before it.
 */
void ddebug_json_item (DdebugJson *json, const DdebugSuper *super, const DdebugItem *item, GString *out);

/* Append an object of type "boot"; @index: as in --list-boots, 0 is the newest. */
void ddebug_json_boot (const DdebugJson *json, const DdebugSuper *super, const DdebugBoot *boot, int index,
                       GString *out);

/*
 * For objects built elsewhere: add a member to the current object of a JsonBuilder.  Numbers are
 * limited to 2^53 - 1: not all JSON parsers can distinguish larger ones.
 */
void ddebug_json_add_string (JsonBuilder *builder, const char *name, const char *value);
void ddebug_json_add_true (JsonBuilder *builder, const char *name);
void ddebug_json_add_number (JsonBuilder *builder, const char *name, guint64 value);
/* Seconds with nine decimals, as a string: a number would not be exact. */
void ddebug_json_add_time (JsonBuilder *builder, const char *name, guint64 ns);
/* Append the object of @builder and a newline. */
void ddebug_json_finish (JsonBuilder *builder, gboolean utf8, GString *out);

#endif
