/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --attach and --detach: the device in the configuration of a libvirt domain.
 *
 * The change is shown and confirmed before it is made, and the domain's QEMU is run first to check that
 * it will start with the device.
 */
#include "ddebug-attach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ddebug-common.h"
#include "ddebug-domains.h"
#include "ddebug-format.h"
#include "ddebug-libvirt.h"

/* For system URIs: owned by QEMU's user, so that the device can create its log again. */
#define SYSTEM_FOLDER "/var/log/libvirt/ddebug"

#define PLUGIN "virtio-ddebug.so"

#define UNSUPPORTED \
  "note: libvirt does not support custom QEMU arguments (qemu:commandline) " \
  "and marks a running domain that has them as tainted (custom-argv)"

typedef struct
{
  const DdebugAttach *options;
  DdebugLibvirt *libvirt;
  DdebugVm *vm;
  DdebugDomain *domain;
  char *log;
  char *folder;             /* directory to be created for it; NULL: it exists */
  uid_t uid;                /* of QEMU */
  gid_t gid;
} Attach;

static void
attach_clear (Attach *attach)
{
  g_clear_pointer (&attach->domain, ddebug_domain_free);
  g_clear_pointer (&attach->vm, ddebug_vm_free);
  g_clear_pointer (&attach->libvirt, ddebug_libvirt_free);
  g_clear_pointer (&attach->log, g_free);
  g_clear_pointer (&attach->folder, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Attach, attach_clear)

/* ---- the log ---- */

/* Find the user and group that QEMU will run as. */
static void
find_user (Attach *attach)
{
  const char *label = attach->domain->dac_label;

  attach->uid = getuid ();
  attach->gid = getgid ();
  if (!ddebug_libvirt_is_system (attach->libvirt))
    return;
  if ((label && ddebug_libvirt_parse_user (label, &attach->uid, &attach->gid))
      || ddebug_libvirt_user (attach->libvirt, attach->domain->type, &attach->uid, &attach->gid))
    return;
  /* libvirt does not switch users, so QEMU runs as root like libvirt. */
  attach->uid = 0;
  attach->gid = 0;
}

/* An existing directory is only checked, never changed: it may have other uses. */
static gboolean
check_folder (const Attach *attach, const char *folder, gboolean *is_there, GError **error)
{
  struct stat st;

  *is_there = stat (folder, &st) == 0;
  if (!*is_there && errno == ENOENT)
    return TRUE;
  if (!*is_there)
    return ddebug_refuse (error, DDEBUG_ERROR_ACCESS, "%s: %s", folder, g_strerror (errno));
  if (!S_ISDIR (st.st_mode))
    return ddebug_refuse (error, DDEBUG_ERROR_NOT_A_FILE,
                          "%s: is not a directory; choose another place with --log=FILE", folder);
  if (st.st_uid == attach->uid && st.st_mode & (S_IWGRP | S_IWOTH))
    return ddebug_refuse (error, DDEBUG_ERROR_ACCESS,
                          "%s: others can write there and could remove the log; chmod go-w %s, or choose "
                          "another place with --log=FILE", folder, folder);
  if (st.st_uid != attach->uid)
    return ddebug_refuse (error, DDEBUG_ERROR_ACCESS,
                          "%s: belongs to user %u, but QEMU will run as %u; give it to that user (chown), or "
                          "choose another place with --log=FILE", folder, st.st_uid, attach->uid);
  return TRUE;
}

static gboolean
choose_log (Attach *attach, GError **error)
{
  g_autofree char *name = g_strconcat (attach->vm->name, ".ddl", NULL);
  g_autofree char *folder = NULL;
  gboolean is_there;

  if (attach->options->log)
    {
      attach->log = g_canonicalize_filename (attach->options->log, NULL);
      folder = g_path_get_dirname (attach->log);
      if (!g_utf8_validate (attach->log, -1, NULL))
        return ddebug_refuse (error, DDEBUG_ERROR_REFUSED,
                              "--log=%s: is not UTF-8, which XML requires; choose another place",
                              attach->options->log);
      if (g_file_test (folder, G_FILE_TEST_IS_DIR))
        return TRUE;
      return ddebug_refuse (error, DDEBUG_ERROR_NOT_FOUND,
                            "--log=%s: there is no directory %s; create it first, writable by "
                            "QEMU's user (id %u)", attach->options->log, folder, attach->uid);
    }
  if (ddebug_libvirt_is_system (attach->libvirt))
    folder = g_strdup (SYSTEM_FOLDER);
  else
    folder = g_build_filename (g_get_user_state_dir (), "virtio-ddebug", NULL);
  attach->log = g_build_filename (folder, name, NULL);
  if (!check_folder (attach, folder, &is_there, error))
    return FALSE;
  attach->folder = is_there ? NULL : g_steal_pointer (&folder);
  return TRUE;
}

/* Create it for QEMU's user alone: whoever can write there can remove the log. */
static gboolean
make_folder (const Attach *attach, GError **error)
{
  gboolean is_system = ddebug_libvirt_is_system (attach->libvirt);
  g_autofree char *parent = NULL;
  int code;

  if (!attach->folder)
    return TRUE;
  parent = g_path_get_dirname (attach->folder);
  if (g_mkdir_with_parents (parent, is_system ? 0755 : 0700) == 0 && mkdir (attach->folder, 0700) == 0)
    {
      if (attach->uid == getuid () || chown (attach->folder, attach->uid, attach->gid) == 0)
        return TRUE;
      code = errno;
      rmdir (attach->folder);
    }
  else
    code = errno;
  return ddebug_refuse (error, DDEBUG_ERROR_ACCESS,
                        "%s: cannot create it for user %u: %s; as root, run install -d -m 700 -o %u -g %u %s",
                        attach->folder, attach->uid, g_strerror (code), attach->uid, attach->gid,
                        attach->folder);
}

/* ---- the emulator ---- */

/*
 * Run it, with or without @plugin, with the device in a machine that has no bus for it.  It fails
 * immediately in any case; its error message shows whether it knows the device.  libvirt runs the same
 * program, which was chosen by somebody who may define domains.
 */
static gboolean
knows_device (const char *emulator, const char *plugin, char **words, GError **error)
{
  const char *argv[] = { emulator, "-M", "none", "-nodefaults", "-display", "none", "-device",
                         "virtio-ddebug-pci", plugin ? "-plugin" : NULL, plugin, NULL };
  g_autoptr (GError) why = NULL;

  if (!g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, words, NULL,
                     &why))
    return ddebug_refuse (error, DDEBUG_ERROR_REFUSED, "cannot run the emulator %s: %s", emulator,
                          why->message);
  g_strchomp (*words);
  return strstr (*words, "No 'PCI' bus found") != NULL;
}

