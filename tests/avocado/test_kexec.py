# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that a panicking kernel's messages are complete before its capture kernel takes over the
machine, that the capture kernel, with a driver of its own, does not overwrite them, and that a
kernel which hands over by kexec sends its messages to the end and takes its rings back before the other
kernel runs.  Both kernels are the stock one."""

import re

from ddebug.death import DEVICE_SHUTDOWN, DIE, DeathTest
from ddebug.guest import Log, chosen_kernel, initrd
from ddebug.logfile import KMSG_PANIC
from ddebug.memory import Memory

SIZE = 8 << 20
CRASHKERNEL = 256
TROUBLE = r"BUG:|WARNING:|Oops|general protection"


class Kexec(DeathTest):
    timeout = 500

    def boot_with_another(self, append="", props="", **options):
        """A guest that has a kernel and an image to load as files, and their kernel parameters."""
        guest = self.guest_in_file(
            memory=1024, append=append, props=f"size={SIZE}{props}", **options,
            args=[word for file in (chosen_kernel()["image"], initrd())
                  for word in ("-drive", f"file={file},format=raw,if=virtio,readonly=on")])
        # the full-sized kernel log does not fit the reserved memory
        words = re.sub(rf"{append}|log_buf_len=\S+ ", "", guest.kernel_command_line())
        guest.boot()
        guest.must("modprobe virtio_blk; until [ -b /dev/vdb ]; do sleep 0.1; done; "
                   "cp /dev/vda /tmp/kernel; cp /dev/vdb /tmp/initrd")
        return guest, f"/tmp/kernel /tmp/initrd '{words}'"

    def fill(self, guest, times):
        """Let all CPUs log until the log would have been filled this often."""
        self.start_load(guest)
        end = guest.counter("bytes") + times * SIZE
        self.until("the log is full", lambda: guest.counter("bytes") >= end)

    def test_a_capture_kernel_leaves_the_crashed_ones_words(self):
        guest, files = self.boot_with_another(f"crashkernel={CRASHKERNEL}M ")
        log = Log(guest.log_file)
        guest.must(f"kexec crash {files[:-1]} nr_cpus=1 reset_devices'")
        self.start_load(guest)
        guest.send(f"echo panic-task > {DIE}")
        guest.wait_ready()
        # It runs in memory of its own, and the device does not know of it yet.
        died = Memory(self.ram)
        found = log.read()
        self.account(found, died, epoch=1)
        # if the bus of the device is built into the kernel, probing it resets the device
        events = [(name, args[0]) for name, args in found.events if name != "reset"]
        self.assertEqual(events[-1], ("notice", 3))
        words = self.last_words(found, KMSG_PANIC)
        for part in (b"Kernel panic - not syncing: ddebug_die: in a task", b"Call Trace:"):
            self.assertTrue([w for w in words if part in w], words)

        guest.must("test -s /proc/vmcore")
        guest.load_modules()
        self.fill(guest, 4)
        guest.command("stop")
        lives = Memory(self.ram)
        guest.command("quit")
        self.assertEqual(guest.wait(), 0)
        found = log.read()
        self.assertEqual(sorted(found.epochs), [1, 2])
        self.assertEqual([found.epochs[epoch]["cpus"] for epoch in (1, 2)], [2, 1])
        self.assertNotEqual(found.epochs[1]["boot_id"], found.epochs[2]["boot_id"])
        self.account(found, died, epoch=1)
        self.assertEqual(self.last_words(found, KMSG_PANIC), words)
        numbers = self.load_of(m for m in found.messages if m.epoch == 2)
        self.assertEqual(set(numbers), {0})
        self.assertIn(numbers[0][-1] + 1, (lives.committed[0], lives.committed[0] + 1))
        boots = log.tool("--list-boots").stdout.decode().splitlines()[1:]
        self.assertEqual([" panic, kdump " in line for line in boots], [True, False])
        self.assertEqual([re.sub("-", "", line.split()[1]) for line in boots],
                         [found.epochs[epoch]["boot_id"] for epoch in (1, 2)])

    def test_a_kernel_that_hands_over_takes_its_rings_back(self):
        # bound before the driver: the kernel starts with the devices that were bound last
        guest, files = self.boot_with_another(props=",kmsg=on", modules=("ddebug_die", "virtio_ddebug"))
        log = Log(guest.log_file)
        self.start_load(guest, "log-slowly")
        self.request(guest, "tell-shutdown")
        guest.send(f"kexec now {files}")
        guest.wait_ready()
        found = log.read()
        self.assertEqual(found.events[-1][0], "reset")
        self.assertEqual(len([m for m in found.messages if m.text == DEVICE_SHUTDOWN]), 1)
        self.assertEqual(len([m for m in found.messages if b"Starting new kernel" in m.text]), 1)
        load = [m for m in found.messages if m.kmsg is not None or b" of a load" in m.text]
        for cpu, numbers in self.load_of(load).items():
            self.assertEqual(numbers, list(range(len(numbers))), f"CPU {cpu}")
        before = len(found.messages)
        guest.load_modules()
        self.start_load(guest)
        self.assertNotRegex(guest.console(), TROUBLE)
        guest.command("quit")
        self.assertEqual(guest.wait(), 0)
        found = log.read()
        self.assertEqual(sorted(found.epochs), [1, 2])
        self.assertNotEqual(found.epochs[1]["boot_id"], found.epochs[2]["boot_id"])
        self.assertEqual(len([m for m in found.messages if m.epoch == 1]), before)
        self.assertEqual(guest.qemu_output(), "")
