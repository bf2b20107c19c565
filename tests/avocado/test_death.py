# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the last message lands, whatever the guest dies of: what its CPUs had committed
is known from the guest's memory, and all of it is in the log, or reported lost; that a
kernel which dies says so in its own words; and that the log says what happened.

DDEBUG_DEATHS is how often each kind of death is died (1)."""

import mmap
import os
import random
import re
import shutil
import struct
import tempfile
import time

from ddebug_guest import Log
from ddebug_logfile import KMSG_OOPS, KMSG_PANIC, KMSG_PAST
from ddebug_test import DdebugTest

DIE = "/sys/kernel/debug/ddebug_die/run"
DEATHS = int(os.environ.get("DDEBUG_DEATHS", "1"))
LOAD = re.compile(rb"ddebug_die: c(\d+) n(\d+) of a load")

# guest-driver/ddebug_die.c
WITNESS = struct.Struct("<QQQQQ")
WITNESS_MARK = 0x7769746e65737321
ALL_ONES = (1 << 64) - 1

# What ends QEMU by itself here, with -no-reboot and panic=-1.
PANICS = {"panic-task": "task", "panic-hardirq": "hardirq", "panic-nmi": "NMI"}


def witness(path):
    """{cpu: messages that it knows to be committed}, from the guest's memory in a file."""
    newest = None
    with open(path, "rb") as file, \
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        for at in range(0, len(memory), mmap.PAGESIZE):
            one, two, three, made, cpus = WITNESS.unpack_from(memory, at)
            if one and one ^ two == ALL_ONES and one ^ three == WITNESS_MARK and \
               (newest is None or made > newest[0]):
                counts = struct.unpack_from(f"<{cpus}Q", memory, at + WITNESS.size)
                newest = (made, dict(enumerate(counts)))
    return newest[1]