/* Find the plugin relative to the tool, where make install and make build put it; NULL: not found. */
static char *
find_plugin (void)
{
  static const char *const places[] = { "../lib/virtio-ddebug", "../qemu-device" };
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = program ? g_path_get_dirname (program) : NULL;

  for (guint i = 0; folder && i < G_N_ELEMENTS (places); i++)
    {
      g_autofree char *relative = g_build_filename (folder, places[i], PLUGIN, NULL);
      g_autofree char *path = g_canonicalize_filename (relative, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_REGULAR))
        return g_steal_pointer (&path);
    }
  return NULL;
}

/* @plugin: (out) (transfer full): the plugin that this QEMU needs; NULL: the device is built in. */
static gboolean
choose_plugin (const Attach *attach, char **plugin, GError **error)
{
  const char *emulator = attach->domain->emulator;
  g_autofree char *words = NULL;
  g_autofree char *path = NULL;

  if (!emulator)
    return ddebug_refuse (error, DDEBUG_ERROR_REFUSED, "%s: has no emulator in its configuration",
                          attach->vm->name);
  if (!attach->options->plugin && knows_device (emulator, NULL, &words, error))
    return TRUE;
  if (*error)
    return FALSE;
  g_clear_pointer (&words, g_free);
  path = attach->options->plugin ? g_canonicalize_filename (attach->options->plugin, NULL) : find_plugin ();
  if (!path || !g_file_test (path, G_FILE_TEST_IS_REGULAR))
    return ddebug_refuse (error, DDEBUG_ERROR_NOT_FOUND,
                          "%s: not found, and the device is not built into this QEMU; "
                          "give its plugin with --plugin=FILE", path ? path : PLUGIN);
  if (strchr (path, ',') || !g_utf8_validate (path, -1, NULL))
    return ddebug_refuse (error, DDEBUG_ERROR_REFUSED,
                          "%s: contains a comma or is not UTF-8; give another path with --plugin=FILE", path);
  if (!knows_device (emulator, path, &words, error))
    return *error ? FALSE : ddebug_refuse (error, DDEBUG_ERROR_REFUSED, "%s does not accept the device: %s",
                                           emulator, words);
  *plugin = g_steal_pointer (&path);
  return TRUE;
}

