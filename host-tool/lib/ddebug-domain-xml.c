/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The XML of a libvirt domain: parsing it, adding our device and removing it.
 *
 * libvirt always writes a domain in the same form: one element per line, two blanks per level, the
 * qemu namespace at the end, and < > & and quotes escaped everywhere.  So the XML is parsed for its
 * meaning but edited as text, which leaves all other bytes unchanged.  The result is parsed again and
 * compared with what was intended.
 *
 * Only comments and CDATA in <metadata> can contain arbitrary text.  They precede the command line, so
 * its last start tag is the real one.
 */
#include "ddebug-domain-xml.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "ddebug-error.h"
#include "ddebug-json.h"

#define BEGIN "\n  <qemu:commandline>\n"
#define END "\n  </qemu:commandline>\n"
#define DOMAIN_END "</domain>\n"

/* Slots of a conventional PCI bus; QEMU's host bridges use slot 0. */
#define SLOTS 32

/* Lines of context around a change. */
#define CONTEXT 3

/* ---- -device ---- */

/* Split "a,b=c,,d"; two commas are one within a value. */
static GPtrArray *
split_options (const char *text)
{
  GPtrArray *parts = g_ptr_array_new_with_free_func (g_free);
  GString *part = g_string_new (NULL);

  for (const char *p = text; *p; p++)
    if (*p == ',' && p[1] != ',')
      {
        g_ptr_array_add (parts, g_string_free (part, FALSE));
        part = g_string_new (NULL);
      }
    else
      {
        g_string_append_c (part, *p);
        p += *p == ',';
      }
  g_ptr_array_add (parts, g_string_free (part, FALSE));
  return parts;
}

static gboolean
is_our_driver (const char *driver)
{
  return g_strcmp0 (driver, "virtio-ddebug") == 0 || g_strcmp0 (driver, "virtio-ddebug-pci") == 0;
}

/* QEMU also accepts -device '{"driver": ...}'. */
static gboolean
parse_json_device (const char *value, char **file)
{
  g_autoptr (JsonNode) node = json_from_string (value, NULL);
  JsonNode *driver, *path;

  if (!node || !JSON_NODE_HOLDS_OBJECT (node))
    return FALSE;
  driver = json_object_get_member (json_node_get_object (node), "driver");
  path = json_object_get_member (json_node_get_object (node), "file");
  if (!driver || json_node_get_value_type (driver) != G_TYPE_STRING
      || !is_our_driver (json_node_get_string (driver)))
    return FALSE;
  *file = path && json_node_get_value_type (path) == G_TYPE_STRING ? json_node_dup_string (path) : NULL;
  return TRUE;
}

/* Whether @value is our device; @file: (out) (transfer full) (nullable): its log. */
static gboolean
parse_device (const char *value, char **file)
{
  g_autoptr (GPtrArray) parts = NULL;
  const char *driver;

  *file = NULL;
  if (*value == '{')
    return parse_json_device (value, file);
  parts = split_options (value);
  driver = parts->pdata[0];
  if (g_str_has_prefix (driver, "driver="))
    driver += strlen ("driver=");
  if (!is_our_driver (driver))
    return FALSE;
  for (guint i = 1; i < parts->len; i++)
    if (g_str_has_prefix (parts->pdata[i], "file="))
      {
        g_free (*file);
        *file = g_strdup ((char *) parts->pdata[i] + strlen ("file="));
      }
  return TRUE;
}

static gboolean
is_our_plugin (const char *value)
{
  g_autoptr (GPtrArray) parts = split_options (value);
  const char *path = parts->pdata[0];
  g_autofree char *name = NULL;

  if (g_str_has_prefix (path, "file="))
    path += strlen ("file=");
  name = g_path_get_basename (path);
  return strcmp (name, "virtio-ddebug.so") == 0;
}

