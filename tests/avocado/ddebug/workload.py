# SPDX-License-Identifier: GPL-2.0-or-later
"""Real work for guests, by stock drivers with many pr_debug() and dev_dbg() messages, and the devices
that they need."""

import os
import subprocess

from .guest import CONTROL


def make_squashfs(path, files=200):
    """Create an image of small files, the same each time."""
    tree = path + ".d"
    for i in range(files):
        os.makedirs(os.path.join(tree, f"d{i % 20}"), exist_ok=True)
        with open(os.path.join(tree, f"d{i % 20}", f"f{i}"), "wb") as file:
            file.write(b"%d hello " % i * (i * 50))
    if os.path.exists(path):
        os.unlink(path)
    subprocess.run(["mksquashfs", tree, path, "-quiet", "-no-progress", "-processors", "1"],
                   check=True, stdout=subprocess.DEVNULL)


def make_ext4(path):
    """Create an empty file system on a stick of 16 MiB."""
    with open(path, "wb") as file:
        file.truncate(16 << 20)
    sbin = "/sbin/mke2fs" if os.path.exists("/sbin/mke2fs") else "mke2fs"
    subprocess.run([sbin, "-q", "-t", "ext4", path], check=True)


def network_card():
    return ["-netdev", "user,id=net0", "-device", "e1000e,netdev=net0"]


def usb(stick):
    return ["-device", "qemu-xhci,id=xhci",
            "-drive", f"if=none,id=stick,format=raw,file={stick}",
            "-device", "usb-storage,bus=xhci.0,drive=stick",
            "-device", "usb-kbd,bus=xhci.0", "-device", "usb-tablet,bus=xhci.0",
            "-device", "usb-hub,bus=xhci.0"]


def squashfs_disk(image):
    return ["-drive", f"if=none,id=squash,format=raw,readonly=on,file={image}",
            "-device", "virtio-blk-pci,drive=squash"]


class Work:
    """modules: to be traced; script: the work; least: minimum of messages to expect."""

    def __init__(self, modules, script, least, interrupts=0):
        self.modules = modules.split()
        self.script = script
        self.least = least
        self.interrupts = interrupts

    def run(self, guest, flags):
        """Do it with these flags set from the loading of the modules on."""
        on = "; ".join(f"module {module} {flags}" for module in self.modules)
        # "load" is modprobe with the flags set from the first message
        return guest.must(
            f"set -e; echo '{on}' > {CONTROL}\n"
            f"load() {{ modprobe \"$@\" dyndbg={flags}; echo '{on}' > {CONTROL}; }}\n"
            + self.script, timeout=150)


NETWORK = Work("e1000e", """
    load e1000e
    ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0
    for i in 1 2 3 4 5 6 7 8; do ping -c 1 -W 1 10.0.2.2 > /dev/null && break; done
    ping -c 2 -W 2 10.0.2.2
    ip link set eth0 down
    rmmod e1000e""", 50)

USB = Work("usbcore xhci_hcd xhci_pci usb_storage usbhid", """
    load usbcore; load xhci_hcd; load usb_storage; load usbhid; load xhci_pci
    modprobe hid_generic; modprobe sd_mod; modprobe ext4
    for i in $(seq 40); do [ -b /dev/sda ] && break; sleep 0.25; done
    mount /dev/sda /mnt
    dd if=/dev/zero of=/mnt/file bs=4k count=200 2>&1
    umount /mnt
    echo 0 > /sys/bus/usb/devices/1-2/authorized
    rmmod usb_storage""", 200, interrupts=20)

SQUASHFS = Work("squashfs", """
    load squashfs; modprobe virtio_blk
    while [ ! -b /dev/vda ]; do sleep 0.1; done
    mount -r -t squashfs /dev/vda /mnt
    find /mnt -type f | sort | xargs cat | md5sum
    umount /mnt""", 5000)

SCTP = Work("sctp", "load sctp; sctp_echo 20", 800, interrupts=300)

FLASH = Work("ubi ubifs", """
    modprobe nandsim
    load ubi mtd=0
    mkubivol /dev/ubi0 volume 0x2000000
    load ubifs
    mount -t ubifs ubi0:volume /mnt
    dd if=/dev/zero of=/mnt/file bs=4k count=10 2>&1
    umount /mnt""", 3000)
