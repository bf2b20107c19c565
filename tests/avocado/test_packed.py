# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that a packed record says what dmesg has, byte for byte, whatever the format: a module prints
with all flags, widths, precisions and sizes; that messages are packed where possible, also after a
module is reloaded; and that they are readable whatever becomes of the device."""

import collections

from ddebug.case import DRIVER, DdebugTest
from ddebug.guest import shown

ODD = "/sys/kernel/debug/ddebug_odd/run"
TRACE = "/sys/kernel/debug/dynamic_debug/trace"
PACKED = "/sys/module/ddebug_rb/parameters/packed"

# What the corner-case module prints as text, by function: too long, or not suited for packed
# records, or with formats that have changed.
TEXT_ONLY = {"odd_texts", "odd_pointers", "odd_change", "odd_buffer", "odd_own_buffer"}
# How many messages of these functions can be packed.
LEAST_PACKED = 0.9


class Packed(DdebugTest):
    timeout = 600

    def boot_odd(self):
        guest = self.boot(props="size=64M",
                          modules=("ddebug_rb rb_size_kb=16384", "virtio_ddebug"))
        guest.must("modprobe ddebug_odd")
        return guest

    def formats(self, guest, flags="pr"):
        """One run: the messages in the log, the texts in dmesg."""
        log = guest.log()
        guest.control(f"module ddebug_odd ={flags}")
        before, last = len(log.settled().messages), guest.kmsg()[-1].seq
        status, output = guest.write(ODD, "formats")
        self.assertEqual(status, 0, output)
        guest.control("module ddebug_odd =_")
        logged = sorted(log.settled().messages[before:], key=lambda m: m.time)
        printed = [r.text for r in guest.kmsg() if r.seq > last]
        ends = [at for at, text in enumerate(printed) if b"formats " in text]
        return logged, printed[ends[0]:ends[-1] + 1] if ends else []

    def assert_same(self, logged, printed):
        for number, (message, text) in enumerate(zip(logged, printed)):
            self.assertEqual(message.text, text, (number, message.packed, message.callsite.packed))
        self.assertEqual(len(logged), len(printed))

    def assert_packed(self, logged):
        text = collections.Counter(m.callsite.function for m in logged if not m.packed)
        self.log.info("as text: %s of %d", dict(text), len(logged))
        self.assertLessEqual(set(text), TEXT_ONLY)
        self.assertLess(text.total(), (1 - LEAST_PACKED) * len(logged))

    def assert_tool_shows(self, log):
        lines = log.trace("--quiet")
        self.assertEqual(collections.Counter((line.micros, line.text) for line in lines),
                         collections.Counter((m.time // 1000, shown(m.text)) for m in log.read().messages))

    def assert_trace_shows(self, guest):
        """The readers in the guest print the same lines."""
        told = guest.log().tool("--trace", "--quiet").stdout.decode()
        self.assertEqual(collections.Counter(guest.read(TRACE).splitlines()),
                         collections.Counter(told.splitlines()))

    def test_a_packed_record_says_what_dmesg_has(self):
        """
        :avocado: tags=smoke
        """
        guest = self.boot_odd()
        first, printed = self.formats(guest)
        self.assertGreater(len(printed), 3000, "not a test")
        self.assert_same(first, printed)
        second, printed = self.formats(guest)
        self.assert_same(second, printed)
        self.assert_packed(second)
        self.assertTrue(any(m.packed for m in second if m.callsite.function == "odd_change"))
        # with the flags' part before it
        flagged, printed = self.formats(guest, "prmfltl")
        self.assert_same(flagged, printed)
        self.assert_packed(flagged)

        guest.must(f"echo N > {PACKED}")
        texts, printed = self.formats(guest)
        self.assert_same(texts, printed)
        self.assertFalse([m for m in texts if m.packed])
        self.assertEqual([m.text for m in texts], [m.text for m in second])
        self.assert_tool_shows(guest.log())
        self.assert_trace_shows(guest)

    def test_modules_and_devices_come_and_go(self):
        guest = self.boot_odd()
        self.formats(guest, "r")
        for _ in range(3):
            guest.must("rmmod ddebug_odd; modprobe ddebug_odd")
            logged, printed = self.formats(guest)
            self.assert_same(logged, printed)
        logged, printed = self.formats(guest)
        self.assert_same(logged, printed)
        self.assert_packed(logged)

        guest.must(f"cd {DRIVER}; for d in virtio*; do echo $d > unbind; echo $d > bind; done")
        logged, printed = self.formats(guest)
        self.assert_same(logged, printed)
        self.assert_packed(logged)
        self.assert_tool_shows(guest.log())

    def test_messages_of_all_contexts_are_packed(self):
        """A callsite's format is learnt wherever it prints first, also in NMIs."""
        guest = self.boot_odd()
        log = guest.log()
        guest.must("modprobe ddebug_test")
        guest.control("module ddebug_test +pr")
        for context in ("nmi", "all"):
            before, last = len(log.settled().messages), guest.kmsg()[-1].seq
            guest.load(f"threads=1 count=128 context={context} shape=mixed")
            logged = sorted(log.settled().messages[before:], key=lambda m: m.time)
            # the kernel may report NMIs that took long
            self.assert_same(logged, [r.text for r in guest.kmsg()
                                      if r.seq > last and b"ddebug_test: " in r.text])
            self.assertEqual(len(logged), 128)
        self.assertEqual([m for m in logged if not m.packed], [])
        self.assertEqual({m.context for m in logged}, {"task", "softirq", "hardirq", "NMI"})

    def test_without_a_device_messages_are_text(self):
        """They would be read by a host that does not know their callsites."""
        guest = self.boot_odd()
        self.formats(guest, "r")
        devices = guest.must(f"cd {DRIVER}; ls -d virtio*").split()
        for device in devices:
            guest.must(f"echo {device} > {DRIVER}/unbind")
        guest.control("module ddebug_odd =r")
        guest.must(f"echo formats > {ODD}")
        before = guest.log().read()
        for device in devices:
            guest.must(f"echo {device} > {DRIVER}/bind")
        found = guest.log().settled().messages[len(before.messages):]
        self.assertGreater(len(found), 3000, "not a test")
        self.assertFalse([m for m in found if m.packed])
        self.assert_tool_shows(guest.log())