/* ---- the commands ---- */

static gboolean
find_domain (Attach *attach, GError **error)
{
  const char *name = attach->options->domain;
  g_autofree char *xml = NULL;

  /* Accept the prefix that a SOURCE may have. */
  if (g_str_has_prefix (name, DDEBUG_DOMAIN_PREFIX))
    name += strlen (DDEBUG_DOMAIN_PREFIX);
  attach->libvirt = ddebug_libvirt_open (attach->options->uri, DDEBUG_LIBVIRT_WRITE, error);
  if (!attach->libvirt)
    return FALSE;
  attach->vm = ddebug_libvirt_find (attach->libvirt, name, error);
  if (!attach->vm)
    return FALSE;
  if (!attach->vm->is_persistent)
    return ddebug_refuse (error, DDEBUG_ERROR_REFUSED,
                          "%s: is transient and has no persistent configuration to change", attach->vm->name);
  xml = ddebug_libvirt_config (attach->libvirt, attach->vm, FALSE, error);
  attach->domain = xml ? ddebug_domain_parse (xml, error) : NULL;
  return attach->domain != NULL;
}

static gboolean
check_domain (const Attach *attach, GError **error)
{
  const DdebugDomain *domain = attach->domain;

  if (domain->devices)
    return ddebug_refuse (error, DDEBUG_ERROR_REFUSED,
                          "%s: already has the device, with log %s; use --size= to change the log's size",
                          attach->vm->name, domain->log ? domain->log : "(none)");
  if (g_strcmp0 (domain->type, "kvm") != 0 && g_strcmp0 (domain->type, "qemu") != 0)
    return ddebug_refuse (error, DDEBUG_ERROR_REFUSED, "%s: is of type %s; the device needs QEMU",
                          attach->vm->name, domain->type ? domain->type : "(none)");
  if (g_strcmp0 (domain->arch, "x86_64") != 0)
    return ddebug_refuse (error, DDEBUG_ERROR_REFUSED,
                          "%s: has architecture %s; only x86_64 is supported", attach->vm->name,
                          domain->arch ? domain->arch : "(none)");
  return TRUE;
}

/* Return @xml with the change; @device: NULL to detach. */
static char *
change (const Attach *attach, const char *xml, const char *plugin, const char *device, GError **error)
{
  return device ? ddebug_domain_add (xml, attach->domain, plugin, device, error)
                : ddebug_domain_remove (xml, attach->domain, error);
}

