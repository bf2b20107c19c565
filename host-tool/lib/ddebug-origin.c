/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether the absence of a lock proves that a log has no writer. */
#include "ddebug-origin.h"

#include <string.h>
#include <sys/vfs.h>

#include "ddebug-log-origin.h"

/* f_type of statfs(), as in linux/magic.h or in the file system's own source. */
#define OVERLAY 0x794c7630u

/*
 * File systems that may keep locks to themselves, or show only those of this mount, and do not report
 * changes by others: network, cluster and user space file systems, and those stacked on another.
 */
static const struct
{
  guint32 fs;
  const char *name;
} hiding[] = {
  { 0x65735546, "fuse" },   /* also sshfs, virtiofs, ntfs-3g, gluster */
  { 0x00006969, "nfs" },
  { 0x01021997, "9p" },
  { 0xff534d42, "cifs" },
  { 0xfe534d42, "smb2" },
  { 0x0000517b, "smb" },
  { 0x00c36400, "ceph" },
  { 0x5346414f, "afs" },
  { 0x6b414653, "afs" },
  { 0x73757245, "coda" },
  { 0x0bd00bd0, "lustre" },
  { 0x47504653, "gpfs" },
  { 0x19830326, "beegfs" },
  { 0x01161970, "gfs2" },
  { 0x7461636f, "ocfs2" },
  { 0x786f4256, "vboxsf" },
  { 0xbacbacbc, "vmhgfs" },
  { 0x7c7c6673, "prl_fs" },
  { 0x0000f15f, "ecryptfs" },
  { OVERLAY, "overlay" },
};

static const char *
hides (guint32 fs)
{
  for (guint i = 0; i < G_N_ELEMENTS (hiding); i++)
    if (hiding[i].fs == fs)
      return hiding[i].name;
  return NULL;
}

const char *
ddebug_origin_hides (const char *path)
{
  struct statfs fs;

  return statfs (path, &fs) == 0 ? hides (fs.f_type) : NULL;
}

/* Zero, a boot that is not known, equals nothing. */
static gboolean
is_same_boot (const guint8 *a, const guint8 *b)
{
  static const guint8 unknown[16];

  return memcmp (a, b, sizeof unknown) == 0 && memcmp (a, unknown, sizeof unknown) != 0;
}

DdebugOrigin
ddebug_origin_compare (const DdebugSuper *super, int fd, const char **hidden)
{
  DdebugLogOrigin mine = { 0 };
  gboolean is_same_file;
  const char *why;

  /* fstat() cannot fail on an open file. */
  if (!ddebug_log_origin (fd, &mine))
    return DDEBUG_ORIGIN_COPY;
  is_same_file = super->file_dev == mine.dev && super->file_ino == mine.ino;
  if (super->is_named && is_same_file && is_same_boot (super->host_boot, mine.host_boot))
    return DDEBUG_ORIGIN_SAME;
  why = hides (mine.fs);
  if (!why && super->is_named)
    why = hides (super->file_fs);
  /*
   * Nobody shares the upper directory of two overlays, and writing to it beside its mount is not allowed.
   * So if the writer saw an overlay as well, a number that changed with a mount does not matter; nor does
   * it if an older writer did not say what it saw: a container has nothing else.
   */
  if (mine.fs == OVERLAY && (!super->is_named || super->file_fs == OVERLAY))
    why = NULL;
  if (why)
    {
      if (hidden)
        *hidden = why;
      return DDEBUG_ORIGIN_UNKNOWN;
    }
  /* An older writer did not say which file it had: assume this one. */
  return !super->is_named || is_same_file ? DDEBUG_ORIGIN_SAME : DDEBUG_ORIGIN_COPY;
}
