# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that nothing polls: an idle guest costs neither a kick nor a wake-up of the device's thread,
a single message costs one kick, and a waiting tool makes no system call."""

import os
import re
import time

from ddebug.case import DdebugTest
from ddebug.guest import PATIENCE


class Idle(DdebugTest):
    timeout = 240

    def counters(self, guest):
        return {name: guest.counter(name) for name in ("kicks", "wakeups")}

    def threads(self, guest):
        """The host's figures of the device's threads: how often each slept, and its time on a CPU, ns."""
        found = {}
        for task in os.listdir(f"/proc/{guest.process.pid}/task"):
            folder = f"/proc/{guest.process.pid}/task/{task}"
            name = self.contents(f"{folder}/comm").strip()
            if name.startswith("ddebug-"):
                status = self.contents(f"{folder}/status")
                slept = re.search(r"^voluntary_ctxt_switches:\s+(\d+)$", status, re.M).group(1)
                found[name] = int(slept), int(self.contents(f"{folder}/schedstat").split()[0])
        self.assertEqual(set(found), {"ddebug-drain", "ddebug-sync"})
        return found

    def contents(self, path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    def test_without_r_there_is_no_kick_and_no_wake_up_in_a_minute(self):
        guest = self.boot(modules=("virtio_ddebug", "ddebug_test"))
        guest.control("module ddebug_test +r")
        guest.load("threads=2 count=1000")
        guest.control("module ddebug_test -r")
        # all of it is on the disk then
        time.sleep(guest.counter("sync-interval") + 3)
        before = self.counters(guest)
        self.assertGreater(before["kicks"], 0, "the counters count nothing: not a test")
        self.assertGreater(before["wakeups"], 0, "the counters count nothing: not a test")
        threads = self.threads(guest)
        self.assertGreater(min(min(figures) for figures in threads.values()), 0,
                           "the host counts nothing: not a test")
        guest.load("threads=2 count=100000")    # callsites without r do not matter
        guest.must("sleep 60", timeout=90)
        self.assertEqual(self.counters(guest), before)
        # not even a thread that counts nothing
        self.assertEqual(self.threads(guest), threads)

    def test_a_solitary_message_kicks_once(self):
        guest = self.boot(modules=("virtio_ddebug", "ddebug_test"))
        log = guest.log()
        guest.control("module ddebug_test +r")
        time.sleep(3)
        for number in range(5):
            kicks = guest.counter("kicks")
            seen = len(log.read().messages)
            guest.start_load("solitary")
            time.sleep(3)
            self.assertEqual(guest.counter("kicks"), kicks + 1, f"message {number}")
            self.assertEqual(len(log.read().messages), seen + 1)

    def test_with_r_and_no_message_the_device_looks_once_a_second_at_most(self):
        guest = self.boot(modules=("virtio_ddebug", "ddebug_test"))
        guest.control("module ddebug_test +r")
        time.sleep(3)
        begin, before = time.monotonic(), self.counters(guest)
        time.sleep(20)
        after, seconds = self.counters(guest), time.monotonic() - begin
        self.assertEqual(after["kicks"], before["kicks"])
        self.assertLessEqual(after["wakeups"] - before["wakeups"], seconds + 1)

    def test_a_waiting_tool_makes_no_system_call(self):
        guest = self.boot(modules=("virtio_ddebug", "ddebug_test"))
        log = guest.log()
        guest.control("module ddebug_test +r")
        tools = {}
        for option in ("--pipe", "--follow"):
            calls, output = self.scratch(f"strace{option}.txt"), self.scratch(f"output{option}.txt")
            process = log.start(option, output=output, wrapper=["strace", "-f", "-ttt", "-o", calls])
            tools[option] = (process, calls, output)
        guest.start_load("solitary")
        time.sleep(5)
        before = {option: self.lines(calls) for option, (_, calls, _) in tools.items()}
        # the device polls once a second, and writes nothing
        time.sleep(20)
        for option, (_, calls, _) in tools.items():
            self.assertGreater(len(before[option]), 20, "strace saw nothing: not a test")
            self.assertEqual(self.lines(calls)[len(before[option]):], [], f"{option} polls")
        guest.start_load("solitary")
        time.sleep(2)
        guest.kill()
        for process, _, output in tools.values():
            self.assertEqual(process.wait(PATIENCE), 0)
            with open(output, "rb") as file:
                said = re.findall(rb"ddebug_test: t900 n(\d+) solitary", file.read())
            self.assertEqual(said, [b"0", b"1"])

    def lines(self, path):
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
