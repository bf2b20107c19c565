# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that nothing that happens to the log file hurts a VM: while the file cannot be written, is
full, hangs, is truncated, removed or replaced, the guest floods on and QEMU answers; the error is
reported once; losses are counted; and when the fault ends the log continues, with the gap in its
place.

The failing disk is tests/faults/faultfs.c, the full one a small tmpfs; both are mounted where only
the test and its children see them, which needs root.
"""

import os
import time

from ddebug.case import FloodTest
from ddebug.disk import FailingDisk, mount
from ddebug.guest import Log

RATE = 10000


class Faults(FailingDisk, FloodTest):
    timeout = 400

    def flooded_on(self, disk, props="size=32M"):
        """A guest that logs without end to a file there."""
        guest = self.flooded(RATE, log=os.path.join(disk, "vm.ddl"), props=props)
        self.progress(guest)
        return guest

    def progress(self, guest, seconds=0.5):
        """Check that the guest logs on, and QEMU answers."""
        before = self.produced(guest)
        begin = time.monotonic()
        guest.command("query-status")
        guest.counter("io-lost")
        answered = time.monotonic() - begin
        time.sleep(seconds)
        self.assertGreater(self.produced(guest), before)
        # a machine may be busy, but not for as long as a disk hangs here
        self.assertLess(answered, 30)

    def said(self, guest, words):
        """Check that QEMU has reported it once, and nothing else."""
        output = guest.qemu_output()
        self.log.info("%s", output)
        for word in words:
            self.assertEqual(output.count(word), 1, output)
        self.assertEqual(len(output.splitlines()), len(words), output)

    def test_errors_of_the_disk(self):
        guest = self.flooded_on(self.failing_disk())
        for word in ("eio", "edquot", "erofs", "enospc"):
            before = guest.counter("io-lost")
            self.fault(word)
            self.until("it is counted", lambda: guest.counter("io-lost") > before)
            self.progress(guest)
            # the tool is told, and so is whoever asks QEMU
            done = Log(guest.log_file).tool("--size=64M", check=False, timeout=60)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(b"cannot be changed", done.stderr)
            self.set(guest, "log-size", 64 << 20)
            self.until("the resize has failed",
                       lambda: guest.counter("resize-status").startswith("failed: "))
            self.assertLess(guest.counter("log-size"), 33 << 20)
            self.fault("ok")
            self.goes_on(guest)
        self.set(guest, "log-size", 64 << 20)
        self.until("the log has its size", lambda: guest.counter("resize-status") == "done")
        self.assertGreater(guest.counter("log-size"), 63 << 20)
        found, notices = self.account(guest, self.end(guest))
        io_lost = [args for name, args in found.events if name == "io-lost"]
        self.assertGreaterEqual(len(io_lost), 4)
        self.assertEqual(sum(args[1] for args in io_lost), guest.counter("io-lost"))
        self.assertTrue([n for n in notices if "discarded: the host could not write the log" in n])
        self.assertTrue([n for n in notices if "lost on cpu" in n and "the host could not write them" in n])
        output = guest.qemu_output()
        self.assertEqual(output.count("cannot write"), 1 + output.count("log-size: cannot write"), output)

    def hang(self, seconds):
        guest = self.flooded_on(self.failing_disk())
        self.fault("block")
        time.sleep(1)
        chunks = guest.counter("chunks")
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            self.progress(guest, seconds=2)
            self.assertEqual(guest.counter("chunks"), chunks)
        # stopping the VM does not wait for the disk either
        guest.command("stop")
        guest.command("cont")
        self.fault("ok")
        self.goes_on(guest)
        _, notices = self.account(guest, self.end(guest))
        self.assertTrue([n for n in notices if "overwritten in the guest before the host read them" in n])
        return guest

    def test_a_disk_that_hangs_for_seconds(self):
        guest = self.hang(8)
        self.said(guest, ["s: the disk is slow or hung"])
        # If it hangs when QEMU ends, QEMU gives up; what is left of the process is the kernel's
        # call to the disk, which only the disk can end.
        guest.start_load(f"threads=2 count=1000000000 rate={RATE} shape=int3")
        self.fault("block")
        time.sleep(1)
        guest.command("quit")
        self.until("QEMU has given up", lambda: "the log could not be written within 5000 ms" in
                   guest.qemu_output())
        self.fault("ok")
        self.assertEqual(guest.wait(), 0)

    def test_a_disk_that_hangs_for_a_minute(self):
        """
        :avocado: tags=long
        """
        self.said(self.hang(60), ["s: the disk is slow or hung"])

    def test_a_disk_that_is_full(self):
        disk = self.folder("small")
        mount("small", disk, "tmpfs", data="size=6m")
        guest = self.flooded_on(disk, props="size=4M")
        # there is no room for more, and it keeps what it has
        self.set(guest, "log-size", 16 << 20)
        self.until("the resize has failed", lambda: guest.counter("resize-status").startswith("failed: "))
        self.assertIn("No space left on device", guest.counter("resize-status"))
        self.goes_on(guest)
        # the space that it has is taken away
        os.truncate(guest.log_file, 1 << 20)
        filler = os.path.join(disk, "filler")
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
        self.until("it is counted", lambda: guest.counter("io-lost") > 0)
        self.progress(guest, seconds=3)
        os.unlink(filler)
        self.goes_on(guest)
        self.until("the file is whole", lambda: os.stat(guest.log_file).st_size == guest.counter("log-size"))
        sent = self.end(guest)
        found, _ = self.account(guest, sent)
        self.assertGreater(found.total_lost, 0)
        output = guest.qemu_output()
        self.assertEqual(output.count("cannot write"), 1, output)
        self.assertLessEqual(output.count("was cut short"), 3, output)

    def test_a_file_that_is_cut_short_removed_or_replaced(self):
        folder = self.folder("plain")
        guest = self.flooded_on(folder)
        size = os.stat(guest.log_file).st_size

        # after the dictionary, which is written first
        os.truncate(guest.log_file, 2 << 20)
        self.until("the file is whole", lambda: os.stat(guest.log_file).st_size == size)
        self.goes_on(guest)
        self.progress(guest)

        # removing write permission does not affect an open file
        os.chmod(guest.log_file, 0o400)
        self.goes_on(guest)
        os.chmod(guest.log_file, 0o640)

        os.unlink(guest.log_file)
        self.until("there is a new one", lambda: os.path.exists(guest.log_file))
        self.goes_on(guest)
        self.assertEqual((os.stat(guest.log_file).st_size, os.stat(guest.log_file).st_mode & 0o777),
                         (size, 0o640))

        # a file that is not ours is left alone
        other = os.path.join(folder, "other")
        with open(other, "wb") as file:
            file.write(b"the only copy of a thesis")
        os.rename(other, guest.log_file)
        time.sleep(3)
        self.progress(guest)
        with open(guest.log_file, "rb") as file:
            self.assertEqual(file.read(), b"the only copy of a thesis")
        os.rename(guest.log_file, other)
        self.until("there is a new one", lambda: os.path.exists(guest.log_file))
        self.goes_on(guest)
        # requests reach the new one
        Log(guest.log_file).tool("--size=16M")
        found, _ = self.account(guest, self.end(guest))
        # it has its dictionary, and the numbers continue
        self.assertTrue(all(m.callsite for m in found.messages))
        self.assertGreater(found.total_lost, 0)
        output = guest.qemu_output()
        self.assertEqual((output.count("was cut short"), output.count("was replaced by another file"),
                          output.count("was removed; a new log was created")), (1, 1, 2), output)
        self.assertEqual(len(output.splitlines()), 4, output)
