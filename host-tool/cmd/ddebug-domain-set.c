/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The libvirt domains that --all shows, as they come and go.
 *
 * The contents of an event are ignored: each event makes us list all domains again.  So missed events,
 * and changes while libvirt was away, do no harm.
 */
#include "ddebug-domain-set.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ddebug-libvirt.h"

/* How often (us) we try to reconnect to libvirt: an update of its package takes seconds. */
#define RETRY (2 * G_USEC_PER_SEC)

/* A domain whose log is shown. */
typedef struct
{
  char uuid[37];
  int id;                   /* of the VM when the source was created */
  DdebugSource *source;     /* in sources */
  gboolean was_seen;        /* in the latest list */
} Member;

struct DdebugDomainSet
{
  const DdebugOptions *asked;
  DdebugOptions options;    /* of the sources */
  DdebugShow show;
  DdebugWait *wait;
  GPtrArray *sources;       /* of DdebugSource, not owned */
  GPtrArray *members;       /* of Member */
  DdebugLibvirt *libvirt;   /* NULL: not connected */
  gint64 retry_at;          /* us, monotonic: when to try to reconnect */
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

/* With --trace, a domain whose VM was never started has nothing to show. */
static gboolean
has_log_to_show (const DdebugDomainSet *set, const DdebugVm *vm)
{
  struct stat st;

  return vm->log && (set->show != DDEBUG_SHOW_TRACE || stat (vm->log, &st) == 0 || errno != ENOENT);
}

static void
take_vm (DdebugDomainSet *set, const DdebugVm *vm)
{
  Member *member;

  if (!has_log_to_show (set, vm))
    return;
  member = find_member (set, vm);
  if (!member)
    {
      member = g_new0 (Member, 1);
      g_strlcpy (member->uuid, vm->uuid, sizeof member->uuid);
      g_ptr_array_add (set->members, member);
      add_source (set, member, vm);
    }
  /* Its log had an error, which may be gone now that the VM was started again. */
  else if (member->source->ended && vm->id >= 0 && vm->id != member->id)
    {
      g_ptr_array_remove (set->sources, member->source);
      add_source (set, member, vm);
    }
  member->was_seen = TRUE;
}

/* The domain was undefined or lost its device: show its log to the end. */
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

/* Free sources that have ended: the tool may run for months. */
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

/* Subscribe before listing, so that a change in between makes us list again. */
static gboolean
connect_and_list (DdebugDomainSet *set, GError **error)
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

/* A hanging daemon must not keep a signal from ending the tool.  No cursor is locked here. */
static gboolean
list_or_die (DdebugDomainSet *set, GError **error)
{
  gboolean done;

  ddebug_wait_let_signals_kill (TRUE);
  done = connect_and_list (set, error);
  ddebug_wait_let_signals_kill (FALSE);
  return done;
}

DdebugDomainSet *
ddebug_domain_set_new (const DdebugOptions *options, DdebugShow show, DdebugWait *wait, GPtrArray *sources,
                       GError **error)
{
  g_autoptr (DdebugDomainSet) set = g_new0 (DdebugDomainSet, 1);

  set->asked = options;
  set->options = *options;
  /* A log can be created by the first start of its VM. */
  set->options.wait = show != DDEBUG_SHOW_TRACE;
  set->show = show;
  set->wait = wait;
  set->sources = sources;
  set->members = g_ptr_array_new_with_free_func (g_free);
  return list_or_die (set, error) ? g_steal_pointer (&set) : NULL;
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
  if ((!had || ddebug_libvirt_is_alive (set->libvirt)) && list_or_die (set, &error))
    {
      if (!had)
        ddebug_host_say ("libvirt is back");
      return;
    }
  if (had)
    ddebug_host_say ("lost the connection to libvirt; VMs that come or go are not noticed until it is back");
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