/* Whether the argument at @i and the next are an option of ours; @file as in parse_device(). */
static gboolean
is_ours (const GPtrArray *args, guint i, gboolean *is_device, char **file)
{
  const char *option = args->pdata[i], *value;

  *file = NULL;
  *is_device = FALSE;
  if (i + 1 >= args->len)
    return FALSE;
  value = args->pdata[i + 1];
  if (strcmp (option, "-device") == 0 || strcmp (option, "--device") == 0)
    return *is_device = parse_device (value, file);
  return (strcmp (option, "-plugin") == 0 || strcmp (option, "--plugin") == 0) && is_our_plugin (value);
}

static void
find_devices (DdebugDomain *domain)
{
  for (guint i = 0; i < domain->args->len; i++)
    {
      g_autofree char *file = NULL;
      gboolean is_device;

      if (!is_ours (domain->args, i, &is_device, &file))
        continue;
      i++;
      if (!is_device)
        continue;
      domain->devices++;
      /* libvirt runs QEMU in the root directory */
      if (file && !domain->log)
        domain->log = g_canonicalize_filename (file, "/");
    }
}

/* ---- parsing ---- */

static const char *
attribute (const char **names, const char **values, const char *name)
{
  for (guint i = 0; names[i]; i++)
    if (strcmp (names[i], name) == 0)
      return values[i];
  return NULL;
}

/* Whether the open elements are exactly @names, innermost first, NULL-terminated. */
static gboolean
is_within (const GSList *open, const char *const *names)
{
  for (; *names; names++, open = open->next)
    if (!open || strcmp (open->data, *names) != 0)
      return FALSE;
  return !open;
}

#define WITHIN(open, ...) is_within (open, (const char *const[]){ __VA_ARGS__, NULL })

static void
take_root (DdebugDomain *domain, const char **names, const char **values)
{
  g_free (domain->type);
  domain->type = g_strdup (attribute (names, values, "type"));
}

static void
take_controller (DdebugDomain *domain, const char **names, const char **values)
{
  const char *model = attribute (names, values, "model");

  if (g_strcmp0 (attribute (names, values, "type"), "pci") != 0)
    return;
  if (g_strcmp0 (model, "pcie-root") == 0)
    {
      domain->root_bus = "pcie.0";
      /* hot-plugged devices go behind root ports */
      domain->can_choose = TRUE;
    }
  else if (g_strcmp0 (model, "pci-root") == 0 && g_strcmp0 (attribute (names, values, "index"), "0") == 0)
    domain->root_bus = "pci.0";
}

static void
take_address (DdebugDomain *domain, const char **names, const char **values)
{
  const char *bus = attribute (names, values, "bus"), *slot = attribute (names, values, "slot");
  guint64 number;

  if (g_strcmp0 (attribute (names, values, "type"), "pci") != 0 || !bus || !slot
      || g_ascii_strtoull (bus, NULL, 0) != 0)
    return;
  number = g_ascii_strtoull (slot, NULL, 0);
  if (number < SLOTS)
    domain->slots |= 1u << number;
}

static void
on_start (GMarkupParseContext *context, const char *element, const char **names, const char **values,
          gpointer data, GError **error)
{
  const GSList *open = g_markup_parse_context_get_element_stack (context)->next;
  DdebugDomain *domain = data;

  if (!open && strcmp (element, "domain") == 0)
    take_root (domain, names, values);
  else if (!open)
    g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_FORMAT, "<%s> is not a domain", element);
  else if (strcmp (element, "type") == 0 && WITHIN (open, "os", "domain"))
    domain->arch = domain->arch ? domain->arch : g_strdup (attribute (names, values, "arch"));
  else if (strcmp (element, "controller") == 0 && WITHIN (open, "devices", "domain"))
    take_controller (domain, names, values);
  else if (strcmp (element, "address") == 0 && open->next && WITHIN (open->next, "devices", "domain"))
    take_address (domain, names, values);
  else if (strcmp (element, "seclabel") == 0 && WITHIN (open, "domain"))
    domain->in_dac = g_strcmp0 (attribute (names, values, "model"), "dac") == 0;
  else if (strcmp (element, "qemu:commandline") == 0 && WITHIN (open, "domain"))
    domain->has_commandline = TRUE;
  else if (g_str_has_prefix (element, "qemu:") && WITHIN (open, "domain"))
    domain->has_others = TRUE;
  else if (strcmp (element, "qemu:arg") == 0 && WITHIN (open, "qemu:commandline", "domain")
           && attribute (names, values, "value"))
    g_ptr_array_add (domain->args, g_strdup (attribute (names, values, "value")));
  else if (strcmp (element, "qemu:env") == 0 && WITHIN (open, "qemu:commandline", "domain")
           && attribute (names, values, "name"))
    {
      g_ptr_array_add (domain->envs, g_strdup (attribute (names, values, "name")));
      g_ptr_array_add (domain->envs, g_strdup (attribute (names, values, "value")));
    }
}

