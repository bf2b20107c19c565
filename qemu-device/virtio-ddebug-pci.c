/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-ddebug on PCI: "virtio-ddebug-pci", and "virtio-ddebug" for short.
 */
#include "qemu/osdep.h"
#include "hw/virtio/virtio-pci.h"
#include "qapi/error.h"
#include "qemu/module.h"
#include "ddebug-compat.h"
#include "virtio-ddebug.h"
#include "virtio-ddebug-props.h"

#define TYPE_VIRTIO_DDEBUG_PCI "virtio-ddebug-pci"
OBJECT_DECLARE_SIMPLE_TYPE(VirtIODDebugPCI, VIRTIO_DDEBUG_PCI)

/* virtio-pci uses this BAR with modern-pio-notify=on only. */
#define DDEBUG_SHM_BAR 2

/* configuration change, control queue, event queue: ring queues need none */
#define DDEBUG_VECTORS 3

struct VirtIODDebugPCI {
    VirtIOPCIProxy parent_obj;
    VirtIODDebug vdev;
};

static const Property virtio_ddebug_pci_properties[] = {
    DEFINE_PROP_BIT("ioeventfd", VirtIOPCIProxy, flags,
                    VIRTIO_PCI_FLAG_USE_IOEVENTFD_BIT, true),
    DEFINE_PROP_UINT32("vectors", VirtIOPCIProxy, nvectors, DDEBUG_VECTORS),
};

static void virtio_ddebug_pci_realize(VirtIOPCIProxy *vpci_dev, Error **errp)
{
    VirtIODDebugPCI *dev = VIRTIO_DDEBUG_PCI(vpci_dev);

    if (dev->vdev.shm_on &&
        vpci_dev->flags & VIRTIO_PCI_FLAG_MODERN_PIO_NOTIFY) {
        error_setg(errp, "virtio-ddebug: shm=on and modern-pio-notify=on need "
                   "the same BAR: remove one of them");
        return;
    }
    /* the default of machine types of QEMU 2.6 and older */
    if (vpci_dev->disable_modern) {
        error_setg(errp, "virtio-ddebug: the device has no legacy interface: "
                   "remove disable-modern=on, or use a machine type of QEMU "
                   "2.7 or later");
        return;
    }
    virtio_pci_force_virtio_1(vpci_dev);
    if (!qdev_realize(DEVICE(&dev->vdev), BUS(&vpci_dev->bus), errp)) {
        return;
    }
    if (dev->vdev.shm) {
        pci_register_bar(&vpci_dev->pci_dev, DDEBUG_SHM_BAR,
                         PCI_BASE_ADDRESS_MEM_PREFETCH |
                         PCI_BASE_ADDRESS_MEM_TYPE_64, &dev->vdev.shm_bar);
        virtio_pci_add_shm_cap(vpci_dev, DDEBUG_SHM_BAR, 0,
                               dev->vdev.shm->size, VIRTIO_DDEBUG_SHM_REGION);
    }
#ifdef DDEBUG_LOADABLE
    /*
     * Internally the device uses a virtio id that QEMU knows
     * (virtio_ddebug_init_id()); drivers see the one in the PCI device id.
     */
    pci_set_word(vpci_dev->pci_dev.config + PCI_DEVICE_ID,
                 PCI_DEVICE_ID_VIRTIO_10_BASE + VIRTIO_ID_DDEBUG);
#endif
}

static void virtio_ddebug_pci_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioPCIClass *k = VIRTIO_PCI_CLASS(klass);
    PCIDeviceClass *pcidev_k = PCI_DEVICE_CLASS(klass);

    k->realize = virtio_ddebug_pci_realize;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    dc->desc = "drains the guest's dynamic debug messages to a log file";
    device_class_set_props(dc, virtio_ddebug_pci_properties);
    object_class_property_set_description(
        klass, "ioeventfd",
        "handle the driver's notifications without blocking its CPU");
    object_class_property_set_description(
        klass, "vectors",
        "MSI-X vectors, for the configuration, the control queue and the event "
        "queue; ring queues need none");
    pcidev_k->vendor_id = PCI_VENDOR_ID_REDHAT_QUMRANET;
    pcidev_k->revision = VIRTIO_PCI_ABI_VERSION;
    pcidev_k->class_id = PCI_CLASS_OTHERS;
}

static void virtio_ddebug_pci_init(Object *obj)
{
    VirtIODDebugPCI *dev = VIRTIO_DDEBUG_PCI(obj);

    virtio_instance_init_common(obj, &dev->vdev, sizeof(dev->vdev),
                                TYPE_VIRTIO_DDEBUG);
    virtio_ddebug_alias_properties(obj, &dev->vdev);
}

static const VirtioPCIDeviceTypeInfo virtio_ddebug_pci_info = {
    .generic_name  = TYPE_VIRTIO_DDEBUG_PCI,
    .instance_size = sizeof(VirtIODDebugPCI),
    .instance_init = virtio_ddebug_pci_init,
    .class_init    = virtio_ddebug_pci_class_init,
};

static void virtio_ddebug_pci_register_types(void)
{
    virtio_pci_types_register(&virtio_ddebug_pci_info);
}

#ifdef DDEBUG_LOADABLE
/* A type, since the table of aliases (virtio-net etc.) is built into QEMU. */
static const TypeInfo virtio_ddebug_alias_info = {
    .name   = "virtio-ddebug",
    .parent = TYPE_VIRTIO_DDEBUG_PCI,
};

void virtio_ddebug_pci_register(void)
{
    virtio_ddebug_pci_register_types();
    type_register_static(&virtio_ddebug_alias_info);
}
#else
type_init(virtio_ddebug_pci_register_types)
#endif
