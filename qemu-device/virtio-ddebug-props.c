/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Properties and counters of the device, and the log that they name.  Runs with
 * the BQL held.
 */
#include "qemu/osdep.h"
#include <grp.h>
#include "hw/boards.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/cutils.h"
#include "qemu/uuid.h"
#include "ddebug-compat.h"
#include "ddebug-open.h"
#include "ddebug_version.h"
#include "virtio-ddebug-props.h"

/* The size property was not set.  Out of range, as is what -1 becomes. */
#define SIZE_UNSET ((1ull << 63) + 1)

/* Likewise sync-interval */
#define SYNC_INTERVAL_UNSET UINT32_MAX

/*
 * Seconds: as long as Linux lets pass between its own looks for pages to write
 * back (dirty_writeback_centisecs).
 */
#define SYNC_INTERVAL_DEFAULT 5

/* Opening the log */

/*
 * How long a VM that runs is held up for a disk that hangs.  It is small beside
 * the time after which a guest complains about a CPU that stands still (20 s),
 * and large beside the time that a busy disk needs for a few blocks.
 */
#define HOTPLUG_TIMEOUT_MS 2000

/* The owner must have these, */
#define FILE_MODE_OWNER 0600
/* and others may: read, and the group write. */
#define FILE_MODE_OTHERS 0064

static bool virtio_ddebug_parse_mode(const char *word, mode_t *mode,
                                     Error **errp)
{
    unsigned value;

    if (qemu_strtoui(word, NULL, 8, &value) < 0 ||
        (value & ~FILE_MODE_OTHERS) != FILE_MODE_OWNER) {
        error_setg(errp, "virtio-ddebug: invalid file-mode=%s: use an octal "
                   "number from 0600 to 0664: the owner reads and writes, the "
                   "group may read and write, others may read", word);
        return false;
    }
    *mode = value;
    return true;
}

static bool virtio_ddebug_parse_group(const char *word, gid_t *gid,
                                      Error **errp)
{
    const struct group *group = getgrnam(word);
    unsigned value;

    if (group) {
        *gid = group->gr_gid;
    } else if (qemu_strtoui(word, NULL, 10, &value) == 0 &&
               value != (gid_t)-1) {
        *gid = value;
    } else {
        error_setg(errp, "virtio-ddebug: file-group=%s: no such group: use a "
                   "group's name or number", word);
        return false;
    }
    return true;
}

/* What rings of the default size take for a CPU, plus a fifth. */
#define SHM_SIZE_CPU (512u << 10)

/* Bytes for shared rings; 0 for none, or with @errp set if invalid. */
static uint64_t virtio_ddebug_shm_size(const VirtIODDebug *s, Error **errp)
{
    const uint64_t cpus = MACHINE(qdev_get_machine())->smp.max_cpus;

    if (!s->shm_on && s->shm_size) {
        error_setg(errp, "virtio-ddebug: shm-size requires shm=on: add it, or "
                   "remove shm-size");
        return 0;
    }
    if (s->shm_size && !ddebug_log_is_shm_size(s->shm_size)) {
        error_setg(errp, "virtio-ddebug: invalid shm-size=%" PRIu64 ": use a "
                   "power of two from 1M to 1G", s->shm_size);
        return 0;
    }
    if (!s->shm_on || s->shm_size) {
        return s->shm_size;
    }
    return MIN(MAX(pow2ceil(cpus * SHM_SIZE_CPU), DDEBUG_LOG_SHM_SIZE_MIN),
               DDEBUG_LOG_SHM_SIZE_MAX);
}

/*
 * Shared rings are part of the file, so that a sync would write them as well,
 * and a vCPU might wait for that when it stores to them: off by default.
 */