/* Print the difference, escaped: it contains text from the domain's configuration. */
static int
show_change (const Attach *attach, const char *before, const char *after, DdebugWait *wait)
{
  g_autoptr (GString) diff = g_string_new (NULL), safe = g_string_new (NULL);

  ddebug_domain_diff (diff, before, after);
  ddebug_escape (safe, diff->str, diff->len,
                 (attach->options->utf8 ? DDEBUG_ESCAPE_UTF8 : 0) | DDEBUG_ESCAPE_LINES, 0);
  g_string_append_c (safe, '\n');
  return ddebug_host_print (wait, safe);
}

static gboolean
confirm (void)
{
  char answer[16];

  fputs ("Change the domain's configuration? [y/N] ", stderr);
  if (!fgets (answer, sizeof answer, stdin))
    return FALSE;
  g_strchomp (answer);
  return g_ascii_strcasecmp (answer, "y") == 0 || g_ascii_strcasecmp (answer, "yes") == 0;
}

/*
 * Show the change without passwords, ask, and define the domain with its passwords, which would be
 * lost otherwise.  FALSE without an error: the user declined.
 */
static gboolean
carry_out (const Attach *attach, const char *plugin, const char *device, DdebugWait *wait, GError **error)
{
  g_autofree char *before = ddebug_libvirt_config (attach->libvirt, attach->vm, FALSE, error);
  g_autofree char *after = before ? change (attach, before, plugin, device, error) : NULL;
  g_autofree char *secret = after ? ddebug_libvirt_config (attach->libvirt, attach->vm, TRUE, error) : NULL;
  g_autofree char *made = secret ? change (attach, secret, plugin, device, error) : NULL;

  if (!made || show_change (attach, before, after, wait) != DDEBUG_EXIT_OK)
    return FALSE;
  if (!attach->options->yes && !confirm ())
    {
      ddebug_host_say ("%s: nothing was changed", attach->vm->name);
      return FALSE;
    }
  return make_folder (attach, error) && ddebug_libvirt_define (attach->libvirt, made, error);
}

static gboolean
attach_device (Attach *attach, DdebugWait *wait, GError **error)
{
  g_autofree char *plugin = NULL;
  g_autofree char *device = NULL;

  if (!check_domain (attach, error))
    return FALSE;
  find_user (attach);
  if (!choose_log (attach, error) || !choose_plugin (attach, &plugin, error))
    return FALSE;
  device = ddebug_domain_device (attach->domain, attach->log, attach->options->size, error);
  if (!device)
    {
      g_prefix_error (error, "%s: ", attach->vm->name);
      return FALSE;
    }
  ddebug_host_say ("%s", UNSUPPORTED);
  if (!carry_out (attach, plugin, device, wait, error))
    return FALSE;
  ddebug_host_say ("%s: will have the device from its next start on; its log will be %s", attach->vm->name,
                   attach->log);
  return TRUE;
}

static gboolean
detach_device (Attach *attach, DdebugWait *wait, GError **error)
{
  const DdebugDomain *domain = attach->domain;

  if (!domain->devices)
    return ddebug_refuse (error, DDEBUG_ERROR_NOT_FOUND,
                          "%s: has no virtio-ddebug device in its configuration", attach->vm->name);
  if (!carry_out (attach, NULL, NULL, wait, error))
    return FALSE;
  ddebug_host_say ("%s: will not have the device from its next start on%s%s", attach->vm->name,
                   domain->log ? "; the log remains: " : "", domain->log ? domain->log : "");
  return TRUE;
}

int
ddebug_host_attach (const DdebugAttach *options, DdebugWait *wait)
{
  g_auto (Attach) attach = { .options = options };
  g_autoptr (GError) error = NULL;
  gboolean done;

  /* A signal cannot leave anything half done: libvirt defines a domain completely or not at all. */
  ddebug_wait_let_signals_kill (TRUE);
  done = find_domain (&attach, &error)
         && (options->detach ? detach_device (&attach, wait, &error) : attach_device (&attach, wait, &error));
  if (done)
    return DDEBUG_EXIT_OK;
  return error ? ddebug_host_fail (error) : DDEBUG_EXIT_REFUSED;
}
