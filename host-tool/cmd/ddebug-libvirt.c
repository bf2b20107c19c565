/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt, as far as the tool needs it, through a library that is loaded on demand. */
#include "ddebug-libvirt.h"

#include <errno.h>
#include <gmodule.h>
#include <grp.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Its ABI has been stable since 0.1. */
#define LIBRARY "libvirt.so.0"

#define FUNCTIONS(F) \
  F (virInitialize) \
  F (virSetErrorFunc) \
  F (virGetLastError) \
  F (virConnectOpen) \
  F (virConnectOpenReadOnly) \
  F (virConnectClose) \
  F (virConnectGetURI) \
  F (virConnectGetType) \
  F (virConnectGetCapabilities) \
  F (virConnectIsAlive) \
  F (virConnectListAllDomains) \
  F (virConnectDomainEventRegisterAny) \
  F (virConnectDomainEventDeregisterAny) \
  F (virConnectRegisterCloseCallback) \
  F (virConnectUnregisterCloseCallback) \
  F (virEventRegisterDefaultImpl) \
  F (virEventRunDefaultImpl) \
  F (virDomainLookupByID) \
  F (virDomainLookupByName) \
  F (virDomainLookupByUUIDString) \
  F (virDomainGetName) \
  F (virDomainGetUUIDString) \
  F (virDomainGetID) \
  F (virDomainGetInfo) \
  F (virDomainGetXMLDesc) \
  F (virDomainIsPersistent) \
  F (virDomainDefineXMLFlags) \
  F (virDomainFree)

static struct
{
#define MEMBER(name) __typeof__ (name) *name;
  FUNCTIONS (MEMBER)
} lib;

struct DdebugLibvirt
{
  virConnectPtr connection;
  char *uri;
  int lifecycle;            /* id of the callback; -1: none */
  gboolean has_close;       /* the close callback is registered */
};

/* ---- the library ---- */

static const struct
{
  const char *name;
  gpointer *place;
} functions[] = {
#define ENTRY(name) { #name, (gpointer *) &lib.name },
  FUNCTIONS (ENTRY)
};

/* We return errors; by default libvirt also prints them. */
static void
print_nothing (void *data, virErrorPtr error)
{
  (void) data;
  (void) error;
}

static gboolean
fail (GError **error, DdebugError code, const char *what)
{
  virErrorPtr why = lib.virGetLastError ();

  g_set_error (error, DDEBUG_ERROR, code, "%s: %s", what,
               why && why->message ? why->message : "unknown libvirt error");
  return FALSE;
}

static gboolean
load (GError **error)
{
  static gboolean loaded;
  GModule *module;

  if (loaded)
    return TRUE;
  module = g_module_open (LIBRARY, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
  if (!module)
    {
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_LIBVIRT,
                   "cannot load libvirt: %s; install the package libvirt0", g_module_error ());
      return FALSE;
    }
  g_module_make_resident (module);
  for (guint i = 0; i < G_N_ELEMENTS (functions); i++)
    if (!g_module_symbol (module, functions[i].name, functions[i].place))
      {
        g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_LIBVIRT, "this libvirt is too old: %s",
                     g_module_error ());
        return FALSE;
      }
  /* Register the event loop before any connection is opened: connections use it. */
  if (lib.virInitialize () != 0 || lib.virEventRegisterDefaultImpl () != 0)
    return fail (error, DDEBUG_ERROR_LIBVIRT, "libvirt");
  lib.virSetErrorFunc (NULL, print_nothing);
  loaded = TRUE;
  return TRUE;
}

/* ---- the connection ---- */

/* The logs of a remote URI's domains are files on that machine. */
static gboolean
is_local (const char *uri)
{
  g_autofree char *host = NULL;

  return !g_uri_split (uri, G_URI_FLAGS_NONE, NULL, NULL, &host, NULL, NULL, NULL, NULL, NULL)
         || !host || !*host || strcmp (host, "localhost") == 0;
}