static bool virtio_ddebug_choose_sync(VirtIODDebug *s, Error **errp)
{
    if (s->sync_interval == SYNC_INTERVAL_UNSET) {
        s->sync_interval = s->shm_on ? 0 : SYNC_INTERVAL_DEFAULT;
    }
    if (s->sync_interval > DDEBUG_LOG_SYNC_INTERVAL_MAX) {
        error_setg(errp, "virtio-ddebug: invalid sync-interval=%" PRIu32 ": "
                   "use 1 to %u seconds, or 0 to leave syncing to the host's "
                   "kernel", s->sync_interval, DDEBUG_LOG_SYNC_INTERVAL_MAX);
        return false;
    }
    return true;
}

DdebugLog *virtio_ddebug_open_log(VirtIODDebug *s, Error **errp)
{
    ERRP_GUARD();
    gid_t gid;
    DdebugLogInfo info = {
        .vm_name = qemu_get_vm_name(),
        .vm_uuid = qemu_uuid_set ? qemu_uuid.data : NULL,
        .writer = "virtio-ddebug " DDEBUG_VERSION ", QEMU " QEMU_VERSION,
        .file_group = s->file_group ? &gid : NULL,
        .shm_size = virtio_ddebug_shm_size(s, errp),
        .shm_exact = s->shm_size != 0,
    };
    const uint64_t size = s->size == SIZE_UNSET ? 0 : s->size;
    g_autoptr(GError) error = NULL;
    DdebugLog *log;

    if (*errp) {
        return NULL;
    }
    if (!s->file || !*s->file) {
        error_setg(errp, "virtio-ddebug: property 'file' is not set: name the "
                   "log file, e.g. file=/var/log/vm.ddl");
        return NULL;
    }
    if (s->size == 0) {
        error_setg(errp, "virtio-ddebug: invalid size=0: a log needs at least "
                   "1M");
        return NULL;
    }
    if (!virtio_ddebug_choose_sync(s, errp)) {
        return NULL;
    }
    if ((s->file_mode &&
         !virtio_ddebug_parse_mode(s->file_mode, &info.file_mode, errp)) ||
        (s->file_group &&
         !virtio_ddebug_parse_group(s->file_group, &gid, errp))) {
        return NULL;
    }
    if (s->guest_size_max &&
        !ddebug_log_check_size(s->guest_size_max, &error)) {
        error_setg(errp, "virtio-ddebug: guest-size-max: %s", error->message);
        return NULL;
    }
    /* before the file is touched */
    if (s->guest_size_max && s->guest_size_max < size) {
        error_setg(errp, "virtio-ddebug: guest-size-max=%" PRIu64 " is below "
                   "the log's size, %" PRIu64 ", which the guest cannot "
                   "reduce: increase guest-size-max, or set a smaller size",
                   s->guest_size_max, size);
        return NULL;
    }
    log = ddebug_open(s->file, size, &info, s->shm_on ? &s->shm : NULL,
                      DEVICE(s)->hotplugged ? HOTPLUG_TIMEOUT_MS : -1, errp);
    if (!log) {
        return NULL;
    }
    if (s->guest_size_max && s->guest_size_max < ddebug_log_planned_size(log)) {
        error_setg(errp, "virtio-ddebug: guest-size-max=%" PRIu64 " is below "
                   "the log's size, %" PRIu64 ", which the guest cannot "
                   "reduce: increase guest-size-max, or set a smaller size",
                   s->guest_size_max, ddebug_log_planned_size(log));
        ddebug_log_close(log);
        g_clear_pointer(&s->shm, ddebug_shm_unref);
        return NULL;
    }
    ddebug_log_set_mode(log, s->mode);
    s->size = ddebug_log_planned_size(log);
    return log;
}

/* Properties that are set before realize */

