/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry point of the loadable object: registers the types after checking that
 * this QEMU's structures are those that the object was compiled with.
 *
 * The loader (ddebug-loader.c) chose the object by QEMU's version, so a
 * mismatch means that a file was renamed, that two builds of QEMU have the same
 * version, or that the object was built from slightly different sources: for
 * Debian's backports only the upstream sources may be available, without the
 * changes of the package, and the configure options of a private build are
 * unknown. Everything that can be compared is compared: the sizes of the types
 * that the device derives from and uses, and of their classes; the offsets of
 * fields that have a property; and the size of locks, which depends on a
 * configure option.
 */
#include "qemu/osdep.h"
#include "hw/boards.h"
#include "hw/virtio/virtio-pci.h"
#include "qapi/qapi-commands-control.h"
#include "qapi/qapi-types-control.h"
#include "qemu/thread.h"
#include "qom/object.h"
#include "ddebug-compat.h"
#include "virtio-ddebug.h"

#ifndef DDEBUG_BUILT_FOR
#error "define DDEBUG_BUILT_FOR: the version as printed by QEMU"
#endif

/**
 * virtio_ddebug_install: check this QEMU and register the device types
 *
 * Returns: NULL on success; otherwise an error message, to be freed with
 * g_free()
 */
__attribute__((visibility("default")))
char *virtio_ddebug_install(void);

/*
 * The start of QEMU's private struct TypeImpl in all versions so far;
 * check_probe() verifies it.
 */
typedef struct TypeHead {
    const char *name;
    size_t class_size;
    size_t instance_size;
} TypeHead;

/* A type with sizes that no other type has. */
#define TYPE_PROBE "virtio-ddebug-probe"
#define PROBE_CLASS_SIZE 12344
#define PROBE_SIZE 54320
QEMU_BUILD_BUG_ON(PROBE_CLASS_SIZE < sizeof(ObjectClass));
QEMU_BUILD_BUG_ON(PROBE_SIZE < sizeof(Object));

static const TypeInfo probe_info = {
    .name = TYPE_PROBE,
    .parent = TYPE_OBJECT,
    .abstract = true,
    .class_size = PROBE_CLASS_SIZE,
    .instance_size = PROBE_SIZE,
};

/* NULL: there is no such type. */
static const TypeHead *type_head(const char *name)
{
    ObjectClass *klass = object_class_by_name(name);

    return klass ? (const TypeHead *)klass->type : NULL;
}

static char *check_version(void)
{
    VersionInfo *v = qmp_query_version(NULL);
    const bool packaged = *v->package;
    g_autofree char *have = NULL;

    have = g_strdup_printf("%" PRId64 ".%" PRId64 ".%" PRId64 "%s%s%s",
                           v->qemu->major, v->qemu->minor, v->qemu->micro,
                           packaged ? " (" : "", v->package,
                           packaged ? ")" : "");
    qapi_free_VersionInfo(v);
    if (strcmp(have, DDEBUG_BUILT_FOR)) {
        return g_strdup_printf("the object was built for QEMU %s, but this is "
                               "QEMU %s", DDEBUG_BUILT_FOR, have);
    }
    return NULL;
}

/* Is the size of a type where TypeHead has it? */
static char *check_probe(void)
{
    static bool registered;
    const TypeHead *head;

    if (!registered) {
        type_register_static(&probe_info);
        registered = true;
    }
    head = type_head(TYPE_PROBE);
    if (!head || head->class_size != PROBE_CLASS_SIZE ||
        head->instance_size != PROBE_SIZE || strcmp(head->name, TYPE_PROBE)) {
        return g_strdup("cannot check the sizes of this QEMU's structures: it "
                        "describes types in an unknown way");
    }
    return NULL;
}