DdebugLibvirt *
ddebug_libvirt_open (const char *uri, DdebugLibvirtMode mode, GError **error)
{
  g_autoptr (DdebugLibvirt) libvirt = g_new0 (DdebugLibvirt, 1);
  char *actual;

  libvirt->lifecycle = -1;
  if (!load (error))
    return NULL;
  /* Refuse a remote URI before contacting the other machine. */
  if (uri && !is_local (uri))
    {
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_LIBVIRT,
                   "--connect=%s: is another machine, and its logs are there; run ddebug-host on it", uri);
      return NULL;
    }
  libvirt->connection = mode == DDEBUG_LIBVIRT_WRITE ? lib.virConnectOpen (uri)
                                                     : lib.virConnectOpenReadOnly (uri);
  if (!libvirt->connection)
    {
      g_autofree char *what = g_strdup_printf ("cannot connect to libvirt%s%s", uri ? " at " : "",
                                               uri ? uri : "");

      fail (error, DDEBUG_ERROR_LIBVIRT, what);
      return NULL;
    }
  actual = lib.virConnectGetURI (libvirt->connection);
  libvirt->uri = g_strdup (actual ? actual : "");
  free (actual);
  if (!is_local (libvirt->uri))
    {
      g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_LIBVIRT,
                   "%s: is another machine, and its logs are there; run ddebug-host on it", libvirt->uri);
      return NULL;
    }
  return g_steal_pointer (&libvirt);
}

static void
wake (gpointer fd)
{
  /* It fails only if the counter is full, and then it is readable already. */
  eventfd_write (GPOINTER_TO_INT (fd), 1);
}

static int
on_lifecycle (virConnectPtr connection, virDomainPtr domain, int event, int detail, void *data)
{
  (void) connection;
  (void) domain;
  (void) event;
  (void) detail;
  wake (data);
  return 0;
}

static void
on_close (virConnectPtr connection, int reason, void *data)
{
  (void) connection;
  (void) reason;
  wake (data);
}

void
ddebug_libvirt_free (DdebugLibvirt *libvirt)
{
  if (!libvirt)
    return;
  /* A connection with callbacks is not closed. */
  if (libvirt->lifecycle >= 0)
    lib.virConnectDomainEventDeregisterAny (libvirt->connection, libvirt->lifecycle);
  if (libvirt->has_close)
    lib.virConnectUnregisterCloseCallback (libvirt->connection, on_close);
  if (libvirt->connection)
    lib.virConnectClose (libvirt->connection);
  g_free (libvirt->uri);
  g_free (libvirt);
}

const char *
ddebug_libvirt_uri (DdebugLibvirt *libvirt)
{
  return libvirt->uri;
}

gboolean
ddebug_libvirt_is_system (DdebugLibvirt *libvirt)
{
  g_autofree char *path = NULL;

  return !g_uri_split (libvirt->uri, G_URI_FLAGS_NONE, NULL, NULL, NULL, NULL, &path, NULL, NULL, NULL)
         || strcmp (path, "/session") != 0;
}

/* ---- domains ---- */

void
ddebug_vm_free (DdebugVm *vm)
{
  if (!vm)
    return;
  g_free (vm->name);
  g_free (vm->log);
  g_free (vm);
}

static const char *
state_word (virDomainPtr domain)
{
  static const char *const words[] = {
    [VIR_DOMAIN_NOSTATE] = "no state", [VIR_DOMAIN_RUNNING] = "running",   [VIR_DOMAIN_BLOCKED] = "idle",
    [VIR_DOMAIN_PAUSED] = "paused",    [VIR_DOMAIN_SHUTDOWN] = "in shutdown",
    [VIR_DOMAIN_SHUTOFF] = "shut off",
    [VIR_DOMAIN_CRASHED] = "crashed",  [VIR_DOMAIN_PMSUSPENDED] = "pmsuspended",
  };
  virDomainInfo info;

  if (lib.virDomainGetInfo (domain, &info) != 0 || info.state >= G_N_ELEMENTS (words))
    return "no state";
  return words[info.state];
}

/* The log that the domain's XML with these flags names; NULL: none. */
static char *
find_log (virDomainPtr domain, unsigned int flags)
{
  char *xml = lib.virDomainGetXMLDesc (domain, flags);
  g_autoptr (DdebugDomain) parsed = xml ? ddebug_domain_parse (xml, NULL) : NULL;

  free (xml);
  return parsed ? g_steal_pointer (&parsed->log) : NULL;
}