static const Property virtio_ddebug_qdev_properties[] = {
    DEFINE_PROP_STRING("file", VirtIODDebug, file),
    /* no default: a log keeps its size, which ddebug-host may have changed */
    DEFINE_PROP_UNSIGNED_NODEFAULT("size", VirtIODDebug, size, qdev_prop_size,
                                   uint64_t),
    DEFINE_PROP_STRING("file-mode", VirtIODDebug, file_mode),
    DEFINE_PROP_STRING("file-group", VirtIODDebug, file_group),
    DEFINE_PROP_BOOL("kmsg", VirtIODDebug, kmsg, false),
    DEFINE_PROP_BOOL("notice", VirtIODDebug, notice, true),
    DEFINE_PROP_BOOL("log-id", VirtIODDebug, log_id, true),
    DEFINE_PROP_BOOL("freeze-on-panic", VirtIODDebug, freeze_on_panic, true),
    /* the default depends on shm */
    DEFINE_PROP_UNSIGNED_NODEFAULT("sync-interval", VirtIODDebug,
                                   sync_interval, qdev_prop_uint32, uint32_t),
    DEFINE_PROP_BOOL("shm", VirtIODDebug, shm_on, false),
    DEFINE_PROP_SIZE("shm-size", VirtIODDebug, shm_size, 0),
    DEFINE_PROP_SIZE("guest-size-max", VirtIODDebug, guest_size_max, 0),
};

static const struct {
    const char *name;
    const char *description;
} virtio_ddebug_descriptions[] = {
    { "file", "log file, created if missing (required)" },
    { "size",
      "size limit of the log file in bytes, 1M to 1T (default: keep the size "
      "of an existing log; 16M for a new one)" },
    { "file-mode",
      "permissions of the log file, 0600 to 0664 (default: keep those of an "
      "existing file; 0600 for a new one)" },
    { "file-group",
      "group of the log file, a name or number (default: unchanged)" },
    { "freeze-on-panic",
      "protect the messages that led to a guest panic, up to a quarter of the "
      "log, from being overwritten (default: on)" },
    { "kmsg",
      "record the guest's kernel log as well, in order with the messages "
      "(default: off)" },
    { "sync-interval",
      "seconds within which what was written to the log is synced to the disk, "
      "1 to 3600; 0: it is left to the host's kernel (default: 5; 0 with "
      "shm=on)" },
    { "notice",
      "let the guest report an oops or a panic at once (default: on)" },
    { "log-id",
      "let the guest know which log it writes to, so that it does not record its "
      "kernel log twice (default: on)" },
    { "shm",
      "place the guest's rings in the log file, so that nothing is lost even "
      "if QEMU is killed (default: off)" },
    { "shm-size",
      "bytes of the log file for shared rings, a power of two, 1M to 1G "
      "(default: keep the size in an existing log; 512K per possible CPU for a "
      "new one)" },
    { "guest-size-max",
      "let the guest resize its log, from its configured size up to this many "
      "bytes (default: 0, not allowed)" },
};

/*
 * Properties that may be set or read while the VM runs.  A setter leaves the
 * value to the drain thread, so that it never waits for the disk.
 */

static const char *const virtio_ddebug_modes[] = {
    [DDEBUG_LOG_OVERWRITE] = "overwrite",
    [DDEBUG_LOG_DROP] = "drop",
};

static const QEnumLookup virtio_ddebug_mode_lookup = {
    .array = virtio_ddebug_modes,
    .size = ARRAY_SIZE(virtio_ddebug_modes),
};

static void virtio_ddebug_update_policy(VirtIODDebug *s)
{
    if (s->drain) {
        ddebug_drain_set_policy(s->drain, s->mode, s->rate_limit);
    }
}

static void virtio_ddebug_get_counters(VirtIODDebug *s,
                                       DdebugCounters *counters)
{
    memset(counters, 0, sizeof(*counters));
    if (s->drain) {
        ddebug_drain_counters(s->drain, counters);
    }
}

static void virtio_ddebug_get_mode(Object *obj, Visitor *v, const char *name,
                                   void *opaque, Error **errp)
{
    int mode = VIRTIO_DDEBUG(obj)->mode;

    visit_type_enum(v, name, &mode, &virtio_ddebug_mode_lookup, errp);
}

static void virtio_ddebug_set_mode(Object *obj, Visitor *v, const char *name,
                                   void *opaque, Error **errp)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(obj);
    int mode;

    if (!visit_type_enum(v, name, &mode, &virtio_ddebug_mode_lookup, errp)) {
        return;
    }
    s->mode = mode;
    virtio_ddebug_update_policy(s);
}

