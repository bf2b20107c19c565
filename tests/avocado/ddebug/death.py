# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared by the tests of deaths: guests that log numbered messages and whose memory is a file of the
host, and the accounts of what their logs must have."""

import os
import random
import re
import shutil
import subprocess
import tempfile
import time

from .case import DdebugTest

DIE = "/sys/kernel/debug/ddebug_die/run"
LOAD = re.compile(rb"ddebug_die: c(\d+) n(\d+) of a load")
DEVICE_SHUTDOWN = b"ddebug_die: a device is shut down"
CORE_SHUTDOWN = b"ddebug_die: the core is shut down"


class DeathTest(DdebugTest):
    """`ram` is the memory file of the current or last guest."""

    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="ddebug-ram-", dir="/dev/shm")
        self.ram = os.path.join(self.folder, "ram")
        self.saved = os.path.join(self.folder, "saved")

    def tearDown(self):
        super().tearDown()
        # not by addCleanup(), which Avocado does not run
        shutil.rmtree(self.folder)

    # -- guests -------------------------------------------------------------

    def guest_in_file(self, memory=512, args=(), **options):
        """A guest of two CPUs with its memory in a file; not started yet."""
        if os.path.exists(self.ram):
            os.unlink(self.ram)
        options.setdefault("modules", ("virtio_ddebug", "ddebug_die"))
        return self.new_guest(smp=2, memory=memory, args=[
            "-object", f"memory-backend-file,id=ram,size={memory}M,mem-path={self.ram},share=on",
            "-machine", "memory-backend=ram",
            "-device", "pcie-root-port,id=port1,chassis=1", *args], **options)

    def restored(self, **options):
        """A guest restored after its boot, with the device plugged in."""
        if not os.path.exists(self.saved):
            guest = self.guest_in_file(log=None, load_plugin=True).boot()
            guest.save(self.saved)
            guest.close()
            os.rename(self.ram, self.saved + ".ram")
        guest = self.guest_in_file(log=None, load_plugin=True, **options)
        guest.log_file = None
        # memory that the guest has not touched stays a hole
        subprocess.run(["cp", "--sparse=always", self.saved + ".ram", self.ram], check=True)
        guest.restore(self.saved)
        guest.log_file = guest.path("ddebug.log")
        guest.plug("port1")
        return guest

    def start_load(self, guest, load="log"):
        """Let all CPUs log, for at least a random time."""
        guest.control("module ddebug_die +r")
        self.request(guest, load)
        time.sleep(random.uniform(0.05, 0.3))

    def request(self, guest, what):
        status, said = guest.write(DIE, what)
        self.assertEqual(status, 0, said)

    # -- accounts -----------------------------------------------------------

    def load_of(self, messages):
        """{cpu: numbers of the load's messages}.  Any other line that is not of the kernel's log is torn."""
        numbers = {}
        for message in messages:
            if message.kmsg is None:
                match = LOAD.fullmatch(message.text)
                self.assertTrue(match, f"torn: {message}")
                self.assertEqual((message.cpu, message.context), (int(match.group(1)), "task"))
                numbers.setdefault(message.cpu, []).append(int(match.group(2)))
        return numbers

    def is_there(self, found, memory, epoch=None):
        """Whether the log has everything that an epoch's rings had; by default of the newest epoch."""
        instance = found.instance(epoch)
        return all(found.ends.get((instance, stream), 0) == ring.head
                   for stream, ring in memory.streams.items())

    def account(self, found, memory, epoch=None, cut=False):
        """Check of an epoch, by default the newest, that each message known to be committed is in the
        log or reported lost; if it was cut, except for the last ones.  Return the counts."""
        instance = found.instance(epoch)
        numbers = self.load_of(m for m in found.messages if m.instance == instance)
        missing = 0
        reported = 0
        # a SIGKILL may cut the write of one chunk
        self.assertLessEqual(found.damaged, cut)
        self.assertEqual(found.skipped, 0)
        for cpu, committed in memory.committed.items():
            self.assertGreater(committed, 0, "not a test")
            got = numbers[cpu]
            self.assertEqual(got, sorted(set(got)))
            last = got[-1] + 1
            # one more may be committed than the CPU could report to the witness
            self.assertLessEqual(last, committed + 1)
            missing = max(missing, committed - last)
            lost = found.lost.get((instance, 4 * cpu), 0)
            # lines of the kernel's log may be among the lost
            self.assertLessEqual(last - len(got), lost, f"CPU {cpu}: committed {committed}")
            reported += lost
        if not cut:
            self.assertEqual(missing, 0, f"committed: {memory.committed}")
            # not only of the load
            self.assertTrue(self.is_there(found, memory, epoch))
        return {"sum_committed": sum(memory.committed.values()),
                "sum_received": sum(len(got) for got in numbers.values()),
                "sum_reported_lost": reported,
                **({"messages_missing_of_a_CPU": missing} if cut else {})}

    def delay_ms(self, found):
        """The time that the last messages of the CPUs took from the guest's clock to the disk, beyond
        what the fastest of all messages took, as the clocks have no common zero."""
        last, quickest = {}, None
        for message in found.messages:
            if message.kmsg is None:
                last[message.cpu] = message.written - message.time
                quickest = min(last[message.cpu], last[message.cpu] if quickest is None else quickest)
        return round((max(last.values()) - quickest) / 1e6, 2)

    def last_words(self, found, kind):
        return [m.text for m in found.messages if m.kmsg and m.kmsg & kind]