/* Takes ownership of @domain. */
static DdebugVm *
make_vm (virDomainPtr domain)
{
  DdebugVm *vm = g_new0 (DdebugVm, 1);

  vm->name = g_strdup (lib.virDomainGetName (domain));
  lib.virDomainGetUUIDString (domain, vm->uuid);
  vm->id = (int) lib.virDomainGetID (domain);
  vm->state = state_word (domain);
  vm->is_persistent = lib.virDomainIsPersistent (domain) == 1;
  /* A running VM uses the log that it was started with; the configuration may have changed since. */
  vm->log = find_log (domain, 0);
  if (!vm->log)
    vm->log = find_log (domain, VIR_DOMAIN_XML_INACTIVE);
  lib.virDomainFree (domain);
  return vm;
}

/* Try an id, then a UUID, then a name, like virsh. */
static virDomainPtr
look_up (DdebugLibvirt *libvirt, const char *name)
{
  virDomainPtr domain = NULL;
  guint64 id;

  if (g_ascii_string_to_unsigned (name, 10, 0, G_MAXINT, &id, NULL))
    domain = lib.virDomainLookupByID (libvirt->connection, id);
  if (!domain && strlen (name) == 36)
    domain = lib.virDomainLookupByUUIDString (libvirt->connection, name);
  return domain ? domain : lib.virDomainLookupByName (libvirt->connection, name);
}

DdebugVm *
ddebug_libvirt_find (DdebugLibvirt *libvirt, const char *name, GError **error)
{
  virDomainPtr domain = look_up (libvirt, name);
  virErrorPtr why;

  if (domain)
    return make_vm (domain);
  why = lib.virGetLastError ();
  if (why && why->code == VIR_ERR_NO_DOMAIN)
    g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_NOT_FOUND, "%s: no such domain at %s", name, libvirt->uri);
  else
    fail (error, DDEBUG_ERROR_LIBVIRT, name);
  return NULL;
}

static int
compare_vms (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(DdebugVm *const *) a)->name, (*(DdebugVm *const *) b)->name);
}

GPtrArray *
ddebug_libvirt_list (DdebugLibvirt *libvirt, GError **error)
{
  g_autoptr (GPtrArray) vms = g_ptr_array_new_with_free_func ((GDestroyNotify) ddebug_vm_free);
  virDomainPtr *domains;
  int n = lib.virConnectListAllDomains (libvirt->connection, &domains, 0);

  if (n < 0)
    {
      fail (error, DDEBUG_ERROR_LIBVIRT, libvirt->uri);
      return NULL;
    }
  for (int i = 0; i < n; i++)
    g_ptr_array_add (vms, make_vm (domains[i]));
  free (domains);
  g_ptr_array_sort (vms, compare_vms);
  return g_steal_pointer (&vms);
}

char *
ddebug_libvirt_config (DdebugLibvirt *libvirt, const DdebugVm *vm, gboolean secure, GError **error)
{
  virDomainPtr domain = lib.virDomainLookupByUUIDString (libvirt->connection, vm->uuid);
  unsigned int flags = VIR_DOMAIN_XML_INACTIVE | (secure ? VIR_DOMAIN_XML_SECURE : 0);
  char *xml = domain ? lib.virDomainGetXMLDesc (domain, flags) : NULL;
  char *copy;

  if (!xml)
    fail (error, DDEBUG_ERROR_LIBVIRT, vm->name);
  if (domain)
    lib.virDomainFree (domain);
  copy = g_strdup (xml);
  free (xml);
  return copy;
}

gboolean
ddebug_libvirt_define (DdebugLibvirt *libvirt, const char *xml, GError **error)
{
  virDomainPtr domain = lib.virDomainDefineXMLFlags (libvirt->connection, xml, VIR_DOMAIN_DEFINE_VALIDATE);

  if (!domain)
    return fail (error, DDEBUG_ERROR_LIBVIRT, "libvirt refused the configuration");
  lib.virDomainFree (domain);
  return TRUE;
}

/* ---- users ---- */

/* A number, with or without the plus sign that marks it as one, or a name. */
static gboolean
parse_id (const char *text, gboolean is_group, guint32 *id)
{
  const char *digits = *text == '+' ? text + 1 : text;
  guint64 number;

  if (g_ascii_string_to_unsigned (digits, 10, 0, G_MAXUINT32 - 1, &number, NULL))
    {
      *id = number;
      return TRUE;
    }
  if (is_group)
    {
      struct group *group = getgrnam (text);

      *id = group ? group->gr_gid : 0;
      return group != NULL;
    }
  else
    {
      struct passwd *user = getpwnam (text);

      *id = user ? user->pw_uid : 0;
      return user != NULL;
    }
}