static void virtio_ddebug_get_rate_limit(Object *obj, Visitor *v,
                                         const char *name, void *opaque,
                                         Error **errp)
{
    uint64_t value = VIRTIO_DDEBUG(obj)->rate_limit;

    visit_type_size(v, name, &value, errp);
}

static void virtio_ddebug_set_rate_limit(Object *obj, Visitor *v,
                                         const char *name, void *opaque,
                                         Error **errp)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(obj);
    uint64_t value;

    if (!visit_type_size(v, name, &value, errp)) {
        return;
    }
    if (value > DDEBUG_LOG_RATE_MAX) {
        error_setg(errp, "virtio-ddebug: invalid rate-limit=%" PRIu64 ": use "
                   "at most 1T bytes per second, or 0 for no limit", value);
        return;
    }
    s->rate_limit = value;
    virtio_ddebug_update_policy(s);
}

static void virtio_ddebug_get_log_size(Object *obj, Visitor *v,
                                       const char *name, void *opaque,
                                       Error **errp)
{
    DdebugCounters counters;

    virtio_ddebug_get_counters(VIRTIO_DDEBUG(obj), &counters);
    visit_type_size(v, name, &counters.log_size, errp);
}

static void virtio_ddebug_set_log_size(Object *obj, Visitor *v,
                                       const char *name, void *opaque,
                                       Error **errp)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(obj);
    g_autoptr(GError) error = NULL;
    uint64_t value;

    if (!visit_type_size(v, name, &value, errp)) {
        return;
    }
    if (!s->drain) {
        error_setg(errp, "virtio-ddebug: log-size can only be set once the "
                   "device has opened its log: set size instead");
        return;
    }
    if (!ddebug_log_check_size(value, &error)) {
        error_setg(errp, "virtio-ddebug: log-size: %s", error->message);
        return;
    }
    ddebug_drain_resize(s->drain, value);
}

static void virtio_ddebug_get_resize_status(Object *obj, Visitor *v,
                                            const char *name, void *opaque,
                                            Error **errp)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(obj);
    g_autofree char *status = s->drain ? ddebug_drain_resize_status(s->drain) :
                                         g_strdup("none");

    visit_type_str(v, name, &status, errp);
}

static void virtio_ddebug_get_file_status(Object *obj, Visitor *v,
                                          const char *name, void *opaque,
                                          Error **errp)
{
    VirtIODDebug *s = VIRTIO_DDEBUG(obj);
    g_autofree char *why = NULL, *status = NULL;

    if (!s->drain) {
        status = g_strdup("none");
    } else {
        switch (ddebug_drain_file_state(s->drain, &why)) {
        case DDEBUG_FILE_OPENING:
            status = g_strdup("opening");
            break;
        case DDEBUG_FILE_OPEN:
            status = g_strdup("open");
            break;
        case DDEBUG_FILE_FAILED:
            status = g_strdup_printf("failed: %s", why);
            break;
        }
    }
    visit_type_str(v, name, &status, errp);
}

static void virtio_ddebug_get_kicks(Object *obj, Visitor *v, const char *name,
                                    void *opaque, Error **errp)
{
    uint64_t value = VIRTIO_DDEBUG(obj)->kicks;

    visit_type_uint64(v, name, &value, errp);
}

typedef struct VirtIODDebugProperty {
    const char *name;
    const char *type;
    ObjectPropertyAccessor *get;
    ObjectPropertyAccessor *set;    /* NULL: read-only */
    size_t counter;             /* offset in DdebugCounters, for get_counter */
    const char *description;
} VirtIODDebugProperty;

static void virtio_ddebug_get_counter(Object *obj, Visitor *v,
                                      const char *name, void *opaque,
                                      Error **errp)
{
    const VirtIODDebugProperty *property = opaque;
    DdebugCounters counters;

    virtio_ddebug_get_counters(VIRTIO_DDEBUG(obj), &counters);
    visit_type_uint64(v, name,
                      (uint64_t *)((char *)&counters + property->counter),
                      errp);
}