static void
on_text (GMarkupParseContext *context, const char *text, gsize len, gpointer data, GError **error)
{
  const GSList *open = g_markup_parse_context_get_element_stack (context);
  DdebugDomain *domain = data;

  (void) error;
  if (!domain->emulator && WITHIN (open, "emulator", "devices", "domain"))
    domain->emulator = g_strndup (text, len);
  else if (domain->in_dac && !domain->dac_label && WITHIN (open, "label", "seclabel", "domain"))
    domain->dac_label = g_strndup (text, len);
}

DdebugDomain *
ddebug_domain_parse (const char *xml, GError **error)
{
  static const GMarkupParser parser = { .start_element = on_start, .text = on_text };
  g_autoptr (DdebugDomain) domain = g_new0 (DdebugDomain, 1);
  g_autoptr (GMarkupParseContext) context = NULL;
  g_autoptr (GError) why = NULL;

  domain->args = g_ptr_array_new_with_free_func (g_free);
  domain->envs = g_ptr_array_new_with_free_func (g_free);
  context = g_markup_parse_context_new (&parser, G_MARKUP_TREAT_CDATA_AS_TEXT, domain, NULL);
  if (!g_markup_parse_context_parse (context, xml, -1, &why)
      || !g_markup_parse_context_end_parse (context, &why))
    {
      ddebug_refuse (error, DDEBUG_ERROR_FORMAT, "cannot parse the domain's XML: %s", why->message);
      return NULL;
    }
  find_devices (domain);
  return g_steal_pointer (&domain);
}

void
ddebug_domain_free (DdebugDomain *domain)
{
  if (!domain)
    return;
  g_free (domain->type);
  g_free (domain->arch);
  g_free (domain->emulator);
  g_free (domain->dac_label);
  g_free (domain->log);
  g_ptr_array_unref (domain->args);
  g_ptr_array_unref (domain->envs);
  g_free (domain);
}

/* ---- what is to be added ---- */

int
ddebug_domain_free_slot (const DdebugDomain *domain)
{
  int slot = SLOTS - 1;

  while (slot > 0 && domain->slots & 1u << slot)
    slot--;
  return slot > 0 ? slot : -1;
}

/*
 * As JSON, like libvirt's own devices: QEMU creates all devices given as JSON after all others, in
 * order.  So ours comes last and does not take an address meant for one of libvirt's.
 */
char *
ddebug_domain_device (const DdebugDomain *domain, const char *log, guint64 size, GError **error)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  int slot = ddebug_domain_free_slot (domain);

  if (!domain->root_bus)
    {
      ddebug_refuse (error, DDEBUG_ERROR_REFUSED,
                     "its machine has no PCI bus, which the device needs; use pc or q35");
      return NULL;
    }
  if (!domain->can_choose && slot < 0)
    {
      ddebug_refuse (error, DDEBUG_ERROR_REFUSED,
                     "its PCI bus has no free slot; remove a device or add a bridge");
      return NULL;
    }
  json_builder_begin_object (builder);
  ddebug_json_add_string (builder, "driver", "virtio-ddebug-pci");
  ddebug_json_add_string (builder, "file", log);
  if (size)
    ddebug_json_add_number (builder, "size", size);
  ddebug_json_add_string (builder, "bus", domain->root_bus);
  if (!domain->can_choose)
    {
      g_autofree char *address = g_strdup_printf ("0x%x", slot);

      ddebug_json_add_string (builder, "addr", address);
    }
  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  return json_to_string (root, FALSE);
}

