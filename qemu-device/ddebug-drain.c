/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The drain thread.
 *
 * Locking
 * -------
 * d->lock is the only lock of this file; "the BQL side" are the functions of
 * ddebug-drain.h, which the device calls with the BQL held.
 *
 *                     BQL side                     thread
 *   guest memory      with d->lock, may_touch()    with d->lock, may_touch()
 *   the log, disk     never                        never with d->lock
 *   streams, jobs     with d->lock                 with d->lock
 *
 * The thread holds d->lock for one copy of at most a sub-buffer, or for a walk
 * over the streams' words, with two system calls per stream (probe()).  How long
 * the BQL side holds it, and the BQL, is bounded by what it copies:
 *
 *   reset of the device, DRIVER_OK or      what is left in the rings; but
 *   bus mastering withdrawn, unplug,       DDEBUG_STAGING_MAX at most, together
 *   exit, reset of the machine, shutdown   with what was staged before
 *   reset of a queue                       likewise, of the rings of that queue
 *   everything else (stop, RETIRE, kick,   nothing
 *   requests, properties, ...)
 *
 * Where it copies, the memory may be gone when it returns.  A VM that is stopped
 * keeps its memory, and a ring that is being retired is the device's until the
 * answer, so the thread copies these.
 *
 * Sleeping
 * --------
 * After a scan that found something the thread scans again after 1, 2, 4, 8, 16
 * and 16 ms, so that one kick serves a whole burst.  Then it asks to be kicked
 * and sleeps.  A guest that hangs on all CPUs with interrupts off cannot kick,
 * and its last messages matter most: while the driver says that callsites are
 * active, the thread sleeps for a second at most.  Otherwise it sleeps until it
 * is woken, so that a VM that logs nothing costs nothing.
 *
 * Order
 * -----
 * Pass numbers let readers merge the streams (docs/log-format.md, "Rules for
 * readers", 4).  A pass is one scan of all streams.  If the BQL side scans all
 * of them during a scan of the thread, both are one pass.
 */
#include "qemu/osdep.h"
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/queue.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "trace.h"
#include "ddebug-drain.h"
#include "ddebug-open.h"

/* Bytes that may wait for the disk: payloads of staged chunks and requests. */
#define DDEBUG_STAGING_MAX (32u << 20)

/* Likewise jobs, since some have hardly any payload. */
#define DDEBUG_JOBS_MAX 65536

#define DDEBUG_WATCH_PERIOD_MS 1000

/* How often the file is checked; also checked before an unlimited sleep. */
#define DDEBUG_CHECK_PERIOD_MS 1000

/* A write that takes longer is reported. */
#define DDEBUG_SLOW_MS 5000

/* Errors are reported once, and again only after this time without any. */
#define DDEBUG_REPORT_AGAIN_MS 60000

/* So that a guest that keeps breaking the rules cannot flood our stderr. */
#define DDEBUG_COMPLAINTS_MAX 16

/* A kind of error, besides those of DdebugLogLoss. */
#define DDEBUG_SYNC_ERROR DDEBUG_LOG_NR_LOSSES

static const int backoff_ms[] = { 1, 2, 4, 8, 16, 16 };

typedef enum DdebugJobType {
    DDEBUG_JOB_DATA,
    DDEBUG_JOB_ATTACH,
    DDEBUG_JOB_DICT,
    DDEBUG_JOB_SIZE,
    DDEBUG_JOB_EVENT,
    DDEBUG_JOB_LOST,
} DdebugJobType;

/*
 * For a stream in shared memory: what to store there once a span is in the log,
 * or was dropped.  The memory outlives the stream (d->shm).
 */
typedef struct DdebugMark {
    __le64 *drained;            /* NULL: the stream is not in shared memory */
    uint64_t end;               /* position after the span */
} DdebugMark;

typedef struct DdebugJob {
    QTAILQ_ENTRY(DdebugJob) next;
    DdebugJobType type;
    uint64_t id;                /* ATTACH, DICT, SIZE: the request's */
    uint64_t session;           /* likewise: it arrived in */
    uint32_t event;
    bool scan_first;            /* EVENT: it follows what is in the rings */
    uint64_t args[2];           /* EVENT: its arguments; LOST: bytes, gaps */
    DdebugLogData data;
    DdebugMark mark;            /* DATA */
    size_t len;
    void *payload;              /* owned */
} DdebugJob;

typedef struct DdebugDone {
    QSIMPLEQ_ENTRY(DdebugDone) next;
    DdebugAnswer answer;
} DdebugDone;

struct DdebugDrain {
    unsigned refs;              /* of the device and of the thread; atomic */
    QemuMutex lock;
    QemuCond ended_cond;
    QemuCond opened_cond;
    int kick_fd;
    int inotify_fd;             /* -1: requests are polled */
    void (*notify)(void *opaque);
    void *opaque;
    DdebugShm *shm;             /* memory that marks point to, or NULL */
    DdebugLogSync *sync;        /* of the log, or NULL; BQL side */

    /* protected by lock */
    DdebugFileState file_state;
    char *file_error;           /* FAILED: why */
    GPtrArray *streams;
    QTAILQ_HEAD(, DdebugJob) jobs;
    DdebugJob *scan_job;        /* the first that had scan_first, or NULL */
    QSIMPLEQ_HEAD(, DdebugDone) done;
    unsigned nr_jobs;
    size_t staged;              /* bytes of the jobs' payloads */
    bool out_of_reach;          /* nobody may touch the rings */
    bool vm_stopped;
    bool quit;
    bool ended;
    bool abandoned;             /* notify() must not be called any more */
    uint64_t session;           /* of the driver; counts its resets */
    bool attached;              /* ATTACH of this session is in the log */
    uint32_t epoch;
    uint64_t pass;              /* the last one that found something */
    uint64_t first_pass;        /* its value at the start */
    uint64_t bql_scans;         /* scans of the BQL side */
    bool scan_found;            /* the scan in progress has found something */
    guint scan_next;            /* the stream at which it continues */
    bool rate_limited;          /* it was suspended by the rate limit */
    uint64_t skipped_gaps;      /* overwritten meanwhile, not yet reported */
    uint64_t skipped_bytes;
    DdebugLogMode mode;
    uint64_t rate;
    bool policy_changed;        /* mode and rate are yet to be applied */
    uint64_t resize_to;         /* bytes; 0: no resize is pending */
    char *resize_status;
    char *complaint;            /* to be reported without the lock, or NULL */
    unsigned complaints;
    uint8_t *stage;             /* DDEBUG_STREAM_SPAN_MAX bytes, BQL side */
    DdebugCounters counters;

    /* used by the thread only */
    DdebugLog *log;
    uint64_t guest_size_min;    /* bytes; the size last set by the host */
    bool freeze_on_panic;
    bool guest_attached;        /* RESET will follow its ATTACH in the log */
    bool guest_died;            /* since its ATTACH */
    uint8_t *bounce;            /* DDEBUG_STREAM_SPAN_MAX bytes */
    unsigned backoff;           /* index into backoff_ms; beyond: sleep */
    int64_t last_check_ms;
    uint64_t settled_pass;
    uint64_t settled_lost;
    struct {
        bool reported;
        int64_t last_ms;        /* of the last error */
    } errors[DDEBUG_LOG_NR_LOSSES + 1];
};

static int64_t now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

static void job_free(DdebugJob *job)
{
    g_free(job->payload);
    g_free(job);
}

static void drain_unref(DdebugDrain *d)
{
    DdebugDone *done;
    DdebugJob *job;

    if (qatomic_fetch_dec(&d->refs) != 1) {
        return;
    }
    while ((job = QTAILQ_FIRST(&d->jobs))) {
        QTAILQ_REMOVE(&d->jobs, job, next);
        job_free(job);
    }
    while ((done = QSIMPLEQ_FIRST(&d->done))) {
        QSIMPLEQ_REMOVE_HEAD(&d->done, next);
        g_free(done);
    }
    if (d->inotify_fd >= 0) {
        close(d->inotify_fd);
    }
    close(d->kick_fd);
    g_ptr_array_unref(d->streams);
    qemu_cond_destroy(&d->ended_cond);
    qemu_cond_destroy(&d->opened_cond);
    qemu_mutex_destroy(&d->lock);
    g_free(d->file_error);
    g_free(d->complaint);
    g_free(d->resize_status);
    g_free(d->stage);
    g_free(d->bounce);
    ddebug_shm_unref(d->shm);
    g_free(d);
}

static void wake(DdebugDrain *d)
{
    const uint64_t one = 1;
    ssize_t n;

    do {
        n = write(d->kick_fd, &one, sizeof(one));
    } while (n < 0 && errno == EINTR);
    /* EAGAIN: the counter is full, so the thread will wake up anyway. */
}

/* Guest memory: everything in this section is called with d->lock held. */

static void mark_status_dirty(DdebugStream *st)
{
    if (st->status_written) {
        memory_region_set_dirty(st->status_mr, st->status_off,
                                sizeof(*st->status));
        st->status_written = false;
    }
}

static void complain(DdebugDrain *d, const DdebugStream *st)
{
    g_autofree char *what = NULL;

    if (st->gone) {
        d->counters.memory_errors++;
        trace_virtio_ddebug_drain_gone(d, st->id, st->consumed);
        what = g_strdup_printf("a page of stream %u cannot be accessed: its "
                               "file was truncated or cannot be read, or the "
                               "memory has an error; what was not read yet is "
                               "lost (read up to %" PRIu64 ")", st->id,
                               st->consumed);
    } else {
        trace_virtio_ddebug_drain_broken(d, st->id, st->broken_rule,
                                         st->broken_value);
        what = g_strdup_printf("the guest broke the rules for stream %u: %s (%"
                               PRIu64 ", read up to %" PRIu64 ")", st->id,
                               st->broken_rule, st->broken_value, st->consumed);
    }
    if (d->complaints < DDEBUG_COMPLAINTS_MAX && !d->complaint) {
        d->complaints++;
        d->complaint = g_strdup_printf(
            "virtio-ddebug: %s; the stream is no longer read until the driver "
            "posts it again%s", what, d->complaints == DDEBUG_COMPLAINTS_MAX ?
            "; further streams are not reported" : "");
    }
}

/* Before @st is touched after some time. */
static void probe(DdebugDrain *d, DdebugStream *st)
{
    if (!st->gone && !ddebug_stream_probe(st)) {
        complain(d, st);
    }
}

/* Copy the next span of @st below @limit; return its length, or 0. */
static size_t copy_span(DdebugDrain *d, DdebugStream *st, uint64_t limit,
                        uint8_t *buf, DdebugLogData *data)
{
    const bool stopped = st->stopped;
    const uint64_t from = st->consumed;
    const size_t len = ddebug_stream_copy(st, limit, buf, data);

    if (len && d->rate_limited && data->pos > from) {
        d->skipped_gaps++;
        d->skipped_bytes += data->pos - from;
    }
    if (len) {
        data->epoch = d->epoch;
        data->pass = d->pass + 1;
        d->scan_found = true;
        mark_status_dirty(st);
        trace_virtio_ddebug_drain_span(d, st->id, data->pos, len);
    } else if (st->stopped && !stopped) {
        complain(d, st);
    }
    return len;
}

/* The mark after the last span copied from @st. */
static DdebugMark mark_after(const DdebugStream *st)
{
    return (DdebugMark) {
        .drained = st->shm_status ? &st->shm_status->drained : NULL,
        .end = st->consumed,
    };
}

/* All streams were scanned: the pass is complete. */
static void end_scan(DdebugDrain *d)
{
    d->scan_next = 0;
    d->rate_limited = false;
    if (d->scan_found) {
        d->pass++;
        d->scan_found = false;
        trace_virtio_ddebug_drain_pass(d, d->pass);
    }
}

static DdebugStream *stream_at(const DdebugDrain *d, guint i)
{
    return g_ptr_array_index(d->streams, i);
}

static bool may_touch(const DdebugDrain *d)
{
    return !d->out_of_reach && d->attached;
}

static void mark_all_dirty(DdebugDrain *d)
{
    guint i;

    for (i = 0; i < d->streams->len; i++) {
        mark_status_dirty(stream_at(d, i));
    }
}

static void want_no_kicks(DdebugDrain *d)
{
    guint i;

    for (i = 0; i < d->streams->len; i++) {
        DdebugStream *st = stream_at(d, i);

        /* one that the scan did not come to may not have been touched for long */
        if (st->wants_kick) {
            probe(d, st);
        }
        ddebug_stream_want_kick(st, false);
    }
    mark_all_dirty(d);
}

static bool any_active(DdebugDrain *d)
{
    guint i;

    for (i = 0; i < d->streams->len; i++) {
        if (ddebug_stream_is_active(stream_at(d, i))) {
            return true;
        }
    }
    return false;
}

/* Return true if the thread may sleep until it is kicked. */
static bool ask_for_kicks(DdebugDrain *d)
{
    bool nothing_new;
    guint i;

    if (!may_touch(d)) {
        return true;
    }
    /* the thread may have waited for the disk since the scan */
    for (i = 0; i < d->streams->len; i++) {
        probe(d, stream_at(d, i));
    }
    nothing_new = ddebug_streams_ask_for_kicks(
        (DdebugStream *const *)d->streams->pdata, d->streams->len);
    mark_all_dirty(d);
    return nothing_new;
}

/*
 * Jobs: what the BQL side hands to the thread.  Everything in this section is
 * called with d->lock held.
 */

static bool has_room(const DdebugDrain *d, size_t len)
{
    return d->staged + len <= DDEBUG_STAGING_MAX &&
           d->nr_jobs < DDEBUG_JOBS_MAX;
}

static void push_job(DdebugDrain *d, DdebugJob *job)
{
    QTAILQ_INSERT_TAIL(&d->jobs, job, next);
    d->staged += job->len;
    d->nr_jobs++;
}

/* For what was found in the rings: before an event that follows them. */
static void push_found(DdebugDrain *d, DdebugJob *job)
{
    if (!d->scan_job) {
        push_job(d, job);
        return;
    }
    QTAILQ_INSERT_BEFORE(d->scan_job, job, next);
    d->staged += job->len;
    d->nr_jobs++;
}

static DdebugJob *new_event(uint32_t event, uint64_t arg0, uint64_t arg1)
{
    DdebugJob *job = g_new0(DdebugJob, 1);

    job->type = DDEBUG_JOB_EVENT;
    job->event = event;
    job->args[0] = arg0;
    job->args[1] = arg1;
    return job;
}

static void push_event(DdebugDrain *d, uint32_t event, uint64_t arg0,
                       uint64_t arg1)
{
    /* without CLOSE the log would look as if QEMU had been killed */
    if (d->nr_jobs < DDEBUG_JOBS_MAX || event == DDEBUG_LOG_EVENT_CLOSE) {
        push_job(d, new_event(event, arg0, arg1));
    }
}

/*
 * @notice: ddebug_stream_notice(), loaded before the head that @st was copied
 * up to.  The event follows what was copied, which the thread has written by
 * now, and the BQL side has queued.
 */
static void take_notice(DdebugDrain *d, DdebugStream *st, uint32_t notice)
{
    if (notice != st->notice) {
        st->notice = notice;
        trace_virtio_ddebug_drain_notice(d, st->id, notice);
        if (d->nr_jobs < DDEBUG_JOBS_MAX) {
            push_found(d, new_event(DDEBUG_LOG_EVENT_NOTICE,
                                    notice & VIRTIO_DDEBUG_NOTICE_KIND,
                                    st->cpu));
        }
    }
}

/* Bytes left in the ring of @st. */
static uint64_t unread(const DdebugDrain *d, const DdebugStream *st)
{
    const uint64_t head = may_touch(d) ? ddebug_stream_head(st) : 0;

    if (st->stopped || head <= st->consumed) {
        return 0;
    }
    return MIN(head - st->consumed, st->ring_size);
}

/*
 * Losses are queued in any case.  Consecutive ones share a job, so that their
 * number is bounded by that of the other jobs.
 */
static void push_lost(DdebugDrain *d, uint64_t bytes)
{
    DdebugJob *last = d->scan_job ?
                      QTAILQ_PREV(d->scan_job, next) :
                      QTAILQ_LAST(&d->jobs);
    DdebugJob *job;

    if (!bytes) {
        return;
    }
    trace_virtio_ddebug_drain_unstaged(d, bytes);
    if (last && last->type == DDEBUG_JOB_LOST) {
        last->args[0] += bytes;
        last->args[1]++;
        return;
    }
    job = g_new0(DdebugJob, 1);
    job->type = DDEBUG_JOB_LOST;
    job->args[0] = bytes;
    job->args[1] = 1;
    push_found(d, job);
}

static void stage(DdebugDrain *d, DdebugStream *st)
{
    DdebugLogData data;
    DdebugJob *job;
    uint32_t notice;
    size_t len;

    probe(d, st);
    notice = ddebug_stream_notice(st);
    while (has_room(d, DDEBUG_STREAM_SPAN_MAX) &&
           (len = copy_span(d, st, UINT64_MAX, d->stage, &data))) {
        job = g_new0(DdebugJob, 1);
        job->type = DDEBUG_JOB_DATA;
        job->data = data;
        job->mark = mark_after(st);
        job->len = len;
        job->payload = g_memdup2(d->stage, len);
        push_found(d, job);
        d->counters.bql_bytes += len;
    }
    take_notice(d, st, notice);
}

static bool is_of_queue(const DdebugStream *st, unsigned queue)
{
    return queue == DDEBUG_DRAIN_ALL || st->queue == queue;
}

/*
 * Copy what is in the rings of @queue into jobs, as far as has_room() allows.
 * If that is all of them, it completes a scan of the thread that is in progress.
 */
static void stage_all(DdebugDrain *d, unsigned queue)
{
    guint i;

    d->bql_scans++;
    for (i = 0; may_touch(d) && i < d->streams->len; i++) {
        if (is_of_queue(stream_at(d, i), queue)) {
            stage(d, stream_at(d, i));
        }
    }
    if (queue == DDEBUG_DRAIN_ALL) {
        end_scan(d);
    }
}

/* Count what is left in the rings of @queue as lost. */
static void count_unstaged(DdebugDrain *d, unsigned queue)
{
    uint64_t bytes = 0;
    guint i;

    for (i = 0; i < d->streams->len; i++) {
        if (is_of_queue(stream_at(d, i), queue)) {
            bytes += unread(d, stream_at(d, i));
        }
    }
    push_lost(d, bytes);
}

/* Take the stream out of the list, keeping the thread's place in it. */
static DdebugStream *remove_stream(DdebugDrain *d, guint i)
{
    DdebugStream *st = g_ptr_array_remove_index(d->streams, i);

    if (i < d->scan_next) {
        d->scan_next--;
    }
    d->counters.streams = d->streams->len;
    return st;
}

/* Called with d->lock held; releases it, then reports what went wrong. */
static void unlock_and_complain(DdebugDrain *d)
{
    g_autofree char *complaint = g_steal_pointer(&d->complaint);

    qemu_mutex_unlock(&d->lock);
    if (complaint) {
        warn_report("%s", complaint);
    }
}

/* The interface of the BQL side */

void ddebug_drain_kick(DdebugDrain *d)
{
    wake(d);
}

bool ddebug_drain_add(DdebugDrain *d, DdebugStream *st)
{
    unsigned of_id = 0;
    bool is_new = true;
    guint i;

    qemu_mutex_lock(&d->lock);
    for (i = 0; i < d->streams->len && is_new; i++) {
        const DdebugStream *other = stream_at(d, i);

        /* a ring may replace another one, which is to be retired */
        if (other->id == st->id) {
            is_new = other->generation != st->generation && ++of_id < 2;
        }
    }
    if (is_new) {
        g_ptr_array_add(d->streams, st);
        d->counters.streams = d->streams->len;
    }
    qemu_mutex_unlock(&d->lock);
    if (is_new) {
        wake(d);
    }
    return is_new;
}

void ddebug_drain_withdraw(DdebugDrain *d)
{
    qemu_mutex_lock(&d->lock);
    stage_all(d, DDEBUG_DRAIN_ALL);
    count_unstaged(d, DDEBUG_DRAIN_ALL);
    d->out_of_reach = true;
    trace_virtio_ddebug_drain_withdraw(d, d->staged);
    unlock_and_complain(d);
    wake(d);
}

void ddebug_drain_permit(DdebugDrain *d)
{
    trace_virtio_ddebug_drain_permit(d);
    qemu_mutex_lock(&d->lock);
    d->out_of_reach = false;
    qemu_mutex_unlock(&d->lock);
    wake(d);
}

void ddebug_drain_vm_stopped(DdebugDrain *d, uint64_t why)
{
    DdebugJob *job;

    qemu_mutex_lock(&d->lock);
    d->vm_stopped = true;
    if (d->nr_jobs < DDEBUG_JOBS_MAX) {
        job = new_event(DDEBUG_LOG_EVENT_STOP, why, 0);
        job->scan_first = true;
        push_job(d, job);
        if (!d->scan_job) {
            d->scan_job = job;
        }
    }
    qemu_mutex_unlock(&d->lock);
    wake(d);
}

void ddebug_drain_vm_runs(DdebugDrain *d)
{
    qemu_mutex_lock(&d->lock);
    if (d->vm_stopped) {
        push_event(d, DDEBUG_LOG_EVENT_CONT, 0, 0);
        d->vm_stopped = false;
    }
    qemu_mutex_unlock(&d->lock);
    wake(d);
}

/* Take the streams of @queue out of the answers that were not fetched. */
static void forget_answers(DdebugDrain *d, unsigned queue, GPtrArray *gone)
{
    DdebugDone *done;

    QSIMPLEQ_FOREACH(done, &d->done, next) {
        if (done->answer.stream && is_of_queue(done->answer.stream, queue)) {
            g_ptr_array_add(gone, g_steal_pointer(&done->answer.stream));
        }
    }
}

GPtrArray *ddebug_drain_forget(DdebugDrain *d, unsigned queue)
{
    GPtrArray *gone = g_ptr_array_new();
    guint i;

    qemu_mutex_lock(&d->lock);
    stage_all(d, queue);
    count_unstaged(d, queue);
    for (i = d->streams->len; i-- > 0; ) {
        if (is_of_queue(stream_at(d, i), queue)) {
            g_ptr_array_add(gone, remove_stream(d, i));
        }
    }
    forget_answers(d, queue, gone);
    unlock_and_complain(d);
    wake(d);
    return gone;
}

GPtrArray *ddebug_drain_forget_retiring(DdebugDrain *d)
{
    GPtrArray *gone = g_ptr_array_new();
    guint i;

    qemu_mutex_lock(&d->lock);
    /* the thread may be writing what it has copied from one of them */
    d->bql_scans++;
    for (i = d->streams->len; i-- > 0; ) {
        if (stream_at(d, i)->retiring) {
            g_ptr_array_add(gone, remove_stream(d, i));
        }
    }
    forget_answers(d, DDEBUG_DRAIN_ALL, gone);
    qemu_mutex_unlock(&d->lock);
    return gone;
}

bool ddebug_drain_retire(DdebugDrain *d, uint32_t id, uint32_t generation,
                         uint64_t request)
{
    bool found = false;
    guint i;

    qemu_mutex_lock(&d->lock);
    for (i = 0; i < d->streams->len && !found; i++) {
        DdebugStream *st = stream_at(d, i);

        if (st->id == id && st->generation == generation && !st->retiring) {
            st->retiring = found = true;
            st->request = request;
            st->retire_status = VIRTIO_DDEBUG_S_OK;
        }
    }
    qemu_mutex_unlock(&d->lock);
    if (found) {
        wake(d);
    }
    return found;
}

void ddebug_drain_end_session(DdebugDrain *d)
{
    qemu_mutex_lock(&d->lock);
    if (d->attached) {
        push_event(d, DDEBUG_LOG_EVENT_RESET, 0, 0);
    }
    d->session++;
    d->attached = false;
    qemu_mutex_unlock(&d->lock);
    wake(d);
}

static DdebugJobType job_type(uint16_t request)
{
    switch (request) {
    case VIRTIO_DDEBUG_REQ_ATTACH:
        return DDEBUG_JOB_ATTACH;
    case VIRTIO_DDEBUG_REQ_DICT:
        return DDEBUG_JOB_DICT;
    case VIRTIO_DDEBUG_REQ_LOG_SIZE:
        return DDEBUG_JOB_SIZE;
    default:
        g_assert_not_reached();
    }
}

bool ddebug_drain_request(DdebugDrain *d, uint16_t type, void *payload,
                          size_t len, uint64_t id)
{
    DdebugJob *job;
    bool room;

    qemu_mutex_lock(&d->lock);
    room = has_room(d, len);
    if (room) {
        job = g_new0(DdebugJob, 1);
        job->type = job_type(type);
        job->id = id;
        job->session = d->session;
        job->payload = payload;
        job->len = len;
        push_job(d, job);
    }
    qemu_mutex_unlock(&d->lock);
    if (!room) {
        g_free(payload);
        return false;
    }
    wake(d);
    return true;
}

bool ddebug_drain_next_answer(DdebugDrain *d, DdebugAnswer *answer)
{
    DdebugDone *done;

    qemu_mutex_lock(&d->lock);
    done = QSIMPLEQ_FIRST(&d->done);
    if (done) {
        QSIMPLEQ_REMOVE_HEAD(&d->done, next);
        *answer = done->answer;
    }
    qemu_mutex_unlock(&d->lock);
    g_free(done);
    return done != NULL;
}

void ddebug_drain_set_policy(DdebugDrain *d, DdebugLogMode mode, uint64_t rate)
{
    qemu_mutex_lock(&d->lock);
    d->mode = mode;
    d->rate = rate;
    d->policy_changed = true;
    qemu_mutex_unlock(&d->lock);
    wake(d);
}

/* Called with d->lock held. */
static void set_resize_status(DdebugDrain *d, const char *status)
{
    g_free(d->resize_status);
    d->resize_status = g_strdup(status);
}

void ddebug_drain_resize(DdebugDrain *d, uint64_t size)
{
    qemu_mutex_lock(&d->lock);
    d->resize_to = size;
    set_resize_status(d, "pending");
    qemu_mutex_unlock(&d->lock);
    wake(d);
}

char *ddebug_drain_resize_status(DdebugDrain *d)
{
    char *status;

    qemu_mutex_lock(&d->lock);
    status = g_strdup(d->resize_status);
    qemu_mutex_unlock(&d->lock);
    return status;
}

void ddebug_drain_event(DdebugDrain *d, uint32_t event, uint64_t arg)
{
    qemu_mutex_lock(&d->lock);
    /*
     * Put what the guest logged before the event in front of it, even if the
     * thread has not scanned for it yet: a kernel that panics may reset the
     * machine, and so end the VM, right after its notice.
     */
    stage_all(d, DDEBUG_DRAIN_ALL);
    push_event(d, event, arg, 0);
    unlock_and_complain(d);
    wake(d);
}

DdebugFileState ddebug_drain_file_state(DdebugDrain *d, char **why)
{
    DdebugFileState state;

    qemu_mutex_lock(&d->lock);
    state = d->file_state;
    if (why) {
        *why = g_strdup(d->file_error);
    }
    qemu_mutex_unlock(&d->lock);
    return state;
}

void ddebug_drain_wait_open(DdebugDrain *d)
{
    qemu_mutex_lock(&d->lock);
    while (d->file_state == DDEBUG_FILE_OPENING) {
        qemu_cond_wait(&d->opened_cond, &d->lock);
    }
    qemu_mutex_unlock(&d->lock);
}

void ddebug_drain_counters(DdebugDrain *d, DdebugCounters *counters)
{
    qemu_mutex_lock(&d->lock);
    *counters = d->counters;
    qemu_mutex_unlock(&d->lock);
    if (d->sync) {
        DdebugLogSyncCounters of_sync;

        ddebug_log_sync_counters(d->sync, &of_sync);
        counters->syncs = of_sync.syncs;
        counters->sync_errors = of_sync.errors;
    }
}

void ddebug_drain_watch_sync(DdebugDrain *d, DdebugLogSync *sync)
{
    d->sync = sync;
    ddebug_log_sync_notify(sync, d->kick_fd);
}

/* The thread */

/* Note an error; return true if it is to be reported. */
static bool note_error(DdebugDrain *d, unsigned why)
{
    const int64_t now = now_ms();
    const bool report = !d->errors[why].reported ||
                        now - d->errors[why].last_ms > DDEBUG_REPORT_AGAIN_MS;

    d->errors[why].reported = true;
    d->errors[why].last_ms = now;
    return report;
}

/* A write that started at @start_ms is complete. */
static void check_slow(DdebugDrain *d, int64_t start_ms)
{
    const int64_t took_ms = now_ms() - start_ms;

    if (took_ms > DDEBUG_SLOW_MS && note_error(d, DDEBUG_LOG_LOSS_IO)) {
        warn_report("virtio-ddebug: writing '%s' took %" PRId64 " s: the disk "
                    "is slow or hung; the VM kept running, and messages that "
                    "its rings could not hold are lost (reported once)",
                    ddebug_log_path(d->log), took_ms / 1000);
    }
}

/* @r: the result of an append that started at @start_ms */
static void check_io(DdebugDrain *d, int r, int64_t start_ms)
{
    if (r == -EXFULL) {
        /* a dictionary, whose request is answered, or data: check_data() */
    } else if (r == -EOVERFLOW) {
        if (note_error(d, DDEBUG_LOG_LOSS_IO)) {
            warn_report("virtio-ddebug: '%s' has had all the epochs that a log "
                        "can have, so that drivers cannot attach: use another "
                        "file (reported once)", ddebug_log_path(d->log));
        }
    } else if (r < 0) {
        trace_virtio_ddebug_drain_io_error(
            d, -r, ddebug_log_lost(d->log, DDEBUG_LOG_LOSS_IO));
        if (note_error(d, DDEBUG_LOG_LOSS_IO)) {
            warn_report("virtio-ddebug: cannot write '%s': %s; the VM keeps "
                        "running, and lost messages are counted (reported "
                        "once)", ddebug_log_path(d->log), strerror(-r));
        }
    } else {
        check_slow(d, start_ms);
    }
}

static void check_data(DdebugDrain *d, int r, uint64_t full_lost)
{
    if (r != -EXFULL) {
        return;
    }
    if (ddebug_log_lost(d->log, DDEBUG_LOG_LOSS_FULL) == full_lost) {
        return;
    }
    if (note_error(d, DDEBUG_LOG_LOSS_FULL)) {
        warn_report("virtio-ddebug: '%s' is full and keeps its oldest messages "
                    "(mode=drop); new messages are lost and counted until it "
                    "is cleared or enlarged (reported once)",
                    ddebug_log_path(d->log));
    }
}

/* Called with d->lock held, after the log may have changed its size or file. */
static void note_log(DdebugDrain *d)
{
    const uint64_t size = ddebug_log_size(d->log), id = ddebug_log_id(d->log);

    if ((size != d->counters.log_size || id != d->counters.log_id) &&
        !d->abandoned) {
        d->notify(d->opaque);
    }
    d->counters.log_size = size;
    d->counters.log_id = id;
}

/* Called without d->lock, after work on the log; takes it. */
static void relock_and_count(DdebugDrain *d, uint64_t chunks, uint64_t bytes)
{
    DdebugLog *log = d->log;

    qemu_mutex_lock(&d->lock);
    d->counters.chunks += chunks;
    d->counters.bytes += bytes;
    d->counters.io_lost = ddebug_log_lost(log, DDEBUG_LOG_LOSS_IO);
    d->counters.full_lost = ddebug_log_lost(log, DDEBUG_LOG_LOSS_FULL);
    d->counters.rate_lost = ddebug_log_lost(log, DDEBUG_LOG_LOSS_RATE);
    note_log(d);
    d->counters.passes = d->pass - d->first_pass;
}

/*
 * Return 0 or a negative errno.  Called with d->lock held; drops it for the
 * write and retakes it.
 */
static int write_data(DdebugDrain *d, const DdebugLogData *data,
                      DdebugMark mark, const void *buf, size_t len)
{
    const uint64_t full_lost = ddebug_log_lost(d->log, DDEBUG_LOG_LOSS_FULL);
    const uint64_t gaps = d->skipped_gaps, skipped = d->skipped_bytes;
    int64_t start_ms;
    int r;

    d->skipped_gaps = d->skipped_bytes = 0;
    unlock_and_complain(d);
    if (gaps) {
        ddebug_log_append_lost(d->log, DDEBUG_LOG_LOSS_RATE, gaps, skipped);
        if (note_error(d, DDEBUG_LOG_LOSS_RATE)) {
            warn_report("virtio-ddebug: the guest logs more than rate-limit "
                        "allows for '%s'; lost messages are counted (reported "
                        "once)", ddebug_log_path(d->log));
        }
    }
    start_ms = now_ms();
    r = ddebug_log_append_data(d->log, data, buf, len);
    check_io(d, r, start_ms);
    check_data(d, r, full_lost);
    if (mark.drained &&
        ddebug_stream_is_there(mark.drained, sizeof(*mark.drained), true)) {
        qatomic_set((uint64_t *)mark.drained, cpu_to_le64(mark.end));
    }
    relock_and_count(d, r ? 0 : 1, r ? 0 : len);
    return r;
}

static uint32_t status_of(int r)
{
    switch (r) {
    case 0:
        return VIRTIO_DDEBUG_S_OK;
    case -EXFULL:
        return VIRTIO_DDEBUG_S_NOSPC;
    case -EINVAL:
        return VIRTIO_DDEBUG_S_INVAL;
    default:
        return VIRTIO_DDEBUG_S_IOERR;
    }
}

/* Called with d->lock held. */
static void push_done(DdebugDrain *d, DdebugDone *done)
{
    QSIMPLEQ_INSERT_TAIL(&d->done, done, next);
    if (!d->abandoned) {
        d->notify(d->opaque);
    }
}

/* Called with d->lock held; drops it for the write and retakes it. */
static void write_request(DdebugDrain *d, DdebugJob *job)
{
    DdebugDone *done = g_new0(DdebugDone, 1);
    int64_t start_ms;
    uint32_t epoch;
    int r;

    qemu_mutex_unlock(&d->lock);
    start_ms = now_ms();
    if (job->type == DDEBUG_JOB_ATTACH) {
        r = ddebug_log_append_attach(d->log, job->payload, job->len);
    } else {
        r = ddebug_log_append_dict(d->log, job->payload, job->len);
    }
    if (r != -EINVAL) {
        check_io(d, r, start_ms);
    }
    epoch = ddebug_log_epoch(d->log);
    done->answer = (DdebugAnswer) { .id = job->id, .status = status_of(r) };
    relock_and_count(d, 0, 0);
    if (job->type == DDEBUG_JOB_ATTACH) {
        done->answer.value = epoch;
        d->epoch = epoch;
        d->attached = r == 0 && job->session == d->session;
        d->guest_attached = d->attached;
        d->guest_died = false;
    }
    push_done(d, done);
}

/*
 * Does the job say that the guest died?  A death without a driver does not
 * count: the log has nothing of it, so that freezing would protect other
 * messages, perhaps in place of a death that is frozen already.
 */
static bool is_death(const DdebugDrain *d, const DdebugJob *job)
{
    return (job->event == DDEBUG_LOG_EVENT_NOTICE &&
            job->args[0] >= VIRTIO_DDEBUG_NOTICE_PANIC) ||
           (job->event == DDEBUG_LOG_EVENT_STOP && d->guest_attached &&
            job->args[0] == DDEBUG_LOG_STOP_PANICKED);
}

/* Has the guest fallen silent, for good or for now? */
static bool is_end(const DdebugJob *job)
{
    switch (job->event) {
    case DDEBUG_LOG_EVENT_RESET:
    case DDEBUG_LOG_EVENT_MACHINE_RESET:
    case DDEBUG_LOG_EVENT_SHUTDOWN:
    case DDEBUG_LOG_EVENT_STOP:
    case DDEBUG_LOG_EVENT_CLOSE:
        return true;
    default:
        return false;
    }
}

/*
 * Called without d->lock.  Freezes at the notice, since a dying guest may print
 * more, and for how long is unknown; and again once it is silent, to include
 * what it printed.
 */
static void freeze_if_dead(DdebugDrain *d, const DdebugJob *job)
{
    const int64_t start_ms = now_ms();

    if (!d->freeze_on_panic) {
        return;
    }
    if (is_death(d, job) || (d->guest_died && is_end(job))) {
        d->guest_died = true;
        check_io(d, ddebug_log_freeze(d->log), start_ms);
    }
    /* MACHINE_RESET may precede the device's RESET, which ends the guest */
    if (job->event == DDEBUG_LOG_EVENT_RESET ||
        (job->event == DDEBUG_LOG_EVENT_MACHINE_RESET && !d->guest_attached)) {
        d->guest_attached = false;
        d->guest_died = false;
    }
}

/*
 * Resize the log for the guest.  Only the guest learns of errors: it may ask as
 * often as it likes, and must not flood our stderr.  The minimum is checked
 * here, since the host may have resized the log since the request.
 *
 * Called with d->lock held; drops it for the resize and retakes it.
 */
static void change_size(DdebugDrain *d, DdebugJob *job)
{
    const struct virtio_ddebug_log_size *wanted = job->payload;
    const uint64_t size = le64_to_cpu(wanted->size);
    DdebugDone *done = g_new0(DdebugDone, 1);
    g_autoptr(GError) error = NULL;

    done->answer.id = job->id;
    if (size < d->guest_size_min) {
        done->answer.status = VIRTIO_DDEBUG_S_INVAL;
        push_done(d, done);
        return;
    }
    qemu_mutex_unlock(&d->lock);
    if (!ddebug_log_resize(d->log, size, &error)) {
        done->answer.status =
            g_error_matches(error, DDEBUG_LOG_ERROR, DDEBUG_LOG_ERROR_SPACE) ?
            VIRTIO_DDEBUG_S_NOSPC : VIRTIO_DDEBUG_S_IOERR;
    }
    done->answer.value = ddebug_log_size(d->log);
    relock_and_count(d, 0, 0);
    note_log(d);
    push_done(d, done);
}

/* Called with d->lock held; may drop it for a write and retake it. */
static void do_job(DdebugDrain *d, DdebugJob *job)
{
    int64_t start_ms;
    int r;

    switch (job->type) {
    case DDEBUG_JOB_DATA:
        write_data(d, &job->data, job->mark, job->payload, job->len);
        break;
    case DDEBUG_JOB_ATTACH:
    case DDEBUG_JOB_DICT:
        write_request(d, job);
        break;
    case DDEBUG_JOB_SIZE:
        change_size(d, job);
        break;
    case DDEBUG_JOB_EVENT:
        qemu_mutex_unlock(&d->lock);
        start_ms = now_ms();
        r = ddebug_log_append_event(d->log, job->event, job->args[0],
                                    job->args[1], 0);
        check_io(d, r, start_ms);
        freeze_if_dead(d, job);
        relock_and_count(d, 0, 0);
        break;
    case DDEBUG_JOB_LOST:
        qemu_mutex_unlock(&d->lock);
        ddebug_log_append_lost(d->log, DDEBUG_LOG_LOSS_IO, job->args[1],
                               job->args[0]);
        relock_and_count(d, 0, 0);
        break;
    }
}

/* @r: the result of a write from @st.  RETIRE is answered with the last error. */
static void note_retired(DdebugStream *st, int r)
{
    if (st->retiring && r) {
        st->retire_status = status_of(r);
    }
}

/*
 * Scan all streams, each up to its head when its turn comes, and write what is
 * new.  Return true if anything was found.  Abandoned if the BQL side scans, or
 * removes, streams meanwhile.
 *
 * Unless @wait_ms is NULL, suspended when the rate limit is reached: the next
 * call continues there, due after *wait_ms, and both are one pass.  Until then
 * the rings overwrite their oldest messages and keep the newest.
 *
 * Called with d->lock held; drops it for each write and retakes it.
 */
static bool scan(DdebugDrain *d, int *wait_ms)
{
    const uint64_t bql_scans = d->bql_scans;
    bool found = false;
    DdebugLogData data;
    size_t len;
    int r;

    for (; may_touch(d) && d->scan_next < d->streams->len; d->scan_next++) {
        DdebugStream *st = stream_at(d, d->scan_next);
        uint32_t notice;
        uint64_t limit;

        probe(d, st);
        notice = ddebug_stream_notice(st);
        limit = ddebug_stream_head(st);
        for (;;) {
            if (wait_ms && (*wait_ms = ddebug_log_rate_wait(d->log))) {
                d->rate_limited = true;
                return true;
            }
            len = copy_span(d, st, limit, d->bounce, &data);
            if (!len) {
                break;
            }
            found = true;
            r = write_data(d, &data, mark_after(st), d->bounce, len);
            if (d->bql_scans != bql_scans) {
                return true;
            }
            note_retired(st, r);
        }
        take_notice(d, st, notice);
    }
    end_scan(d);
    return found;
}

/*
 * Write what the rings hold, before @job, which is the first.  What the BQL side
 * has queued of it meanwhile, and notices, are before it now.
 *
 * Called with d->lock held; drops it for each write and retakes it.
 */
static void scan_before(DdebugDrain *d, DdebugJob *job)
{
    const uint64_t bql_scans = d->bql_scans;

    /* once more from the first stream: still the same pass */
    d->scan_next = 0;
    scan(d, NULL);
    job->scan_first = d->bql_scans != bql_scans;
}

static void find_scan_job(DdebugDrain *d)
{
    DdebugJob *job;

    QTAILQ_FOREACH(job, &d->jobs, next) {
        if (job->scan_first) {
            break;
        }
    }
    d->scan_job = job;
}

/* Called with d->lock held; drops it for each write and retakes it. */
static void do_jobs(DdebugDrain *d)
{
    DdebugJob *job;

    while ((job = QTAILQ_FIRST(&d->jobs))) {
        if (job->scan_first) {
            scan_before(d, job);
            continue;
        }
        QTAILQ_REMOVE(&d->jobs, job, next);
        if (job == d->scan_job) {
            find_scan_job(d);
        }
        do_job(d, job);
        d->staged -= job->len;
        d->nr_jobs--;
        job_free(job);
    }
}

/* Is @st still posted, and retired by @request?  It may have been freed. */
static bool is_retiring(DdebugDrain *d, const DdebugStream *st,
                        uint64_t request, guint *i)
{
    return g_ptr_array_find(d->streams, st, i) && st->retiring &&
           st->request == request;
}

/*
 * Write what the ring of @st holds, then answer.  Nothing is written to it any
 * more, unless the driver breaks the rules; what is written later is ignored.
 *
 * Called with d->lock held; drops it for each write and retakes it.
 */
static void retire(DdebugDrain *d, DdebugStream *st)
{
    const uint64_t request = st->request;
    DdebugLogData data;
    DdebugDone *done;
    uint32_t notice;
    uint64_t limit;
    size_t len;
    guint i;
    int r;

    probe(d, st);
    notice = ddebug_stream_notice(st);
    limit = ddebug_stream_head(st);
    for (;;) {
        len = copy_span(d, st, limit, d->bounce, &data);
        if (!len) {
            break;
        }
        r = write_data(d, &data, mark_after(st), d->bounce, len);
        if (!may_touch(d) || !is_retiring(d, st, request, &i)) {
            return;
        }
        note_retired(st, r);
    }
    take_notice(d, st, notice);
    if (st->stopped || st->consumed < limit) {
        /* the driver has broken the rules */
        push_lost(d, unread(d, st));
        st->retire_status = VIRTIO_DDEBUG_S_IOERR;
    }
    is_retiring(d, st, request, &i);
    done = g_new0(DdebugDone, 1);
    done->answer = (DdebugAnswer) {
        .id = request,
        .status = st->retire_status,
        .stream = remove_stream(d, i),
    };
    push_done(d, done);
}

/* Called with d->lock held; drops it for each write and retakes it. */
static void retire_all(DdebugDrain *d)
{
    guint i = 0;

    while (may_touch(d) && i < d->streams->len) {
        if (stream_at(d, i)->retiring) {
            retire(d, stream_at(d, i));
            i = 0;
        } else {
            i++;
        }
    }
}

static uint64_t all_lost(const DdebugCounters *c)
{
    return c->io_lost + c->full_lost + c->rate_lost;
}

/*
 * Write the state to the superblock when all is drained: docs/log-format.md,
 * "Rules for writers", 10.
 *
 * Called with d->lock held; drops it for the write and retakes it.
 */
static void settle(DdebugDrain *d)
{
    const uint64_t pass = d->pass, lost = all_lost(&d->counters);
    int64_t start_ms;

    if (!QTAILQ_EMPTY(&d->jobs) ||
        (pass == d->settled_pass && lost == d->settled_lost)) {
        return;
    }
    unlock_and_complain(d);
    start_ms = now_ms();
    if (ddebug_log_write_state(d->log, pass) == 0) {
        d->settled_pass = pass;
        d->settled_lost = lost;
        trace_virtio_ddebug_drain_settled(d, pass);
    }
    check_slow(d, start_ms);
    relock_and_count(d, 0, 0);
}

/* Called with d->lock held.  Return how long to sleep: ms, or -1: unlimited. */
static int plan_sleep(DdebugDrain *d, bool found)
{
    if (found) {
        d->backoff = 0;
        if (may_touch(d)) {
            want_no_kicks(d);
        }
    }
    if (!QTAILQ_EMPTY(&d->jobs) || d->quit) {
        return 0;
    }
    if (d->backoff < ARRAY_SIZE(backoff_ms)) {
        return backoff_ms[d->backoff++];
    }
    if (!ask_for_kicks(d)) {
        d->backoff = 0;
        return 0;
    }
    if (!d->vm_stopped && may_touch(d) && any_active(d)) {
        return DDEBUG_WATCH_PERIOD_MS;
    }
    return -1;
}

/*
 * Watch the path: the log was just opened by it.  If it was replaced by another
 * file since, tools cannot reach this log anyway.
 */
static void watch_log(DdebugDrain *d)
{
    bool follow;
    g_autofree char *path = ddebug_log_watch_path(d->log, &follow);

    if (d->inotify_fd < 0) {
        d->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    }
    if (d->inotify_fd >= 0 &&
        inotify_add_watch(d->inotify_fd, path, IN_CLOSE_WRITE |
                          (follow ? 0 : IN_DONT_FOLLOW)) < 0) {
        close(d->inotify_fd);
        d->inotify_fd = -1;
    }
    if (d->inotify_fd < 0) {
        warn_report("virtio-ddebug: cannot watch '%s': %s; it is looked at "
                    "every second for requests of ddebug-host (resize, clear); "
                    "if there are too many watches, increase the sysctl "
                    "fs.inotify.max_user_instances", ddebug_log_path(d->log),
                    strerror(errno));
    }
}

static void check_log(DdebugDrain *d, bool before_sleep)
{
    g_autoptr(GError) error = NULL;
    const int64_t now = now_ms();

    if (!before_sleep && now - d->last_check_ms < DDEBUG_CHECK_PERIOD_MS) {
        return;
    }
    d->last_check_ms = now;
    if (!ddebug_log_check(d->log, &error)) {
        warn_report("virtio-ddebug: %s", error->message);
        /* the path may name another file now */
        watch_log(d);
    }
}

/* Called without d->lock. */
static void check_sync(DdebugDrain *d)
{
    const int error = ddebug_log_sync_error(d->log);

    if (error && note_error(d, DDEBUG_SYNC_ERROR)) {
        warn_report("virtio-ddebug: cannot sync '%s': %s; messages in it may "
                    "be missing later, and the log says which chunks they are "
                    "in (reported once)", ddebug_log_path(d->log),
                    strerror(error));
    }
}

/* Called without d->lock. */
static void serve_requests(DdebugDrain *d)
{
    DdebugLogRequest request;

    while (ddebug_log_poll_request(d->log, &request)) {
        ddebug_log_serve_request(d->log, &request);
    }
    qemu_mutex_lock(&d->lock);
    note_log(d);
    qemu_mutex_unlock(&d->lock);
}

/* Called with d->lock held; drops it for the resize and retakes it. */
static void resize(DdebugDrain *d)
{
    const uint64_t size = d->resize_to;
    g_autoptr(GError) error = NULL;
    g_autofree char *status = NULL;

    if (!size) {
        return;
    }
    d->resize_to = 0;
    qemu_mutex_unlock(&d->lock);
    if (ddebug_log_resize(d->log, size, &error)) {
        d->guest_size_min = size;
        status = g_strdup("done");
    } else {
        warn_report("virtio-ddebug: log-size: %s", error->message);
        status = g_strdup_printf("failed: %s", error->message);
    }
    qemu_mutex_lock(&d->lock);
    note_log(d);
    if (!d->resize_to) {
        set_resize_status(d, status);
    }
}

/*
 * Apply pending settings.  Called with d->lock held; drops it for a resize and
 * retakes it.
 */
static void apply_settings(DdebugDrain *d)
{
    if (d->policy_changed) {
        ddebug_log_set_mode(d->log, d->mode);
        ddebug_log_set_rate(d->log, d->rate);
        d->policy_changed = false;
    }
    resize(d);
}

/* Called without d->lock. */
static void sleep_until_woken(DdebugDrain *d, int timeout_ms)
{
    struct pollfd fds[2] = {
        { .fd = d->kick_fd, .events = POLLIN },
        { .fd = d->inotify_fd, .events = POLLIN },
    };
    char events[4096];
    uint64_t count;

    if (poll(fds, ARRAY_SIZE(fds), timeout_ms) < 0) {
        return;
    }
    if (fds[0].revents && read(d->kick_fd, &count, sizeof(count)) < 0) {
        /* EAGAIN at most: the counter was zero */
    }
    if (d->inotify_fd < 0) {
        serve_requests(d);
    } else if (fds[1].revents) {
        while (read(d->inotify_fd, events, sizeof(events)) > 0) {
            /* the only event watched for: a writer closed the file */
        }
        serve_requests(d);
    }
}

/*
 * Finish opening the log, which may take as long as the disk likes.  The guest
 * sees the shared memory after that, so nobody has touched it yet.
 *
 * Called without d->lock.
 */
static bool open_log(DdebugDrain *d, GError **error)
{
    if (!ddebug_log_finish(d->log, error)) {
        return false;
    }
    ddebug_log_recover(d->log);
    if (d->shm && !ddebug_log_wipe_shm(d->log, error)) {
        return false;
    }
    watch_log(d);
    serve_requests(d);
    return true;
}

/* Called with d->lock held. */
static void set_file_state(DdebugDrain *d, DdebugFileState state,
                           const char *why)
{
    d->file_state = state;
    d->file_error = g_strdup(why);
    trace_virtio_ddebug_drain_opened(d, state == DDEBUG_FILE_OPEN);
    qemu_cond_signal(&d->opened_cond);
    if (!d->abandoned) {
        d->notify(d->opaque);
    }
}

/* Called with d->lock held: give back the rings that are retired, unread. */
static void refuse_retired(DdebugDrain *d)
{
    DdebugDone *done;
    DdebugStream *st;
    guint i = 0;

    while (i < d->streams->len) {
        st = stream_at(d, i);
        if (!st->retiring) {
            i++;
            continue;
        }
        remove_stream(d, i);
        done = g_new0(DdebugDone, 1);
        done->answer = (DdebugAnswer) {
            .id = st->request,
            .status = VIRTIO_DDEBUG_S_IOERR,
            .stream = st,
        };
        push_done(d, done);
    }
}

/* Called with d->lock held: there is no log.  Drop the jobs; answer requests. */
static void refuse_jobs(DdebugDrain *d)
{
    DdebugJob *job;
    DdebugDone *done;

    refuse_retired(d);
    while ((job = QTAILQ_FIRST(&d->jobs))) {
        QTAILQ_REMOVE(&d->jobs, job, next);
        switch (job->type) {
        case DDEBUG_JOB_ATTACH:
        case DDEBUG_JOB_DICT:
        case DDEBUG_JOB_SIZE:
            done = g_new0(DdebugDone, 1);
            done->answer = (DdebugAnswer) {
                .id = job->id,
                .status = VIRTIO_DDEBUG_S_IOERR,
            };
            push_done(d, done);
            break;
        case DDEBUG_JOB_DATA:
        case DDEBUG_JOB_EVENT:
        case DDEBUG_JOB_LOST:
            break;
        }
        d->staged -= job->len;
        d->nr_jobs--;
        job_free(job);
    }
    d->scan_job = NULL;
    if (d->resize_to) {
        d->resize_to = 0;
        set_resize_status(d, "failed: the log could not be opened");
    }
}

/*
 * The log could not be opened after all.  The driver is told when it attaches,
 * and the device waits to be unplugged.
 *
 * Called with d->lock held; drops it to sleep and retakes it.
 */
static void serve_without_log(DdebugDrain *d)
{
    struct pollfd fd = { .fd = d->kick_fd, .events = POLLIN };
    uint64_t count;

    for (;;) {
        refuse_jobs(d);
        if (d->quit) {
            return;
        }
        qemu_mutex_unlock(&d->lock);
        if (poll(&fd, 1, -1) > 0 &&
            read(d->kick_fd, &count, sizeof(count)) < 0) {
            /* EAGAIN at most: the counter was zero */
        }
        qemu_mutex_lock(&d->lock);
    }
}

/* Called with d->lock held; drops it for the writes and retakes it. */
static void drain(DdebugDrain *d)
{
    int timeout, wait_ms;
    bool found;

    for (;;) {
        apply_settings(d);
        do_jobs(d);
        if (d->quit && QTAILQ_EMPTY(&d->jobs)) {
            break;
        }
        retire_all(d);
        wait_ms = 0;
        found = scan(d, &wait_ms);
        if (!found) {
            settle(d);
        }
        timeout = plan_sleep(d, found);
        if (timeout > 0) {
            timeout = MAX(timeout, MIN(wait_ms, DDEBUG_CHECK_PERIOD_MS));
        }
        if (timeout < 0 && d->inotify_fd < 0) {
            timeout = DDEBUG_WATCH_PERIOD_MS;
        }
        unlock_and_complain(d);
        check_log(d, timeout < 0);
        check_sync(d);
        if (timeout) {
            trace_virtio_ddebug_drain_sleep(d, timeout);
            sleep_until_woken(d, timeout);
        }
        qemu_mutex_lock(&d->lock);
        d->counters.wakeups += timeout != 0;
    }
    settle(d);
}

static void *drain_thread(void *opaque)
{
    DdebugDrain *d = opaque;
    g_autoptr(GError) error = NULL;
    bool ok;

    rcu_register_thread();
    ok = open_log(d, &error);
    qemu_mutex_lock(&d->lock);
    if (ok) {
        d->pass = d->first_pass = d->settled_pass = ddebug_log_last_pass(d->log);
        set_file_state(d, DDEBUG_FILE_OPEN, NULL);
        drain(d);
    } else {
        qemu_mutex_unlock(&d->lock);
        ddebug_log_close(g_steal_pointer(&d->log));
        qemu_mutex_lock(&d->lock);
        set_file_state(d, DDEBUG_FILE_FAILED, error->message);
        serve_without_log(d);
    }
    qemu_mutex_unlock(&d->lock);
    ddebug_log_close(d->log);

    qemu_mutex_lock(&d->lock);
    d->ended = true;
    qemu_cond_signal(&d->ended_cond);
    qemu_mutex_unlock(&d->lock);
    rcu_unregister_thread();
    drain_unref(d);
    return NULL;
}

DdebugDrain *ddebug_drain_start(DdebugLog *log, DdebugShm *shm,
                                bool freeze_on_panic,
                                void (*notify)(void *opaque), void *opaque,
                                Error **errp)
{
    const int kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    DdebugDrain *d;
    int err;

    if (kick_fd < 0) {
        error_setg_errno(errp, errno, "virtio-ddebug: cannot create an "
                         "eventfd");
        return NULL;
    }
    d = g_new0(DdebugDrain, 1);
    d->refs = 2;
    d->kick_fd = kick_fd;
    qemu_mutex_init(&d->lock);
    qemu_cond_init(&d->ended_cond);
    qemu_cond_init(&d->opened_cond);
    d->inotify_fd = -1;
    d->notify = notify;
    d->opaque = opaque;
    d->streams = g_ptr_array_new();
    QTAILQ_INIT(&d->jobs);
    QSIMPLEQ_INIT(&d->done);
    d->out_of_reach = true;
    d->stage = g_malloc(DDEBUG_STREAM_SPAN_MAX);
    d->bounce = g_malloc(DDEBUG_STREAM_SPAN_MAX);
    d->log = log;
    d->shm = shm ? ddebug_shm_ref(shm) : NULL;
    d->freeze_on_panic = freeze_on_panic;
    d->resize_status = g_strdup("none");
    d->counters.log_size = d->guest_size_min = ddebug_log_planned_size(log);
    d->counters.log_id = ddebug_log_id(log);
    push_event(d, DDEBUG_LOG_EVENT_OPEN, getpid(), 0);
    trace_virtio_ddebug_drain_start(d);
    err = ddebug_thread_create("ddebug-drain", drain_thread, d);
    if (err) {
        error_setg_errno(errp, err, "virtio-ddebug: cannot create a thread");
        drain_unref(d);
        drain_unref(d);
        return NULL;
    }
    return d;
}

void ddebug_drain_stop(DdebugDrain *d, int timeout_ms)
{
    const int64_t deadline = now_ms() + timeout_ms;
    size_t left;
    bool ended;

    qemu_mutex_lock(&d->lock);
    push_event(d, DDEBUG_LOG_EVENT_CLOSE, 0, 0);
    d->quit = true;
    d->abandoned = true;
    wake(d);
    while (!d->ended && now_ms() < deadline) {
        qemu_cond_timedwait(&d->ended_cond, &d->lock, deadline - now_ms());
    }
    ended = d->ended;
    left = d->staged;
    qemu_mutex_unlock(&d->lock);
    trace_virtio_ddebug_drain_stop(d, ended, left);
    if (!ended) {
        warn_report("virtio-ddebug: the log could not be written within %d ms: "
                    "%zu bytes are lost", timeout_ms, left);
    }
    drain_unref(d);
}