#define COUNTER(name, field, description) \
    { name, "uint64", virtio_ddebug_get_counter, NULL, \
      offsetof(DdebugCounters, field), "read-only: " description }

static const VirtIODDebugProperty virtio_ddebug_properties[] = {
    { "mode", "VirtIODDebugMode", virtio_ddebug_get_mode,
      virtio_ddebug_set_mode, 0,
      "what to do when the log is full: overwrite (the oldest messages; "
      "default) or drop (new messages, keeping the oldest)" },
    { "rate-limit", "size", virtio_ddebug_get_rate_limit,
      virtio_ddebug_set_rate_limit, 0,
      "bytes per second that may be written to the log, with bursts of one "
      "second's worth, at least 256K (default: 0, no limit)" },
    { "log-size", "size", virtio_ddebug_get_log_size,
      virtio_ddebug_set_log_size, 0,
      "bytes of the log file; set it while the VM runs to resize the file, "
      "then see resize-status" },
    { "resize-status", "string", virtio_ddebug_get_resize_status, NULL, 0,
      "read-only: result of setting log-size: none, pending, done or "
      "failed: REASON" },
    { "file-status", "string", virtio_ddebug_get_file_status, NULL, 0,
      "read-only: none, opening, open, or failed: REASON" },
    { "kicks", "uint64", virtio_ddebug_get_kicks, NULL, 0,
      "read-only: notifications from the driver for its streams" },
    COUNTER("wakeups", wakeups, "wakeups of the drain thread"),
    COUNTER("passes", passes, "scans of all streams that found something"),
    COUNTER("chunks", chunks, "chunks of messages written to the log"),
    COUNTER("bytes", bytes, "bytes of messages written to the log"),
    COUNTER("io-lost", io_lost, "bytes that could not be written to the log"),
    COUNTER("full-lost", full_lost,
            "bytes dropped because the log was full (mode=drop)"),
    COUNTER("rate-lost", rate_lost, "bytes lost because of rate-limit"),
    COUNTER("syncs", syncs, "syncs of the log to the disk"),
    COUNTER("sync-errors", sync_errors,
            "syncs that failed: the log says which chunks may be missing"),
    COUNTER("bql-bytes", bql_bytes,
            "bytes of rings copied with QEMU's big lock held"),
    COUNTER("memory-errors", memory_errors,
            "streams given up because a page of them could not be accessed"),
    COUNTER("streams", streams, "streams currently posted by the driver"),
};

void virtio_ddebug_init_properties(VirtIODDebug *s)
{
    s->size = SIZE_UNSET;
    s->sync_interval = SYNC_INTERVAL_UNSET;
}

void virtio_ddebug_add_properties(ObjectClass *klass)
{
    size_t i;

    device_class_set_props(DEVICE_CLASS(klass), virtio_ddebug_qdev_properties);
    for (i = 0; i < ARRAY_SIZE(virtio_ddebug_descriptions); i++) {
        object_class_property_set_description(
            klass, virtio_ddebug_descriptions[i].name,
            virtio_ddebug_descriptions[i].description);
    }
    for (i = 0; i < ARRAY_SIZE(virtio_ddebug_properties); i++) {
        const VirtIODDebugProperty *p = &virtio_ddebug_properties[i];

        object_class_property_add(klass, p->name, p->type, p->get, p->set,
                                  NULL, (void *)p);
        object_class_property_set_description(klass, p->name, p->description);
    }
}

void virtio_ddebug_alias_properties(Object *proxy, VirtIODDebug *s)
{
    size_t i;

    for (i = 0; i < ARRAY_SIZE(virtio_ddebug_properties); i++) {
        const char *name = virtio_ddebug_properties[i].name;

        if (!object_property_find(proxy, name)) {
            object_property_add_alias(proxy, name, OBJECT(s), name);
        }
    }
}
