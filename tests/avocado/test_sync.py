# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that what the device has synced survives a power loss of the host, and that a sync which fails
or hangs hurts nobody and is reported: in the log, by QEMU, by its counters and by the tool.

The disk is tests/faults/faultfs.c, which forgets what was not synced; there is no guest
(ddebug/hostile.py).
"""

import os
import struct

from ddebug.disk import FailingDisk
from ddebug.guest import GuestError, Log
from ddebug.hostile import Hostile

SEED = 20261130
SYNC_OFF = 16896


class Sync(FailingDisk, Hostile):
    timeout = 120

    def on_disk(self, props="size=4M,ioeventfd=off,sync-interval=1"):
        return self.machine(props, log=os.path.join(self.failing_disk(cache=True), "vm.ddl"))

    def says_and_drains(self, stream, count):
        for _ in range(count):
            self.says(stream, 4)
            stream.wait_consumed()

    def until_synced(self, machine):
        """Everything that is in the log now is on the disk."""
        # the second one has begun after this
        syncs = machine.counter("syncs")
        stream = self.stream
        for more in (1, 2):
            self.says_and_drains(stream, 1)
            self.until("it is synced", lambda more=more: machine.counter("syncs") >= syncs + more)
        self.assertEqual(machine.counter("sync-errors"), 0)

    def texts(self, path):
        shown = [line.text for line in Log(path).trace() if line.stamp is not None]
        return [text[text.index(b"good message"):] for text in shown]

    def test_power_loss(self):
        """A real disk would lose more in one place and less in another: so does the seed."""
        machine = self.on_disk()
        self.assertEqual(machine.counter("sync-interval"), 1)
        self.stream = self.good_stream(self.attached(machine))
        self.says_and_drains(self.stream, 40)
        promised = len(machine.texts)
        self.until_synced(machine)
        # of these, nobody knows
        self.says_and_drains(self.stream, 100)
        self.until("all is written", lambda: machine.counter("bytes") > 900 * (len(machine.texts) - 4))
        self.lose_power(SEED)
        machine.kill()
        path = os.path.join(self.durable, "vm.ddl")
        self.assertEqual(os.listdir(self.durable), ["vm.ddl"])
        found = self.texts(path)
        # no false text, and everything that was promised, in order
        self.assertEqual(set(found) - set(machine.texts), set())
        self.assertEqual(found[:promised], machine.texts[:promised])
        info = Log(path).tool("--info").stdout.decode()
        self.log.info("%s", info)
        self.assertIn("every 1 s", info)
        with open(path, "rb") as file:
            written = struct.unpack_from("<Q", file.read(), SYNC_OFF + 8)[0]
        self.assertIn(f" of {written}," if "missing that were written" in info else "synced:", info)
        # the next QEMU continues it
        again = self.machine("size=4M,ioeventfd=off", log=path)
        self.good_stream(self.attached(again))
        again.command("quit")
        self.assertEqual(again.wait(), 0, again.qemu_output())

    def test_sync_fails(self):
        machine = self.on_disk()
        self.stream = self.good_stream(self.attached(machine))
        self.says_and_drains(self.stream, 2)
        self.until_synced(machine)
        self.fault("sync-enospc")
        self.says_and_drains(self.stream, 60)
        self.until("it has failed", lambda: machine.counter("sync-errors") > 0)
        self.fault("ok")
        self.says_and_drains(self.stream, 2)
        machine.command("quit")
        self.assertEqual(machine.wait(), 0)
        output = machine.qemu_output()
        self.assertEqual(output.count("cannot sync"), 1, output)
        self.assertIn("No space left on device", output)
        self.assertEqual(len(output.splitlines()), 1, output)
        log = Log(machine.log_file)
        info = log.tool("--info").stdout.decode()
        self.log.info("%s", info)
        self.assertRegex(info, r"synced: .*, every 1 s, failed \d+ times")
        self.assertIn("chunks that the host's disk may not have taken", info)
        shown = log.tool("--trace").stdout.decode()
        self.assertIn("may not be on the host's disk: No space left on device", shown)
        # what vanished is counted, but for what the last sync took with it
        lost = int(log.info()["lost"])
        self.assertGreater(lost, 0)
        self.assertEqual(int(log.info()["received"]) + lost, len(machine.texts))

    def test_sync_hangs_at_exit(self):
        """QEMU waits 5 s.  (While a sync hangs here, FUSE lets nobody write: unit:test-disk.c does that.)"""
        machine = self.on_disk("size=4M,ioeventfd=off,sync-interval=3600")
        self.stream = self.good_stream(self.attached(machine))
        self.says_and_drains(self.stream, 2)
        self.assertEqual(machine.counter("syncs"), 0)
        self.fault("sync-block")
        machine.command("quit")
        self.until("QEMU has given up", lambda: "could not be synced within" in machine.qemu_output())
        self.fault("ok")
        self.assertEqual(machine.wait(), 0)
        self.assertEqual(len(machine.qemu_output().splitlines()), 1)
        self.tool_reads(machine)

    def test_read_errors(self):
        """A log that cannot be read is refused, by tool and device, with the reason."""
        machine = self.on_disk()
        self.good_stream(self.attached(machine))
        machine.command("quit")
        self.assertEqual(machine.wait(), 0)
        self.fault("read-eio")
        for options in ((), ("--info",), ("--list-boots",), ("--last-words",), ("--size=8M",), ("--clear",)):
            done = Log(machine.log_file).tool(*options, check=False)
            self.assertNotEqual(done.returncode, 0, options)
            self.assertIn(b"Input/output error", done.stderr, options)
            self.assertIn(b"vm.ddl", done.stderr, options)
        with self.assertRaisesRegex(GuestError, "cannot read .*vm.ddl.*Input/output error"):
            self.machine(log=machine.log_file)
        self.fault("ok")
        self.tool_reads(machine)