static char *check_sizes(void)
{
    static const struct {
        const char *type;
        size_t size;
        size_t class_size;
    } types[] = {
        { TYPE_OBJECT, sizeof(Object), sizeof(ObjectClass) },
        { TYPE_DEVICE, sizeof(DeviceState), sizeof(DeviceClass) },
        { TYPE_MACHINE, sizeof(MachineState), sizeof(MachineClass) },
        { TYPE_PCI_DEVICE, sizeof(PCIDevice), sizeof(PCIDeviceClass) },
        { TYPE_VIRTIO_DEVICE, sizeof(VirtIODevice),
          sizeof(VirtioDeviceClass) },
        { TYPE_VIRTIO_PCI, sizeof(VirtIOPCIProxy), sizeof(VirtioPCIClass) },
        { TYPE_VIRTIO_PCI_BUS, sizeof(VirtioPCIBusState),
          sizeof(VirtioPCIBusClass) },
    };
    size_t i;

    for (i = 0; i < ARRAY_SIZE(types); i++) {
        const TypeHead *head = type_head(types[i].type);

        if (!head) {
            return g_strdup_printf("this QEMU has no type '%s'",
                                   types[i].type);
        }
        if (head->instance_size != types[i].size ||
            head->class_size != types[i].class_size) {
            return g_strdup_printf("type '%s' has %zu bytes and its class %zu "
                                   "in this QEMU, but %zu and %zu in the "
                                   "object, which was built from different "
                                   "sources", types[i].type,
                                   head->instance_size, head->class_size,
                                   types[i].size, types[i].class_size);
        }
    }
    return NULL;
}

/* The offsets of fields, as known to the properties that set them. */
static char *check_offsets(void)
{
    static const struct {
        const char *type;
        const char *property;
        size_t offset;
    } fields[] = {
        { TYPE_PCI_DEVICE, "addr", offsetof(PCIDevice, devfn) },
        { TYPE_PCI_DEVICE, "multifunction", offsetof(PCIDevice, cap_present) },
        { TYPE_PCI_DEVICE, "acpi-index", offsetof(PCIDevice, acpi_index) },
        { TYPE_VIRTIO_DEVICE, "event_idx",
          offsetof(VirtIODevice, host_features) },
        { TYPE_VIRTIO_DEVICE, "use-started",
          offsetof(VirtIODevice, use_started) },
        { TYPE_VIRTIO_DEVICE, "x-disable-legacy-check",
          offsetof(VirtIODevice, disable_legacy_check) },
        { TYPE_VIRTIO_PCI, "page-per-vq", offsetof(VirtIOPCIProxy, flags) },
        { TYPE_VIRTIO_PCI, "x-ignore-backend-features",
          offsetof(VirtIOPCIProxy, ignore_backend_features) },
    };
    size_t i;

    for (i = 0; i < ARRAY_SIZE(fields); i++) {
        ObjectProperty *prop = object_class_property_find(
            object_class_by_name(fields[i].type), fields[i].property);
        const Property *field = prop ? prop->opaque : NULL;

        if (!field || strcmp(field->name, fields[i].property) ||
            field->offset != fields[i].offset) {
            return g_strdup_printf("property '%s' of '%s' is not at offset %zu "
                                   "as in the object, which was built from "
                                   "different sources", fields[i].property,
                                   fields[i].type, fields[i].offset);
        }
    }
    return NULL;
}

/* Locks are larger if QEMU was configured with --enable-debug-mutex. */
static char *check_locks(void)
{
    struct {
        QemuMutex mutex;
        char mutex_end[64];
        QemuCond cond;
        char cond_end[64];
    } s;
    char untouched[64];
    bool fit;

    memset(&s, 0xa5, sizeof(s));
    memset(untouched, 0xa5, sizeof(untouched));
    qemu_mutex_init(&s.mutex);
    qemu_cond_init(&s.cond);
    qemu_mutex_lock(&s.mutex);
    qemu_cond_signal(&s.cond);
    qemu_mutex_unlock(&s.mutex);
    fit = !memcmp(s.mutex_end, untouched, sizeof(untouched)) &&
          !memcmp(s.cond_end, untouched, sizeof(untouched));
    qemu_cond_destroy(&s.cond);
    qemu_mutex_destroy(&s.mutex);
    return fit ? NULL : g_strdup("locks are larger in this QEMU than in the "
                                 "object (--enable-debug-mutex?)");
}

char *virtio_ddebug_install(void)
{
    static char *(*const checks[])(void) = {
        check_version, check_probe, check_sizes, check_offsets, check_locks,
    };
    static bool installed;
    size_t i;

    for (i = 0; i < ARRAY_SIZE(checks); i++) {
        char *why = checks[i]();

        if (why) {
            return why;
        }
    }
    /* the plugin may be loaded twice, but types are registered once */
    if (!installed) {
        virtio_ddebug_register();
        virtio_ddebug_pci_register();
        installed = true;
    }
    return NULL;
}
