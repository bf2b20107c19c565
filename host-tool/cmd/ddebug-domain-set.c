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

struct DdebugDomainSet
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
find_member (DdebugDomainSet *set, const DdebugVm *vm)
{
  for (guint i = 0; i < set->members->len; i++)
    {
      Member *member = set->members->pdata[i];

      if (strcmp (member->uuid, vm->uuid) == 0 && strcmp (member->source->path, vm->log) == 0)
        return member;
    }
  return NULL;
}

static void
add_source (DdebugDomainSet *set, Member *member, const DdebugVm *vm)
{
  member->id = vm->id;
  member->source = ddebug_source_new (&set->options, set->show, set->wait, vm->log, vm->name);
  member->source->stays = set->show != DDEBUG_SHOW_TRACE;
  g_ptr_array_add (set->sources, member->source);
}

/* One whose VM was never started has nothing to be shown once. */
static gboolean
is_worth (const DdebugDomainSet *set, const DdebugVm *vm)
{
  struct stat st;

  return vm->log && (set->show != DDEBUG_SHOW_TRACE || stat (vm->log, &st) == 0 || errno != ENOENT);
}

static void
take_vm (DdebugDomainSet *set, const DdebugVm *vm)
{
  Member *member;

  if (!is_worth (set, vm))
    return;
  member = find_member (set, vm);
  if (!member)
    {
      member = g_new0 (Member, 1);
      g_strlcpy (member->uuid, vm->uuid, sizeof member->uuid);
      g_ptr_array_add (set->members, member);
      add_source (set, member, vm);
    }
  /* What went wrong with its log may be over where it was started anew. */
  else if (member->source->ended && vm->id >= 0 && vm->id != member->id)
    {
      g_ptr_array_remove (set->sources, member->source);
      add_source (set, member, vm);
    }
  member->was_seen = TRUE;
}

/* The domain was undefined, or lost its device: its log is shown to its end. */
static void
drop_member (DdebugDomainSet *set, guint i)
{
  Member *member = set->members->pdata[i];

  ddebug_source_leave (member->source);
  g_ptr_array_remove_index (set->members, i);
}

static gboolean
is_of_member (DdebugDomainSet *set, const DdebugSource *source)
{
  for (guint i = 0; i < set->members->len; i++)
    if (((Member *) set->members->pdata[i])->source == source)
      return TRUE;
  return FALSE;
}

/* Domains may come and go for months. */
static void
forget_ended (DdebugDomainSet *set)
{
  for (guint i = set->sources->len; i-- > 0;)
    {
      const DdebugSource *source = set->sources->pdata[i];

      if (source->ended && !is_of_member (set, source))
        g_ptr_array_remove_index (set->sources, i);
    }
}

static void
take_vms (DdebugDomainSet *set, GPtrArray *vms)
{
  for (guint i = 0; i < set->members->len; i++)
    ((Member *) set->members->pdata[i])->was_seen = FALSE;
  for (guint i = 0; i < vms->len; i++)
    take_vm (set, vms->pdata[i]);
  for (guint i = set->members->len; i-- > 0;)
    if (!((Member *) set->members->pdata[i])->was_seen)
      drop_member (set, i);
  forget_ended (set);
  set->options.n_paths = MAX (set->sources->len, 1);
}

/* ---- libvirt ---- */

static gboolean
list (DdebugDomainSet *set, GError **error)
{
  g_autoptr (GPtrArray) vms = ddebug_libvirt_list (set->libvirt, error);

  if (!vms)
    return FALSE;
  take_vms (set, vms);
  return TRUE;
}

/* Listens before it lists: what comes in between is listed again. */
static gboolean
ask (DdebugDomainSet *set, GError **error)
{
  int fd = -1;

  if (!set->libvirt)
    set->libvirt = ddebug_libvirt_open (set->asked->uri, DDEBUG_LIBVIRT_READ, error);
  else
    return list (set, error);
  if (!set->libvirt)
    return FALSE;
  if (set->show != DDEBUG_SHOW_TRACE && (fd = ddebug_libvirt_watch (set->libvirt, error)) < 0)
    return FALSE;
  ddebug_wait_set_counter (set->wait, fd);
  return list (set, error);
}

/* A daemon that hangs must not keep a signal from ending the tool; no cursor is locked now. */
static gboolean
ask_and_die (DdebugDomainSet *set, GError **error)
{
  gboolean done;

  ddebug_wait_let_signals_kill (TRUE);
  done = ask (set, error);
  ddebug_wait_let_signals_kill (FALSE);
  return done;
}

DdebugDomainSet *
ddebug_domain_set_new (const DdebugOptions *options, DdebugShow show, DdebugWait *wait, GPtrArray *sources, GError **error)
{
  g_autoptr (DdebugDomainSet) set = g_new0 (DdebugDomainSet, 1);

  set->asked = options;
  set->options = *options;
  /* A log may come with the first start of its VM. */
  set->options.wait = show != DDEBUG_SHOW_TRACE;
  set->show = show;
  set->wait = wait;
  set->sources = sources;
  set->members = g_ptr_array_new_with_free_func (g_free);
  return ask_and_die (set, error) ? g_steal_pointer (&set) : NULL;
}

void
ddebug_domain_set_free (DdebugDomainSet *set)
{
  if (!set)
    return;
  ddebug_wait_set_counter (set->wait, -1);
  g_clear_pointer (&set->libvirt, ddebug_libvirt_free);
  g_ptr_array_unref (set->members);
  g_free (set);
}

void
ddebug_domain_set_wake (DdebugDomainSet *set, guint wake)
{
  g_autoptr (GError) error = NULL;
  gboolean had = set->libvirt != NULL;

  if (!(wake & DDEBUG_WAKE_COUNTER) && (had || g_get_monotonic_time () < set->retry_at))
    return;
  if ((!had || ddebug_libvirt_is_alive (set->libvirt)) && ask_and_die (set, &error))
    {
      if (!had)
        ddebug_host_say ("libvirt is there again");
      return;
    }
  if (had)
    ddebug_host_say ("libvirt has gone: VMs that come or go are not noticed until it is back");
  ddebug_wait_set_counter (set->wait, -1);
  g_clear_pointer (&set->libvirt, ddebug_libvirt_free);
  set->retry_at = g_get_monotonic_time () + RETRY;
}

int
ddebug_domain_set_timeout (DdebugDomainSet *set)
{
  if (set->libvirt)
    return -1;
  return (int) MAX ((set->retry_at - g_get_monotonic_time () + 999) / 1000, 0);
}

gboolean
ddebug_domain_set_has_ended (DdebugDomainSet *set)
{
  const DdebugFilter *filter = set->asked->filter;

  return set->show == DDEBUG_SHOW_TRACE
         || (filter && ddebug_filter_until (filter) / 1000 < (guint64) g_get_real_time ());
}