gboolean
ddebug_libvirt_parse_user (const char *label, uid_t *uid, gid_t *gid)
{
  g_auto (GStrv) parts = g_strsplit (label, ":", 2);

  return parts[0] && parts[1] && parse_id (parts[0], FALSE, uid) && parse_id (parts[1], TRUE, gid);
}

typedef struct
{
  const char *type;         /* of the domain */
  gboolean in_dac;
  gboolean is_type;         /* of the label that is being parsed */
  char *text;               /* of the element that is being parsed */
  char *label;
} Capabilities;

static void
on_start (GMarkupParseContext *context, const char *element, const char **names, const char **values,
          gpointer data, GError **error)
{
  Capabilities *capabilities = data;

  (void) context;
  (void) error;
  if (strcmp (element, "secmodel") == 0)
    capabilities->in_dac = FALSE;
  capabilities->is_type = FALSE;
  for (guint i = 0; names[i]; i++)
    if (strcmp (element, "baselabel") == 0 && strcmp (names[i], "type") == 0)
      capabilities->is_type = g_strcmp0 (values[i], capabilities->type) == 0;
}

static void
on_text (GMarkupParseContext *context, const char *text, gsize len, gpointer data, GError **error)
{
  const char *element = g_markup_parse_context_get_element (context);
  Capabilities *capabilities = data;

  (void) error;
  if (strcmp (element, "model") == 0 && len == 3 && memcmp (text, "dac", 3) == 0)
    capabilities->in_dac = TRUE;
  else if (strcmp (element, "baselabel") == 0 && capabilities->in_dac && capabilities->is_type
           && !capabilities->label)
    capabilities->label = g_strndup (text, len);
}

gboolean
ddebug_libvirt_user (DdebugLibvirt *libvirt, const char *type, uid_t *uid, gid_t *gid)
{
  static const GMarkupParser parser = { .start_element = on_start, .text = on_text };
  Capabilities capabilities = { .type = type };
  g_autoptr (GMarkupParseContext) context = g_markup_parse_context_new (&parser, 0, &capabilities, NULL);
  char *xml = lib.virConnectGetCapabilities (libvirt->connection);
  gboolean found;

  if (xml)
    g_markup_parse_context_parse (context, xml, -1, NULL);
  free (xml);
  found = capabilities.label && ddebug_libvirt_parse_user (capabilities.label, uid, gid);
  g_free (capabilities.label);
  return found;
}

/* ---- events ---- */

static gpointer
run_events (gpointer data)
{
  (void) data;
  for (;;)
    lib.virEventRunDefaultImpl ();
  return NULL;
}

int
ddebug_libvirt_watch (DdebugLibvirt *libvirt, GError **error)
{
  static int fd = -1;

  /* All connections of the process share it, as they share the thread. */
  if (fd < 0)
    {
      fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
      if (fd < 0)
        {
          g_set_error (error, DDEBUG_ERROR, DDEBUG_ERROR_IO, "cannot create an eventfd: %s",
                       g_strerror (errno));
          return -1;
        }
      g_thread_unref (g_thread_new ("libvirt", run_events, NULL));
    }
  libvirt->lifecycle = lib.virConnectDomainEventRegisterAny (libvirt->connection, NULL,
                                                             VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                                             VIR_DOMAIN_EVENT_CALLBACK (on_lifecycle),
                                                             GINT_TO_POINTER (fd), NULL);
  libvirt->has_close = libvirt->lifecycle >= 0
                       && lib.virConnectRegisterCloseCallback (libvirt->connection, on_close,
                                                               GINT_TO_POINTER (fd), NULL) == 0;
  if (!libvirt->has_close)
    {
      fail (error, DDEBUG_ERROR_LIBVIRT, libvirt->uri);
      return -1;
    }
  return fd;
}

gboolean
ddebug_libvirt_is_alive (DdebugLibvirt *libvirt)
{
  return lib.virConnectIsAlive (libvirt->connection) == 1;
}