/* ---- changing ---- */

static void
append_attribute (GString *out, const char *name, const char *value)
{
  g_string_append_printf (out, " %s='", name);
  for (const char *p = value; *p; p++)
    switch (*p)
      {
      case '&':
        g_string_append (out, "&amp;");
        break;
      case '<':
        g_string_append (out, "&lt;");
        break;
      case '>':
        g_string_append (out, "&gt;");
        break;
      case '"':
        g_string_append (out, "&quot;");
        break;
      case '\'':
        g_string_append (out, "&apos;");
        break;
      case '\n':
      case '\t':
      case '\r':
        /* otherwise a parser normalizes them to blanks */
        g_string_append_printf (out, "&#%d;", *p);
        break;
      default:
        g_string_append_c (out, *p);
      }
  g_string_append_c (out, '\'');
}

static void
append_commandline (GString *out, const GPtrArray *args, const GPtrArray *envs)
{
  if (args->len == 0 && envs->len == 0)
    return;
  g_string_append (out, "  <qemu:commandline>\n");
  for (guint i = 0; i < args->len; i++)
    {
      g_string_append (out, "    <qemu:arg");
      append_attribute (out, "value", args->pdata[i]);
      g_string_append (out, "/>\n");
    }
  for (guint i = 0; i < envs->len; i += 2)
    {
      g_string_append (out, "    <qemu:env");
      append_attribute (out, "name", envs->pdata[i]);
      if (envs->pdata[i + 1])
        append_attribute (out, "value", envs->pdata[i + 1]);
      g_string_append (out, "/>\n");
    }
  g_string_append (out, "  </qemu:commandline>\n");
}

/* Find the start and end of the command line in @xml; if it has none, both are where it would be. */
static gboolean
find_commandline (const char *xml, const DdebugDomain *domain, gsize *begin, gsize *end)
{
  gsize len = strlen (xml);
  const char *first, *last;

  if (!g_str_has_suffix (xml, DOMAIN_END))
    return FALSE;
  *begin = *end = len - strlen (DOMAIN_END);
  if (!domain->has_commandline)
    return TRUE;
  first = g_strrstr (xml, BEGIN);
  last = first ? strstr (first, END) : NULL;
  if (!last)
    return FALSE;
  *begin = first + 1 - xml;
  *end = last + strlen (END) - xml;
  return TRUE;
}

static gboolean
are_equal (const GPtrArray *a, const GPtrArray *b)
{
  if (a->len != b->len)
    return FALSE;
  for (guint i = 0; i < a->len; i++)
    if (g_strcmp0 (a->pdata[i], b->pdata[i]) != 0)
      return FALSE;
  return TRUE;
}

#define NAMESPACE " xmlns:qemu='" DDEBUG_DOMAIN_NAMESPACE "'"

/* Append the root element of @xml, whose @len bytes end before its bracket, with or without the namespace. */
static void
append_root (GString *out, const char *xml, gsize len, gboolean with_namespace)
{
  const char *there = g_strstr_len (xml, len, NAMESPACE);

  if (there && !with_namespace)
    {
      g_string_append_len (out, xml, there - xml);
      g_string_append_len (out, there + strlen (NAMESPACE), xml + len - there - strlen (NAMESPACE));
      return;
    }
  g_string_append_len (out, xml, len);
  if (!there && with_namespace)
    g_string_append (out, NAMESPACE);
}

