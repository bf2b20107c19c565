/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an event says is not looked at: all domains are listed anew, so that one that was
 * missed, or that came while libvirt was away, does not matter.
 */
#include "ddebug-domain-set.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ddebug-libvirt.h"
#include "ddebug-source.h"

/* How often (us) a libvirt that has gone is looked for: an update of its package takes seconds. */
#define RETRY (2 * G_USEC_PER_SEC)

/* A domain's log that is shown. */
typedef struct
{
  char uuid[37];
  int id;                   /* of the VM when its log was opened */
  DdebugSource *source;     /* in sources */
  gboolean was_seen;        /* in the newest list */
} Member;

struct DdebugFleet
{
  const DdebugOptions *asked;
  DdebugOptions options;    /* of its sources */
  DdebugShow show;
  DdebugWait *wait;
  GPtrArray *sources;       /* of DdebugSource, not owned */
  GPtrArray *members;       /* of Member */
  DdebugLibvirt *libvirt;   /* NULL: gone */
  gint64 retry_at;          /* us, monotonic: it is looked for */
};

/* ---- domains ---- */

static Member *
find_member (DdebugFleet *fleet, const DdebugVm *vm)
{
  for (guint i = 0; i < fleet->members->len; i++)
    {
      Member *member = fleet->members->pdata[i];

      if (strcmp (member->uuid, vm->uuid) == 0 && strcmp (member->source->path, vm->log) == 0)
        return member;
    }
  return NULL;
}

static void
add_source (DdebugFleet *fleet, Member *member, const DdebugVm *vm)
{
  member->id = vm->id;
  member->source = ddebug_source_new (&fleet->options, fleet->show, fleet->wait, vm->log, vm->name);
  member->source->stays = fleet->show != DDEBUG_SHOW_TRACE;
  g_ptr_array_add (fleet->sources, member->source);
}

/* One whose VM was never started has nothing to be shown once. */
static gboolean
is_worth (const DdebugFleet *fleet, const DdebugVm *vm)
{
  struct stat st;

  return vm->log && (fleet->show != DDEBUG_SHOW_TRACE || stat (vm->log, &st) == 0 || errno != ENOENT);
}

static void
take_vm (DdebugFleet *fleet, const DdebugVm *vm)
{
  Member *member;

  if (!is_worth (fleet, vm))
    return;
  member = find_member (fleet, vm);
  if (!member)
    {
      member = g_new0 (Member, 1);
      g_strlcpy (member->uuid, vm->uuid, sizeof member->uuid);
      g_ptr_array_add (fleet->members, member);
      add_source (fleet, member, vm);
    }
  /* What went wrong with its log may be over where it was started anew. */
  else if (member->source->ended && vm->id >= 0 && vm->id != member->id)
    {
      g_ptr_array_remove (fleet->sources, member->source);
      add_source (fleet, member, vm);
    }
  member->was_seen = TRUE;
}

/* The domain was undefined, or lost its device: its log is shown to its end. */
static void
drop_member (DdebugFleet *fleet, guint i)
{
  Member *member = fleet->members->pdata[i];

  ddebug_source_leave (member->source);
  g_ptr_array_remove_index (fleet->members, i);
}

static gboolean
is_of_member (DdebugFleet *fleet, const DdebugSource *source)
{
  for (guint i = 0; i < fleet->members->len; i++)
    if (((Member *) fleet->members->pdata[i])->source == source)
      return TRUE;
  return FALSE;
}

/* Domains may come and go for months. */
static void
forget_ended (DdebugFleet *fleet)
{
  for (guint i = fleet->sources->len; i-- > 0;)
    {
      const DdebugSource *source = fleet->sources->pdata[i];

      if (source->ended && !is_of_member (fleet, source))
        g_ptr_array_remove_index (fleet->sources, i);
    }
}

