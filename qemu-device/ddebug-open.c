/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening a log for the device.
 *
 * A device that is plugged into a running VM is realized with the BQL held,
 * while its disk may hang: even open() may.  So a thread opens the log, and the
 * caller waits for a limited time.  The thread owns what it has opened until the
 * caller takes it; if the caller has given up, the thread closes it.
 *
 * No signal is delivered to that thread.  SIGXFSZ, which a write beyond
 * RLIMIT_FSIZE raises, would end QEMU otherwise.
 */
#include "qemu/osdep.h"
#include <pthread.h>
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/cutils.h"
#include "qemu/thread.h"
#include "ddebug-open.h"

#define FDSET "/dev/fdset/"

typedef struct DdebugOpening {
    unsigned refs;              /* of the caller and of the thread; atomic */
    QemuMutex lock;
    QemuCond cond;

    /* set by the caller; strings are copies */
    char *path;
    uint64_t size;
    DdebugLogInfo info;
    gid_t group;
    bool map_shm;

    /* protected by lock */
    bool done;
    bool given_up;              /* by the caller */
    DdebugLog *log;
    DdebugShm *shm;
    GError *error;
} DdebugOpening;

/* Descriptors that were passed to QEMU */

static bool is_fdset(const char *path)
{
    return g_str_has_prefix(path, FDSET);
}

static int open_fdset(const char *path, int flags)
{
    return qemu_open_old(path, flags);
}

static void close_fdset(int fd)
{
    qemu_close(fd);
}

static const DdebugLogOpener fdset_opener = {
    .handles = is_fdset,
    .open = open_fdset,
    .close = close_fdset,
};

/* Threads */

typedef struct DdebugThread {
    char *name;
    void *(*run)(void *opaque);
    void *opaque;
} DdebugThread;

/* It names itself: whoever created it does not know whether it still exists. */
static void *run_thread(void *opaque)
{
    DdebugThread t = *(DdebugThread *)opaque;

    g_free(opaque);
    pthread_setname_np(pthread_self(), t.name);
    g_free(t.name);
    return t.run(t.opaque);
}

int ddebug_thread_create(const char *name, void *(*run)(void *opaque),
                         void *opaque)
{
    DdebugThread *t;
    pthread_attr_t attr;
    sigset_t set, old;
    pthread_t thread;
    int err;

    err = pthread_attr_init(&attr);
    if (err) {
        return err;
    }
    t = g_new(DdebugThread, 1);
    *t = (DdebugThread) {
        .name = g_strdup(name), .run = run, .opaque = opaque,
    };
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    /* faults are not signals from outside: to block them is undefined */
    sigfillset(&set);
    sigdelset(&set, SIGSEGV);
    sigdelset(&set, SIGFPE);
    sigdelset(&set, SIGILL);
    pthread_sigmask(SIG_SETMASK, &set, &old);
    err = pthread_create(&thread, &attr, run_thread, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (err) {
        g_free(t->name);
        g_free(t);
    }
    return err;
}

static void opening_unref(DdebugOpening *o)
{
    if (qatomic_fetch_dec(&o->refs) != 1) {
        return;
    }
    g_clear_error(&o->error);
    g_free(o->path);
    g_free((char *)o->info.vm_name);
    qemu_cond_destroy(&o->cond);
    qemu_mutex_destroy(&o->lock);
    g_free(o);
}

static void *opening_thread(void *opaque)
{
    DdebugOpening *o = opaque;
    GError *error = NULL;
    DdebugShm *shm = NULL;
    DdebugLog *log;

    log = ddebug_log_begin(o->path, o->size, &o->info,
                           DDEBUG_LOG_OPEN_CREATE | DDEBUG_LOG_OPEN_OWNED,
                           &error);
    if (log && o->map_shm) {
        shm = ddebug_log_map_shm(log, &error);
        if (!shm) {
            ddebug_log_close(log);
            log = NULL;
        }
    }
    qemu_mutex_lock(&o->lock);
    if (!o->given_up) {
        o->log = g_steal_pointer(&log);
        o->shm = g_steal_pointer(&shm);
        o->error = g_steal_pointer(&error);
        o->done = true;
        qemu_cond_signal(&o->cond);
    }
    qemu_mutex_unlock(&o->lock);
    ddebug_shm_unref(shm);
    ddebug_log_close(log);
    g_clear_error(&error);
    opening_unref(o);
    return NULL;
}

/* Called with o->lock held.  Return whether it is done. */
static bool wait_done(DdebugOpening *o, int timeout_ms)
{
    const int64_t deadline = g_get_monotonic_time() / 1000 + timeout_ms;

    while (!o->done) {
        const int64_t left = deadline - g_get_monotonic_time() / 1000;

        if (timeout_ms < 0) {
            qemu_cond_wait(&o->cond, &o->lock);
        } else if (left <= 0) {
            return false;
        } else {
            qemu_cond_timedwait(&o->cond, &o->lock, left);
        }
    }
    return true;
}

DdebugLog *ddebug_open(const char *path, uint64_t size,
                       const DdebugLogInfo *info, DdebugShm **shm,
                       int timeout_ms, Error **errp)
{
    DdebugOpening *o = g_new0(DdebugOpening, 1);
    DdebugLog *log = NULL;
    int err;

    o->refs = 2;
    qemu_mutex_init(&o->lock);
    qemu_cond_init(&o->cond);
    o->path = g_strdup(path);
    o->size = size;
    o->info = *info;
    o->info.vm_name = g_strdup(info->vm_name);
    o->info.opener = &fdset_opener;
    if (info->file_group) {
        o->group = *info->file_group;
        o->info.file_group = &o->group;
    }
    o->map_shm = shm != NULL;
    err = ddebug_thread_create("ddebug-open", opening_thread, o);
    if (err) {
        error_setg_errno(errp, err, "virtio-ddebug: cannot create a thread");
        opening_unref(o);
        opening_unref(o);
        return NULL;
    }
    qemu_mutex_lock(&o->lock);
    if (!wait_done(o, timeout_ms)) {
        o->given_up = true;
        error_setg(errp, "virtio-ddebug: file: the disk of '%s' did not "
                   "respond within %d ms; the VM cannot wait for it: use "
                   "another disk, or try again later", path, timeout_ms);
    } else if (!o->log) {
        error_setg(errp, "virtio-ddebug: %s: %s",
                   g_error_matches(o->error, DDEBUG_LOG_ERROR,
                                   DDEBUG_LOG_ERROR_SHM) ? "shm" : "file",
                   o->error->message);
    } else {
        log = g_steal_pointer(&o->log);
        if (shm) {
            *shm = g_steal_pointer(&o->shm);
        }
    }
    qemu_mutex_unlock(&o->lock);
    opening_unref(o);
    return log;
}