/* Return @xml with the arguments @args instead of its own. */
static char *
replace_args (const char *xml, const DdebugDomain *domain, const GPtrArray *args, GError **error)
{
  const char *root_end = strchr (xml, '>');
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (DdebugDomain) made = NULL;
  gsize begin, end, head;

  if (!g_str_has_prefix (xml, "<domain ") || !find_commandline (xml, domain, &begin, &end))
    {
      ddebug_refuse (error, DDEBUG_ERROR_FORMAT,
                     "the domain's XML is not in libvirt's own format; use virsh edit");
      return NULL;
    }
  head = root_end - xml;
  append_root (out, xml, head, args->len || domain->envs->len || domain->has_others);
  g_string_append_len (out, root_end, begin - head);
  append_commandline (out, args, domain->envs);
  g_string_append (out, xml + end);
  made = ddebug_domain_parse (out->str, error);
  if (!made)
    return NULL;
  if (!are_equal (made->args, args) || !are_equal (made->envs, domain->envs))
    {
      ddebug_refuse (error, DDEBUG_ERROR_FORMAT, "the domain's XML cannot be changed safely; use virsh edit");
      return NULL;
    }
  return g_string_free (g_steal_pointer (&out), FALSE);
}

char *
ddebug_domain_add (const char *xml, const DdebugDomain *domain, const char *plugin, const char *device,
                   GError **error)
{
  g_autoptr (GPtrArray) args = g_ptr_array_new ();

  for (guint i = 0; i < domain->args->len; i++)
    g_ptr_array_add (args, domain->args->pdata[i]);
  if (plugin)
    {
      g_ptr_array_add (args, (char *) "-plugin");
      g_ptr_array_add (args, (char *) plugin);
    }
  g_ptr_array_add (args, (char *) "-device");
  g_ptr_array_add (args, (char *) device);
  return replace_args (xml, domain, args, error);
}

char *
ddebug_domain_remove (const char *xml, const DdebugDomain *domain, GError **error)
{
  g_autoptr (GPtrArray) args = g_ptr_array_new ();

  for (guint i = 0; i < domain->args->len; i++)
    {
      g_autofree char *file = NULL;
      gboolean is_device;

      if (is_ours (domain->args, i, &is_device, &file))
        i++;
      else
        g_ptr_array_add (args, domain->args->pdata[i]);
    }
  return replace_args (xml, domain, args, error);
}

/* ---- showing ---- */

/* Append lines @from up to @to, each prefixed with @mark. */
static void
append_lines (GString *out, char mark, char **lines, guint from, guint to)
{
  for (guint i = from; i < to; i++)
    g_string_append_printf (out, "%c%s\n", mark, lines[i]);
}

/* Lines @a_from to @a_to became @b_from to @b_to; @lead lines before and @tail after them are equal. */
static void
append_hunk (GString *out, char **a, char **b, guint a_from, guint a_to, guint b_from, guint b_to, guint lead,
             guint tail)
{
  lead = MIN (lead, CONTEXT);
  tail = MIN (tail, CONTEXT);
  g_string_append_printf (out, "@@ -%u,%u +%u,%u @@\n", a_from - lead + 1, a_to - a_from + lead + tail,
                          b_from - lead + 1, b_to - b_from + lead + tail);
  append_lines (out, ' ', a, a_from - lead, a_from);
  append_lines (out, '-', a, a_from, a_to);
  append_lines (out, '+', b, b_from, b_to);
  append_lines (out, ' ', a, a_to, a_to + tail);
}

/*
 * At most two places differ: the first line, which is the root element, and what is between the common
 * lines at the start and those at the end.
 */
void
ddebug_domain_diff (GString *out, const char *before, const char *after)
{
  g_auto (GStrv) a = g_strsplit (before, "\n", -1), b = g_strsplit (after, "\n", -1);
  /* the empty string after the last newline is not a line */
  guint na = g_strv_length (a) - 1, nb = g_strv_length (b) - 1, same = 1, tail = 0;

  while (same < MIN (na, nb) && strcmp (a[same], b[same]) == 0)
    same++;
  while (tail < MIN (na, nb) - same && strcmp (a[na - 1 - tail], b[nb - 1 - tail]) == 0)
    tail++;
  if (strcmp (a[0], b[0]) != 0)
    append_hunk (out, a, b, 0, 1, 0, 1, 0, same - 1);
  if (same < na - tail || same < nb - tail)
    append_hunk (out, a, b, same, na - tail, same, nb - tail, same, tail);
}
