/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A log that is seen where its writer's lock is not: through another file system, and as a copy.  The tool
 * says so, loses no message for it, and does not change what a VM may be using.
 *
 * FAULTFS is the path of tests/faults/faultfs, a FUSE file system whose locks stay on its own side, as those
 * of sshfs do.  Mounting takes root; the mounts are in a namespace of this process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "canned.h"
#include "ddebug-log-writer.h"
#include "ddebug-reader.h"
#include "run-tool.h"

#define MIB ((guint64) 1 << 20)

typedef struct
{
  char *dir;
  char *real;               /* a folder */
  char *mnt;                /* where it is seen as well */
  char *path;               /* of the log, in real */
  char *seen;               /* the same log, in mnt */
  gboolean mounted;
  GPid server;              /* of the file system at mnt; 0: none */
  DdebugLog *log;           /* NULL: no VM */
  Producer *cpu;
  guint64 pass;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  (void) data;
  f->dir = scratch_new ();
  f->real = g_build_filename (f->dir, "real", NULL);
  f->mnt = g_build_filename (f->dir, "mnt", NULL);
  f->path = g_build_filename (f->real, "vm.ddl", NULL);
  f->seen = g_build_filename (f->mnt, "vm.ddl", NULL);
  g_assert_cmpint (g_mkdir (f->real, 0755), ==, 0);
  g_assert_cmpint (g_mkdir (f->mnt, 0755), ==, 0);
}

static void
unmount (Fixture *f)
{
  if (f->mounted)
    g_assert_cmpint (umount2 (f->mnt, MNT_DETACH), ==, 0);
  f->mounted = FALSE;
  if (f->server)
    g_assert_cmpint (waitpid (f->server, NULL, 0), ==, f->server);
  f->server = 0;
}

/* QEMU ends; @killed: by SIGKILL. */
static void
stop_vm (Fixture *f, gboolean killed)
{
  if (!f->log)
    return;
  if (!killed)
    ddebug_log_append_event (f->log, DDEBUG_LOG_EVENT_CLOSE, 0, 0, 0);
  ddebug_log_close (f->log);
  f->log = NULL;
  g_clear_pointer (&f->cpu, producer_free);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_autofree char *remove = g_strdup_printf ("rm -rf '%s'", f->dir);

  (void) data;
  stop_vm (f, FALSE);
  unmount (f);
  g_assert_cmpint (system (remove), ==, 0);
  g_free (f->dir);
  g_free (f->real);
  g_free (f->mnt);
  g_free (f->path);
  g_free (f->seen);
}

/* ---- a VM ---- */

static void
say (Fixture *f, const char *text)
{
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  struct ddebug_log_chunk chunk;

  producer_printf (f->cpu, f->cpu->number * 1000000, "%s", text);
  f->pass++;
  while (producer_take (f->cpu, &chunk, payload))
    {
      DdebugLogData data = {
        .epoch = ddebug_log_epoch (f->log),
        .subbuf_shift = f->cpu->shift,
        .pass = f->pass,
        .pos = GUINT64_FROM_LE (chunk.pos),
        .produced = f->cpu->number,
      };

      g_assert_cmpint (ddebug_log_append_data (f->log, &data, payload->data, payload->len), ==, 0);
    }
  g_assert_cmpint (ddebug_log_write_state (f->log, f->pass), ==, 0);
  f->pass++;
}

static void
start_vm (Fixture *f, const char *path)
{
  const DdebugLogInfo info = { .vm_name = "test", .writer = "test-elsewhere" };
  struct virtio_ddebug_attach attach = { .instance = GUINT64_TO_LE (1) };
  g_autoptr (GError) error = NULL;

  f->log = ddebug_log_open (path, 4 * MIB, &info, DDEBUG_LOG_OPEN_CREATE, &error);
  g_assert_no_error (error);
  g_assert_cmpint (ddebug_log_append_event (f->log, DDEBUG_LOG_EVENT_OPEN, getpid (), 0, 0), ==, 0);
  g_assert_cmpint (ddebug_log_append_attach (f->log, &attach, sizeof attach), ==, 0);
  f->pass = ddebug_log_last_pass (f->log);
  f->cpu = producer_new (0, 0, VIRTIO_DDEBUG_CTX_TASK);
  say (f, "the first message");
}

/* ---- mounts ---- */

