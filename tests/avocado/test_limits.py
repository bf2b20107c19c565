# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the log keeps to its limits while a guest floods it: the size, changed by QOM in both
directions; mode=drop, which retains the oldest; rate-limit; the file's mode and group; and that
somebody else's file is not used."""

import os
import re
import time

from ddebug.case import DEVICE, FloodTest
from ddebug.guest import Log

MIB = 1 << 20


class Limits(FloodTest):
    timeout = 300

    def test_the_size_follows_qom_and_tool_while_the_guest_floods(self):
        guest = self.flooded(0, props="size=16M")
        for size in (2, 24, 4, 33, 3, 16):
            self.set(guest, "log-size", size * MIB)
            self.until("it was resized", lambda: guest.counter("resize-status") == "done")
            self.assertTrue((size - 1) * MIB < guest.counter("log-size") <= size * MIB)
            self.assertEqual(os.stat(guest.log_file).st_size, guest.counter("log-size"))
            if size == 4:
                Log(guest.log_file).tool("--clear")
                Log(guest.log_file).tool("--size=8M")
                self.assertGreater(guest.counter("log-size"), 7 * MIB)
        with self.assertRaisesRegex(Exception, "too small"):
            self.set(guest, "log-size", 1000)
        with self.assertRaisesRegex(Exception, "too large"):
            self.set(guest, "log-size", 1 << 41)
        self.assertEqual(guest.counter("resize-status"), "done")
        # a valid size may still be impossible: segments of this log have 256 KiB
        self.set(guest, "log-size", MIB)
        self.until("it was refused", lambda: guest.counter("resize-status").startswith("failed: "))
        self.assertIn("too few", guest.counter("resize-status"))
        self.assertEqual(guest.qemu_output().count("log-size: "), 1, guest.qemu_output())
        self.account(guest, self.end(guest))

    def test_drop_keeps_the_oldest(self):
        # slow enough for the rings, however late the host polls
        guest = self.flooded(2000, props="size=1M,mode=drop")
        log = Log(guest.log_file)
        self.until("the log is full", lambda: guest.counter("full-lost") > 1000)
        found = log.read()
        streams = {}
        for message in found.messages:
            streams.setdefault(message.stream, []).append(message.number)
        # every slot is in use: how many messages that are depends on how many come in a chunk
        self.assertIn(b"7 of 128 KiB: 6 data, 1 dictionary, 0 cleared, 0 unused", log.tool("--info").stdout)
        for numbers in streams.values():
            self.assertEqual(numbers, list(range(len(numbers))))
        self.assertEqual(found.events[-1][0], "full-lost")
        text = log.tool("--trace").stdout
        self.assertIn(b"discarded: the log was full (mode=drop)", text)
        # it continues when it gets room, with the gap in its place
        self.set(guest, "log-size", 4 * MIB)
        self.until("there is room", lambda: guest.counter("resize-status") == "done")
        self.goes_on(guest)
        self.set(guest, "mode", "overwrite")
        self.set(guest, "log-size", 32 * MIB)
        self.until("there is room", lambda: guest.counter("resize-status") == "done")
        found, notices = self.account(guest, self.end(guest))
        self.assertTrue([n for n in notices if re.search(
            r"messages lost on cpu .*: the log was full \(mode=drop\)", n)])
        self.assertEqual(found.messages[0].number, 0)
        self.assertEqual(guest.command("qom-get", path=DEVICE, property="mode"), "overwrite")
        self.assertEqual(guest.qemu_output().count("is full and keeps its oldest"), 1)

    def test_the_rate_limit_holds_and_the_newest_are_kept(self):
        rate = 128 << 10
        guest = self.flooded(0, props=f"size=32M,rate-limit={rate}")
        begin = time.monotonic()
        chunks, first = guest.counter("chunks"), guest.counter("bytes")
        time.sleep(8)
        elapsed = time.monotonic() - begin
        written = guest.counter("bytes") - first + 128 * (guest.counter("chunks") - chunks)
        self.log.info("%d bytes in %.1f s", written, elapsed)
        self.assertLessEqual(written, rate * elapsed + (256 << 10) + (66 << 10))
        self.assertGreater(written, rate * elapsed / 4)
        self.assertGreater(guest.counter("rate-lost"), 0)
        sent = self.end(guest, more=0)
        self.set(guest, "rate-limit", 0)
        found, notices = self.account(guest, sent)
        # the last committed message is there
        self.assertEqual(found.committed, guest.committed())
        self.assertTrue([n for n in notices
                         if "lost on cpu" in n and "the log's rate limit was exceeded" in n])
        self.assertEqual(guest.qemu_output().count("more than rate-limit"), 1)
        with self.assertRaisesRegex(Exception, "at most 1T"):
            self.set(guest, "rate-limit", 1 << 41)

    def test_who_may_open_the_file(self):
        guest = self.new_guest(props="size=1M,file-mode=0640,file-group=adm")
        guest.launch()
        guest.connect_qmp()
        found = os.stat(guest.log_file)
        self.assertEqual((found.st_mode & 0o7777, found.st_uid, found.st_gid), (0o640, os.geteuid(), 4))
        guest.kill()
        for props, words in (("file-mode=0666", "0600 to 0664"), ("file-mode=0440", "0600 to 0664"),
                             ("file-mode=rw", "0600 to 0664"), ("file-mode=04600", "0600 to 0664"),
                             ("file-group=nobody-has-it", "no such group"), ("mode=keep", "mode"),
                             ("rate-limit=2T", "at most 1T"), ("log-size=1M", "set size")):
            other = self.new_guest(props=f"size=1M,{props}")
            other.launch()
            self.assertEqual(other.wait(), 1)
            self.assertIn(words, other.qemu_output())
            self.assertFalse(os.path.exists(other.log_file), props)

    def test_a_file_of_another_user_is_refused(self):
        if os.geteuid() != 0:
            self.cancel("giving a file to another user takes root")
        guest = self.new_guest(props="size=1M")
        open(guest.log_file, "wb").close()
        os.chown(guest.log_file, 65534, 65534)
        guest.launch()
        self.assertEqual(guest.wait(), 1)
        self.assertIn("belongs to the user with id 65534", guest.qemu_output())
        self.assertEqual(os.stat(guest.log_file).st_size, 0)