static void
take_vms (DdebugFleet *fleet, GPtrArray *vms)
{
  for (guint i = 0; i < fleet->members->len; i++)
    ((Member *) fleet->members->pdata[i])->was_seen = FALSE;
  for (guint i = 0; i < vms->len; i++)
    take_vm (fleet, vms->pdata[i]);
  for (guint i = fleet->members->len; i-- > 0;)
    if (!((Member *) fleet->members->pdata[i])->was_seen)
      drop_member (fleet, i);
  forget_ended (fleet);
  fleet->options.n_paths = MAX (fleet->sources->len, 1);
}

/* ---- libvirt ---- */

static gboolean
list (DdebugFleet *fleet, GError **error)
{
  g_autoptr (GPtrArray) vms = ddebug_libvirt_list (fleet->libvirt, error);

  if (!vms)
    return FALSE;
  take_vms (fleet, vms);
  return TRUE;
}

/* Listens before it lists: what comes in between is listed again. */
static gboolean
ask (DdebugFleet *fleet, GError **error)
{
  int fd = -1;

  if (!fleet->libvirt)
    fleet->libvirt = ddebug_libvirt_open (fleet->asked->uri, DDEBUG_LIBVIRT_READ, error);
  else
    return list (fleet, error);
  if (!fleet->libvirt)
    return FALSE;
  if (fleet->show != DDEBUG_SHOW_TRACE && (fd = ddebug_libvirt_watch (fleet->libvirt, error)) < 0)
    return FALSE;
  ddebug_wait_set_counter (fleet->wait, fd);
  return list (fleet, error);
}

/* A daemon that hangs must not keep a signal from ending the tool; no cursor is locked now. */
static gboolean
ask_and_die (DdebugFleet *fleet, GError **error)
{
  gboolean done;

  ddebug_wait_let_signals_kill (TRUE);
  done = ask (fleet, error);
  ddebug_wait_let_signals_kill (FALSE);
  return done;
}

DdebugFleet *
ddebug_fleet_new (const DdebugOptions *options, DdebugShow show, DdebugWait *wait, GPtrArray *sources, GError **error)
{
  g_autoptr (DdebugFleet) fleet = g_new0 (DdebugFleet, 1);

  fleet->asked = options;
  fleet->options = *options;
  /* A log may come with the first start of its VM. */
  fleet->options.wait = show != DDEBUG_SHOW_TRACE;
  fleet->show = show;
  fleet->wait = wait;
  fleet->sources = sources;
  fleet->members = g_ptr_array_new_with_free_func (g_free);
  return ask_and_die (fleet, error) ? g_steal_pointer (&fleet) : NULL;
}

void
ddebug_fleet_free (DdebugFleet *fleet)
{
  if (!fleet)
    return;
  ddebug_wait_set_counter (fleet->wait, -1);
  g_clear_pointer (&fleet->libvirt, ddebug_libvirt_free);
  g_ptr_array_unref (fleet->members);
  g_free (fleet);
}

void
ddebug_fleet_wake (DdebugFleet *fleet, guint wake)
{
  g_autoptr (GError) error = NULL;
  gboolean had = fleet->libvirt != NULL;

  if (!(wake & DDEBUG_WAKE_COUNTER) && (had || g_get_monotonic_time () < fleet->retry_at))
    return;
  if ((!had || ddebug_libvirt_is_alive (fleet->libvirt)) && ask_and_die (fleet, &error))
    {
      if (!had)
        ddebug_host_say ("libvirt is there again");
      return;
    }
  if (had)
    ddebug_host_say ("libvirt has gone: VMs that come or go are not noticed until it is back");
  ddebug_wait_set_counter (fleet->wait, -1);
  g_clear_pointer (&fleet->libvirt, ddebug_libvirt_free);
  fleet->retry_at = g_get_monotonic_time () + RETRY;
}

int
ddebug_fleet_timeout (DdebugFleet *fleet)
{
  if (fleet->libvirt)
    return -1;
  return (int) MAX ((fleet->retry_at - g_get_monotonic_time () + 999) / 1000, 0);
}

gboolean
ddebug_fleet_has_ended (DdebugFleet *fleet)
{
  const DdebugFilter *filter = fleet->asked->filter;

  return fleet->show == DDEBUG_SHOW_TRACE
         || (filter && ddebug_filter_until (filter) / 1000 < (guint64) g_get_real_time ());
}