/* FALSE, and the test is skipped, if nothing can be mounted. */
static gboolean
may_mount (void)
{
  static int may = -1;

  if (may < 0)
    may = geteuid () == 0 && unshare (CLONE_NEWNS) == 0
          && mount ("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
  if (!may)
    g_test_skip ("mounting takes root");
  return may;
}

static gboolean
is_mount_point (Fixture *f)
{
  struct stat inner, outer;

  g_assert_cmpint (stat (f->dir, &outer), ==, 0);
  return stat (f->mnt, &inner) == 0 && inner.st_dev != outer.st_dev;
}

/* The server ends with the test, also if that fails. */
static void
end_with_test (gpointer data)
{
  (void) data;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

/* See real through FUSE; FALSE, and the test is skipped, if that is not possible here. */
static gboolean
mount_fuse (Fixture *f)
{
  g_autofree char *control = g_build_filename (f->dir, "control", NULL);
  const char *program = g_getenv ("FAULTFS");
  char *argv[] = { (char *) program, f->real, control, f->mnt, NULL };
  g_autoptr (GError) error = NULL;

  if (!may_mount ())
    return FALSE;
  if (!program || access ("/dev/fuse", R_OK | W_OK) != 0)
    {
      g_test_skip ("no FUSE here");
      return FALSE;
    }
  g_assert_true (g_file_set_contents (control, "ok", -1, NULL));
  g_spawn_async (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, end_with_test, NULL,
                 &f->server, &error);
  g_assert_no_error (error);
  while (!is_mount_point (f))
    {
      g_assert_cmpint (waitpid (f->server, NULL, WNOHANG), ==, 0);
      g_usleep (1000);
    }
  f->mounted = TRUE;
  return TRUE;
}

static gboolean
mount_bind (Fixture *f)
{
  if (!may_mount ())
    return FALSE;
  g_assert_cmpint (mount (f->real, f->mnt, NULL, MS_BIND, NULL), ==, 0);
  f->mounted = TRUE;
  return TRUE;
}

/* mnt is an overlay whose upper folder is real. */
static gboolean
mount_overlay (Fixture *f)
{
  g_autofree char *lower = g_build_filename (f->dir, "lower", NULL);
  g_autofree char *work = g_build_filename (f->dir, "work", NULL);
  g_autofree char *options = g_strdup_printf ("lowerdir=%s,upperdir=%s,workdir=%s", lower, f->real, work);

  if (!may_mount ())
    return FALSE;
  g_mkdir (lower, 0755);
  g_mkdir (work, 0755);
  if (mount ("overlay", f->mnt, "overlay", 0, options) != 0)
    {
      g_test_skip ("no overlay here");
      return FALSE;
    }
  f->mounted = TRUE;
  return TRUE;
}

/* ---- what the tool says ---- */

static void
assert_prints (Result r, const char *text)
{
  g_assert_cmpstr (r.err, ==, "");
  g_assert_cmpint (r.status, ==, 0);
  if (!strstr (r.out, text))
    g_error ("\"%s\" is not in: %s", text, r.out);
  result_clear (&r);
}

static void
assert_is (const char *path, const char *info, const char *words)
{
  assert_prints (tool_run ("--info", path, NULL), info);
  assert_prints (tool_run ("--last-words", path, NULL), words);
}

/* --follow ends by itself. */
static void
assert_follow_ends (const char *path)
{
  assert_prints (tool_run ("--follow", path, NULL), "the first message");
}

static guint64
size_of (const char *path)
{
  struct stat st;

  g_assert_cmpint (stat (path, &st), ==, 0);
  return st.st_size;
}

/* No command changes the log @path, whose file is also @file: not a byte. */
static void
assert_unchanged (const char *path, const char *file)
{
  const char *commands[] = { "--size=2M", "--size=8M", "--clear" };
  g_autofree char *before = NULL, *after = NULL;
  gsize len, len_after;

  g_assert_true (g_file_get_contents (file, &before, &len, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    assert_says (tool_run (commands[i], path, NULL), 5, "run this on the VM's host");
  g_assert_true (g_file_get_contents (file, &after, &len_after, NULL));
  g_assert_cmpmem (before, len, after, len_after);
}

/* --size and --clear work, without a VM. */
static void
assert_changes (const char *path)
{
  assert_prints (tool_run ("--size=2M", path, NULL), "2");
  g_assert_cmpint (size_of (path), <=, 2 * MIB);
  assert_prints (tool_run ("--clear", path, NULL), "");
}

static void
copy_file (const char *from, const char *to)
{
  g_autofree char *bytes = NULL;
  gsize len;

  g_assert_true (g_file_get_contents (from, &bytes, &len, NULL));
  g_assert_true (g_file_set_contents (to, bytes, len, NULL));
}

/* ---- another file system ---- */

static void
test_fuse (Fixture *f, gconstpointer data)
{
  Tool *tool;

  (void) data;
  if (!mount_fuse (f))
    return;
  start_vm (f, f->path);
  assert_is (f->path, "alive", "running");
  assert_is (f->seen, "unknown (a file system hides it: fuse)", "running or dead: a file system hides it");
  assert_unchanged (f->seen, f->path);
  /* what comes is shown, though the kernel reports no change; it ends with the VM, which is in the log */
  tool = tool_start ("--follow", f->seen, NULL);
  tool_expect (tool, "the first message");
  say (f, "another message");
  tool_expect (tool, "another message");
  stop_vm (f, FALSE);
  g_assert_cmpint (tool_finish (tool), ==, 0);
  tool_free (tool);
  assert_is (f->path, "gone", "exited");
  assert_is (f->seen, "unknown (a file system hides it: fuse)", "exited");
  assert_unchanged (f->seen, f->path);
  /* the VM was started again, and killed: there is no telling */
  start_vm (f, f->path);
  stop_vm (f, TRUE);
  assert_is (f->path, "gone", "died without closing the log");
  assert_is (f->seen, "unknown (a file system hides it: fuse)", "running or dead: a file system hides it");
  assert_unchanged (f->seen, f->path);
}

/* A log that appears is noticed as well. */
static void
test_fuse_wait (Fixture *f, gconstpointer data)
{
  Tool *tool;

  (void) data;
  if (!mount_fuse (f))
    return;
  tool = tool_start ("--follow", "--wait", f->seen, NULL);
  tool_wait_asleep (tool);
  start_vm (f, f->path);
  tool_expect (tool, "the first message");
  stop_vm (f, FALSE);
  g_assert_cmpint (tool_finish (tool), ==, 0);
  tool_free (tool);
}

/* QEMU and the tool use the same mount: its locks are seen. */
static void
test_fuse_together (Fixture *f, gconstpointer data)
{
  (void) data;
  if (!mount_fuse (f))
    return;
  start_vm (f, f->seen);
  assert_is (f->seen, "alive", "running");
  /* behind the mount, on a file system that hides nothing by itself */
  assert_is (f->path, "unknown (a file system hides it: fuse)", "running or dead: a file system hides it");
  assert_unchanged (f->path, f->path);
  stop_vm (f, TRUE);
  assert_is (f->seen, "gone", "died without closing the log");
  assert_follow_ends (f->seen);
  assert_changes (f->seen);
  assert_is (f->path, "unknown (a file system hides it: fuse)", "running or dead: a file system hides it");
}

/* A disk that fails: the kernel's reason is said, with the file. */
static void
test_errors (Fixture *f, gconstpointer data)
{
  const struct
  {
    const char *word, *text;
  } faults[] = { { "eio", ": Input/output error" }, { "erofs", ": Read-only file system" } };
  const char *commands[] = { "--clear", "--size=2M", "--size=8M" };
  g_autofree char *control = g_build_filename (f->dir, "control", NULL);

  (void) data;
  if (!mount_fuse (f))
    return;
  start_vm (f, f->seen);
  stop_vm (f, FALSE);
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    for (guint j = 0; j < G_N_ELEMENTS (commands); j++)
      {
        Result r;

        g_assert_true (g_file_set_contents (control, faults[i].word, -1, NULL));
        r = tool_run (commands[j], f->seen, NULL);
        g_assert_nonnull (strstr (r.err, f->seen));
        assert_says (r, 1, faults[i].text);
        g_assert_true (g_file_set_contents (control, "ok", -1, NULL));
      }
}

static void
test_bind (Fixture *f, gconstpointer data)
{
  (void) data;
  if (!mount_bind (f))
    return;
  start_vm (f, f->path);
  assert_is (f->seen, "alive", "running");
  stop_vm (f, TRUE);
  assert_is (f->seen, "gone", "died without closing the log");
  assert_follow_ends (f->seen);
  assert_changes (f->seen);
}

/* QEMU writes below an overlay. */
static void
test_overlay (Fixture *f, gconstpointer data)
{
  (void) data;
  start_vm (f, f->path);
  if (!mount_overlay (f))
    return;
  assert_is (f->path, "alive", "running");
  assert_is (f->seen, "unknown (a file system hides it: overlay)", "running or dead: a file system hides it");
  assert_unchanged (f->seen, f->path);
}

/* QEMU writes to an overlay, as in a container, which is started again. */
static void
test_overlay_together (Fixture *f, gconstpointer data)
{
  (void) data;
  if (!mount_overlay (f))
    return;
  start_vm (f, f->seen);
  assert_is (f->seen, "alive", "running");
  assert_is (f->path, "unknown (a file system hides it: overlay)", "running or dead: a file system hides it");
  assert_unchanged (f->path, f->path);
  stop_vm (f, TRUE);
  assert_is (f->seen, "gone", "died without closing the log");
  unmount (f);
  g_assert_true (mount_overlay (f));
  assert_follow_ends (f->seen);
  assert_changes (f->seen);
}

/* A file system that is mounted read-only: neither permissions nor the user are to blame. */
static void
test_read_only (Fixture *f, gconstpointer data)
{
  const char *commands[] = { "--size=2M", "--clear" };
  DdebugLog *log;
  g_autoptr (GError) error = NULL;

  (void) data;
  start_vm (f, f->path);
  stop_vm (f, FALSE);
  g_assert_cmpint (chmod (f->dir, 0755), ==, 0);
  g_assert_cmpint (chmod (f->path, 0644), ==, 0);
  if (!mount_bind (f))
    return;
  g_assert_cmpint (mount (NULL, f->mnt, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      assert_says (tool_run (commands[i], f->seen, NULL), 4, "cannot be changed: its file system is read-only; remount");
      assert_says (tool_run_unprivileged (commands[i], f->seen, NULL), 4, "cannot be changed: its file system is read-only");
      assert_says (tool_run_unprivileged (commands[i], f->path, NULL), 4, "cannot be changed: Permission denied; run as");
    }
  assert_says (tool_run ("--pipe", f->seen, NULL), 4, ".cursor: its file system is read-only; --pipe stores");
  assert_follow_ends (f->seen);
  log = ddebug_log_open (f->seen, 0, NULL, 0, &error);
  g_assert_null (log);
  g_assert_error (error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_PERMISSION);
  g_assert_nonnull (strstr (error->message, "its file system is read-only"));
}

/* ---- copies ---- */

static void
test_copy (Fixture *f, gconstpointer data)
{
  g_autofree char *copy = g_build_filename (f->dir, "copy.ddl", NULL);

  (void) data;
  start_vm (f, f->path);
  copy_file (f->path, copy);
  assert_is (copy, "unknown (this is a copy)", "unknown: this is a copy");
  /* nobody else can write to it */
  assert_follow_ends (copy);
  assert_changes (copy);
  assert_is (copy, "unknown (this is a copy)", "unknown: this is a copy");
  /* and of one that says how QEMU ended */
  stop_vm (f, FALSE);
  copy_file (f->path, copy);
  assert_is (copy, "unknown (this is a copy)", "exited");
  /* a VM continues with the copy: now it is the log */
  start_vm (f, copy);
  assert_is (copy, "alive", "running");
  stop_vm (f, TRUE);
  assert_is (copy, "gone", "died without closing the log");
}

/* A file keeps its identity wherever it is moved, and under any name. */
static void
test_same_file (Fixture *f, gconstpointer data)
{
  g_autofree char *link = g_build_filename (f->dir, "link.ddl", NULL);
  g_autofree char *moved = g_build_filename (f->dir, "moved.ddl", NULL);

  (void) data;
  start_vm (f, f->path);
  g_assert_cmpint (g_rename (f->path, moved), ==, 0);
  assert_is (moved, "alive", "running");
  stop_vm (f, TRUE);
  assert_is (moved, "gone", "died without closing the log");
  g_assert_cmpint (linkat (AT_FDCWD, moved, AT_FDCWD, link, 0), ==, 0);
  assert_is (link, "gone", "died without closing the log");
}

/* ---- other writers, other hosts ---- */

/* Change the superblock that counts. */
static void
edit_super (const char *path, void (*edit) (struct ddebug_log_super *))
{
  struct ddebug_log_super copies[2], *s;
  g_autofree char *bytes = NULL;
  gsize len;

  g_assert_true (g_file_get_contents (path, &bytes, &len, NULL));
  memcpy (copies, bytes, sizeof copies);
  s = &copies[GUINT64_FROM_LE (copies[1].generation) > GUINT64_FROM_LE (copies[0].generation)];
  edit (s);
  s->crc = GUINT32_TO_LE (canned_crc (s, offsetof (struct ddebug_log_super, crc)));
  memcpy (bytes, copies, sizeof copies);
  {
    FILE *file = fopen (path, "r+");

    g_assert_cmpint (fwrite (bytes, sizeof copies, 1, file), ==, 1);
    g_assert_cmpint (fclose (file), ==, 0);
  }
}

static void
be_unnamed (struct ddebug_log_super *s)
{
  s->named_at = s->file_dev = s->file_ino = s->file_fs = 0;
  memset (s->host_boot, 0, sizeof s->host_boot);
}

static void
be_stale (struct ddebug_log_super *s)
{
  s->opened = GUINT64_TO_LE (GUINT64_FROM_LE (s->opened) + 1);
}

static void
change_boot (struct ddebug_log_super *s)
{
  s->host_boot[3] ^= 1;
}

static void
forget_boot (struct ddebug_log_super *s)
{
  memset (s->host_boot, 0, sizeof s->host_boot);
}

static void
change_dev (struct ddebug_log_super *s)
{
  s->file_dev ^= GUINT64_TO_LE (1);
}

static void
change_ino (struct ddebug_log_super *s)
{
  s->file_ino ^= GUINT64_TO_LE (1);
}

static void
be_of_nfs (struct ddebug_log_super *s)
{
  s->file_fs = GUINT32_TO_LE (0x6969);
  s->file_dev ^= GUINT64_TO_LE (1);
}

/* An older writer does not say what it has: a local file is believed to be it. */
static void
test_older_writer (Fixture *f, gconstpointer data)
{
  (void) data;
  start_vm (f, f->path);
  stop_vm (f, TRUE);
  edit_super (f->path, be_unnamed);
  assert_is (f->path, "gone", "died without closing the log");
  assert_changes (f->path);
  /* and what a newer one said before it does not count */
  start_vm (f, f->path);
  stop_vm (f, TRUE);
  edit_super (f->path, change_ino);
  assert_is (f->path, "unknown (this is a copy)", "unknown: this is a copy");
  edit_super (f->path, be_stale);
  assert_is (f->path, "gone", "died without closing the log");
  /* one that is known not to be the writer's stays so when a tool has changed it */
  assert_changes (f->path);
  if (!mount_fuse (f))
    return;
  assert_is (f->seen, "unknown (a file system hides it: fuse)", "");
  assert_unchanged (f->seen, f->path);
}

/* An older writer and the tool use the same mount, and its lock is seen. */
static void
test_older_writer_together (Fixture *f, gconstpointer data)
{
  g_autoptr (DdebugReader) reader = NULL;

  (void) data;
  if (!mount_fuse (f))
    return;
  start_vm (f, f->seen);
  edit_super (f->seen, be_unnamed);
  reader = ddebug_reader_open (f->seen, NULL);
  g_assert_cmpint (ddebug_reader_writer (reader), ==, DDEBUG_WRITER_ALIVE);
  g_assert_null (ddebug_reader_hidden_by (reader));
}

/* The writer was on another host, or before a reboot of this one. */
static void
test_other_boot (Fixture *f, gconstpointer data)
{
  (void) data;
  start_vm (f, f->path);
  stop_vm (f, TRUE);
  edit_super (f->path, change_boot);
  assert_is (f->path, "gone", "died without closing the log");
  edit_super (f->path, forget_boot);
  assert_is (f->path, "gone", "died without closing the log");
  edit_super (f->path, change_dev);
  assert_is (f->path, "unknown (this is a copy)", "unknown: this is a copy");
  edit_super (f->path, change_dev);
  assert_is (f->path, "gone", "died without closing the log");
  edit_super (f->path, be_of_nfs);
  assert_is (f->path, "unknown (a file system hides it: nfs)", "running or dead");
  assert_unchanged (f->path, f->path);
  stop_vm (f, TRUE);
  g_unlink (f->path);
  if (!mount_fuse (f))
    return;
  /* the same numbers on another host's mount are another file */
  start_vm (f, f->seen);
  stop_vm (f, TRUE);
  assert_is (f->seen, "gone", "died without closing the log");
  edit_super (f->seen, change_boot);
  assert_is (f->seen, "unknown (a file system hides it: fuse)", "running or dead");
  edit_super (f->seen, forget_boot);
  assert_is (f->seen, "unknown (a file system hides it: fuse)", "running or dead");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/elsewhere/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("a log behind FUSE is unknown, followed and not changed", test_fuse);
  ADD ("a log that appears behind FUSE is noticed", test_fuse_wait);
  ADD ("locks of one FUSE mount are seen in it, and not behind it", test_fuse_together);
  ADD ("errors of the disk are told", test_errors);
  ADD ("a bind mount hides nothing", test_bind);
  ADD ("a log below an overlay is unknown and not changed", test_overlay);
  ADD ("a log in an overlay is known, also when that is mounted anew", test_overlay_together);
  ADD ("a read-only file system is named as the reason", test_read_only);
  ADD ("a copy does not say how QEMU ended", test_copy);
  ADD ("a file is the same after a rename, and by another name", test_same_file);
  ADD ("what an older writer did not say", test_older_writer);
  ADD ("an older writer's lock is believed", test_older_writer_together);
  ADD ("another boot, another host", test_other_boot);
  return g_test_run ();
}
