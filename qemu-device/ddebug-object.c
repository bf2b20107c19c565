/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The entry of the loadable object: registers the types, once it is certain
 * that the QEMU it is in has the structures that it was compiled with.
 *
 * The loader (ddebug-loader.c) has chosen this object by QEMU's version, so a
 * refusal here means that a file was renamed, or that two builds of QEMU bear
 * the same version.
 */
#include "qemu/osdep.h"
#include "hw/boards.h"
#include "hw/virtio/virtio-pci.h"
#include "qapi/qapi-commands-control.h"
#include "qapi/qapi-types-control.h"
#include "qom/object.h"
#include "virtio-ddebug.h"

#ifndef DDEBUG_BUILT_FOR
#error "DDEBUG_BUILT_FOR: the version that QEMU names, with its package"
#endif

/**
 * virtio_ddebug_install: registers the device types.
 *
 * Returns: NULL, or why it did not: a message to be freed with g_free().
 */
__attribute__((visibility("default")))
char *virtio_ddebug_install(void);

static char *check_version(void)
{
    VersionInfo *v = qmp_query_version(NULL);
    g_autofree char *have = NULL;

    have = g_strdup_printf("%" PRId64 ".%" PRId64 ".%" PRId64 " (%s)",
                           v->qemu->major, v->qemu->minor, v->qemu->micro,
                           v->package);
    qapi_free_VersionInfo(v);
    if (strcmp(have, DDEBUG_BUILT_FOR)) {
        return g_strdup_printf("the object was built for QEMU %s, this is "
                               "QEMU %s", DDEBUG_BUILT_FOR, have);
    }
    return NULL;
}

static char *check_sizes(void)
{
    static const struct {
        const char *type;
        size_t size;
    } types[] = {
        { "device", sizeof(DeviceState) },
        { "machine", sizeof(MachineState) },
        { "pci-device", sizeof(PCIDevice) },
        { "virtio-device", sizeof(VirtIODevice) },
        { "virtio-pci", sizeof(VirtIOPCIProxy) },
        { "virtio-pci-bus", sizeof(VirtioBusState) },
    };
    size_t i;

    for (i = 0; i < ARRAY_SIZE(types); i++) {
        size_t size = object_type_get_instance_size(types[i].type);

        if (size != types[i].size) {
            return g_strdup_printf("the structure of a '%s' has %zu bytes in "
                                   "this QEMU and %zu in the object, which "
                                   "was built from other sources",
                                   types[i].type, size, types[i].size);
        }
    }
    return NULL;
}

char *virtio_ddebug_install(void)
{
    static bool installed;
    char *why = check_version();

    if (!why) {
        why = check_sizes();
    }
    /* the plugin may be named twice, the types exist once */
    if (!why && !installed) {
        virtio_ddebug_register();
        virtio_ddebug_pci_register();
        installed = true;
    }
    return why;
}