class Death(DdebugTest):
    timeout = 300 + 60 * DEATHS

    def setUp(self):
        super().setUp()
        self.memory = tempfile.mkdtemp(prefix="ddebug-ram-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, self.memory)

    def boot_logging(self, props="size=256M"):
        """A guest of two CPUs that log, with its memory in a file."""
        self.ram = os.path.join(self.memory, "ram")
        guest = self.boot(smp=2, memory=512, props=props, modules=("virtio_ddebug", "ddebug_die"), args=[
            "-object", f"memory-backend-file,id=ram,size=512M,mem-path={self.ram},share=on",
            "-machine", "memory-backend=ram"])
        guest.control("module ddebug_die +r")
        status, said = guest.write(DIE, "log")
        self.assertEqual(status, 0, said)
        time.sleep(random.uniform(0.1, 1))
        return guest

    def account(self, log, slack=0, rings=False):
        """Each message that is known to be committed is in the log, or reported lost. The
        last slack ones of a CPU may be missing: how many are."""
        found = log.read(rings)
        known = witness(self.ram)
        self.assertEqual(found.damaged + found.skipped, 0)
        numbers = {cpu: [] for cpu in known}
        for message in found.messages:
            if message.kmsg is None:
                match = LOAD.fullmatch(message.text)
                self.assertTrue(match, f"torn: {message}")
                self.assertEqual(message.cpu, int(match.group(1)))
                numbers[message.cpu].append(int(match.group(2)))
        worst = 0
        for cpu, committed in known.items():
            self.assertGreater(committed, 100, "not a test")
            got = numbers[cpu]
            self.assertEqual(got, sorted(set(got)))
            last = got[-1] + 1
            # one more may be committed than the CPU came to tell the witness of
            self.assertLessEqual(last, committed + 1)
            self.assertGreaterEqual(last, committed - slack)
            worst = max(worst, committed - last)
            lost = sum(count for (_, stream), count in found.lost.items() if stream == 4 * cpu)
            # lines of the kernel's log may be among those lost
            self.assertLessEqual(last - len(got), lost, f"CPU {cpu}: committed {committed}")
        self.log.info("committed %s, received %s, lost %s, at the end %d", known,
                      {cpu: len(got) for cpu, got in numbers.items()}, found.lost, worst)
        return found, worst

    def last_words(self, found, kind):
        return [m.text for m in found.messages if m.kmsg and m.kmsg & kind]

    def die(self, kind):
        """Of this, and be read out: the log's contents."""
        guest = self.boot_logging()
        guest.send(f"echo {kind} > {DIE}")
        if kind == "hang":
            # the device looks by itself once a second
            time.sleep(2.5)
            self.account(Log(guest.log_file))
            guest.command("quit")
        self.assertEqual(guest.wait(), 0)
        found, _ = self.account(Log(guest.log_file))
        guest.close()
        os.unlink(self.ram)
        return found

    def panic(self, kind):
        for _ in range(DEATHS):
            found = self.die(kind)
            words = self.last_words(found, KMSG_PANIC)
            why = b"Kernel panic - not syncing: ddebug_die: in a"
            self.assertTrue([w for w in words if why in w], words)
            self.assertTrue([w for w in words if b"Call Trace:" in w], words)
            context, = {m.context for m in found.messages if m.kmsg and m.kmsg & KMSG_PANIC}
            self.assertEqual(context, PANICS[kind])
            self.assertEqual([(name, args[0]) for name, args in found.events[-4:]],
                             [("notice", 2), ("shutdown", 5), ("stop", 2), ("close", 0)])

    def test_a_panic_of_a_task(self):
        """
        :avocado: tags=smoke
        """
        self.panic("panic-task")

    def test_a_panic_of_an_interrupt(self):
        self.panic("panic-hardirq")

    def test_a_panic_of_an_nmi(self):
        self.panic("panic-nmi")

    def test_a_triple_fault(self):
        for _ in range(DEATHS):
            found = self.die("triple-fault")
            self.assertEqual([name for name, _ in found.events[-3:]], ["shutdown", "stop", "close"])
            self.assertEqual(self.last_words(found, KMSG_PANIC), [])

    def test_all_cpus_hang(self):
        for _ in range(DEATHS):
            found = self.die("hang")
            self.assertEqual([(name, args[0]) for name, args in found.events[-3:]],
                             [("shutdown", 1), ("stop", 2), ("close", 0)])

    def test_the_reset_button(self):
        for _ in range(DEATHS):
            guest = self.boot_logging()
            guest.command("system_reset")
            self.assertEqual(guest.wait(), 0)
            found, _ = self.account(Log(guest.log_file))
            self.assertEqual([(name, args[0]) for name, args in found.events[-3:]],
                             [("shutdown", 5), ("stop", 2), ("close", 0)])

    def finish(self, guest):
        """The next QEMU opens the log, and ends."""
        heir = self.new_guest(log=guest.log_file, props="shm=on").launch()
        heir.connect_qmp()
        heir.command("quit")
        self.assertEqual(heir.wait(), 0)
        heir.close()

    def test_sigkill_of_qemu_with_shared_rings(self):
        """
        :avocado: tags=smoke
        """
        for death in range(DEATHS):
            # a device that keeps up, or one that may not: then the rings are full, and lapped
            guest = self.boot_logging("shm=on,size=256M" + (",rate-limit=64K" if death % 2 == 0 else ""))
            self.assertEqual(guest.stats()["shared"], 8)
            guest.kill()
            log = Log(guest.log_file)
            found, _ = self.account(log, rings=True)
            said = log.info()
            self.assertEqual(found.tail_lost, 0)
            self.assertEqual((said["received"], said["lost"]), (len(found.messages), found.total_lost))
            self.assertEqual(said.get("rings", 0), 1 << 20)
            printed = log.trace()
            self.assertEqual(sorted(line.text for line in printed if line.stamp),
                             sorted(m.text for m in found.messages))
            if death % 2 == 0:
                self.assertGreater(found.left, 1000)
            notices = [line.raw for line in printed if b"no checksum covers it" in line.raw]
            self.assertEqual(len(notices), found.left > 0)
            self.finish(guest)
            whole, _ = self.account(log)
            self.assertEqual([args[0] > 0 for name, args in whole.events if name == "recovered"],
                             [True] * (found.left > 0))
            self.assertEqual([(m.stream, m.number, m.text) for m in whole.messages],
                             [(m.stream, m.number, m.text) for m in found.messages])
            self.assertEqual(log.read(rings=True).left, 0)
            self.log.info("in the rings alone: %d", found.left)
            guest.close()
            os.unlink(self.ram)

    def test_an_oops_is_told_and_the_guest_goes_on(self):
        guest = self.boot_logging()
        status, said = guest.write(DIE, "oops")
        self.assertEqual(status, 0, said)
        log = Log(guest.log_file)
        deadline = time.monotonic() + 30
        while "notice" not in [name for name, _ in log.read().events] and time.monotonic() < deadline:
            time.sleep(0.1)
        words = self.last_words(log.read(), KMSG_OOPS)
        self.assertTrue([w for w in words if b"NULL pointer dereference" in w], words)
        self.assertTrue([w for w in words if b"end trace" in w], words)
        guest.send(f"echo panic-task > {DIE}")
        self.assertEqual(guest.wait(), 0)
        found, _ = self.account(log)
        self.assertEqual([args[0] for name, args in found.events if name == "notice"], [1, 2])
        self.assertTrue(self.last_words(found, KMSG_PANIC))

    def test_an_oops_that_is_a_panic(self):
        """The oops asks for a capture kernel before panic() has said why."""
        guest = self.boot_logging()
        guest.must("echo 1 > /proc/sys/kernel/panic_on_oops")
        guest.send(f"echo oops > {DIE}")
        self.assertEqual(guest.wait(), 0)
        found, _ = self.account(Log(guest.log_file))
        words = self.last_words(found, KMSG_PANIC)
        self.assertTrue([w for w in words if b"NULL pointer dereference" in w], words)
        self.assertTrue([w for w in words if b"Kernel panic - not syncing: Fatal exception" in w], words)
        self.assertEqual([args[0] for name, args in found.events if name == "notice"][-1], 2)

    def test_the_kernels_log_goes_along_in_order(self):
        guest = self.boot(props="kmsg=on", modules=("ddebug_test",))
        before = guest.kmsg()
        guest.must("modprobe virtio_ddebug")
        log = guest.log()
        guest.control("module ddebug_test +r")
        guest.must("for i in $(seq 20); do echo ddebug words $i > /dev/kmsg; "
                   "echo solitary > /sys/kernel/debug/ddebug_test/run; done")
        # recorded as a message, and not once more as a line
        guest.control("module ddebug_test +p")
        guest.load("threads=1 count=40 context=all shape=mixed")
        found = log.settled()
        texts = [(m.kmsg, m.text) for m in sorted(found.messages, key=lambda m: m.time)]
        past = [text for kmsg, text in texts if kmsg == KMSG_PAST]
        lines = [line for r in before for line in r.text.split(b"\n")]
        self.assertEqual([re.sub(rb"^\[ *\d+\.\d+\] ", b"", text) for text in past][:len(lines)], lines)
        said = [text for _, text in texts if text.startswith((b"ddebug words", b"ddebug_test: t900"))]
        self.assertEqual(said, [text for i in range(20) for text in (
            b"ddebug words %d" % (i + 1), b"ddebug_test: t900 n%d solitary" % i)])
        loaded = [text for kmsg, text in texts if b" t0 n" in text]
        self.assertEqual(len(loaded), 40)
        self.assertFalse([1 for kmsg, text in texts if b" t0 n" in text and kmsg is not None])
        self.assertEqual(found.total_lost, 0)
