# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the output is in the order of time, over CPUs and contexts, and that a message of a
virtual CPU that the host did not run, between its time and its commit, is printed where it arrives,
marked and counted."""

import os
import re
import tempfile
import time

from ddebug.case import DdebugTest
import ddebug.gdb
from ddebug.guest import PATIENCE, parse_lines

# The number of times that a CPU is held until the other can do without it, and the seconds without
# a message after which it cannot.
MOMENTS = 5
STANDSTILL = 20

LATE = re.compile(rb"-- late on cpu (\d+), task: "
                  rb"the next message is (\d+\.\d{6}) s older than one before it --")
# What may happen on a busy host, to the rings that are lapped first.
LOST = re.compile(rb"-- (\d+) messages? lost on cpu \d+, \w+: "
                  rb"overwritten in the guest before the host read them --")

NUMBERED = re.compile(rb"ddebug_test: t(\d+) n(\d+) ")


class Order(DdebugTest):
    timeout = 300

    def check(self, output, committed):
        """Check that each message is there or reported lost, and is marked if and only if a younger
        one came before it: the number of marks."""
        newest, marks, messages, mark = 0, [], 0, None
        for line in parse_lines(output):
            if line.stamp is None:
                lost = LOST.fullmatch(line.raw)
                if lost:
                    messages += int(lost.group(1))
                    continue
                mark = LATE.fullmatch(line.raw)
                self.assertTrue(mark, line.raw)
                marks.append((int(mark.group(1)), float(mark.group(2))))
                continue
            messages += 1
            # stamps are truncated to microseconds
            self.assertEqual(line.micros < newest, mark is not None and line.micros != newest, line.raw)
            newest, mark = max(newest, line.micros), None
        self.assertEqual(messages, committed)
        return marks

    def test_all_contexts_of_all_cpus_come_in_order(self):
        """
        :avocado: tags=smoke
        """
        guest = self.boot(smp=2, modules=("virtio_ddebug", "ddebug_test"), props="size=64M")
        log = guest.log()
        guest.control("module ddebug_test +r")
        guest.load("threads=4 count=2500 context=all shape=mixed rate=5000")
        log.settled()
        self.assertEqual(self.check(log.tool("--trace").stdout, guest.committed()), [])
        self.assertEqual(log.info()["late"], 0)

    def test_the_order_within_a_cpu_does_not_depend_on_its_clock(self):
        """Without a time stamp counter the clock is that of the ticks: many messages find it where the
        one before them did, whichever context that was in."""
        guest = self.boot(smp=1, modules=("virtio_ddebug", "ddebug_test"), props="size=64M",
                          args=["-cpu", "max,-tsc"])
        log = guest.log()
        guest.control("module ddebug_test +r")
        guest.load("threads=4 count=1000 context=all shape=int3 rate=8000")
        messages = sorted(log.settled().messages, key=lambda m: m.time)
        self.assertGreater(sum(b.time == a.time + 1 for a, b in zip(messages, messages[1:])), 1000,
                           "not a test: the clock moves between messages")
        output = log.tool("--trace").stdout
        self.assertEqual(self.check(output, guest.committed()), [])
        found = {}
        for thread, number in NUMBERED.findall(output):
            self.assertEqual(int(number), found.get(thread, 0), output)
            found[thread] = int(number) + 1
        self.assertEqual(list(found.values()), [1000] * 4)

    def test_a_message_of_a_cpu_that_was_held_back_is_marked_and_counted(self):
        # paths of test results are too long for a socket
        with tempfile.TemporaryDirectory() as folder:
            self.hold_back(os.path.join(folder, "gdb"))

    def newest(self, log):
        return max(message.time for message in log.read().messages)

    def runs_alone(self, log):
        """Whether a CPU logs while the other is held, for longer by the guest's clock than the tool
        waits for anybody.  It does not if it waits itself for the other one to answer an IPI."""
        before = newest = self.newest(log)
        deadline = time.monotonic() + STANDSTILL
        while newest < before + 2.5e9:
            time.sleep(0.2)
            now = self.newest(log)
            if now > newest:
                newest, deadline = now, time.monotonic() + STANDSTILL
            elif time.monotonic() > deadline:
                return False
        return True

    def hold_back(self, socket):
        guest = self.boot(smp=2, modules=("virtio_ddebug", "ddebug_test"), props="size=64M",
                          args=ddebug.gdb.GdbServer.option(socket))
        log = guest.log()
        guest.control("module ddebug_test +r")
        # its text is made, its time was taken before that
        commit = int(guest.must("grep ' ddebug_slot_commit' /proc/kallsyms").split()[0], 16)
        follow = log.start("--follow", output=self.scratch("follow"))
        guest.start_load("threads=4 count=100000 rate=2000")
        self.until("the guest logs", lambda: log.read().messages)
        gdb = ddebug.gdb.connect(socket)
        for _ in range(MOMENTS):
            held = gdb.stop_at(commit)
            gdb.run_only(1 - held)
            runs = self.runs_alone(log)
            gdb.stop()
            if runs:
                break
            gdb.run_all(0.5)
        self.assertTrue(runs, "the other virtual CPU does not run")
        gdb.close()
        guest.must("echo > /sys/kernel/debug/ddebug_test/stop")
        log.settled()
        committed = guest.committed()
        marks = self.check(log.tool("--trace").stdout, committed)
        self.assertEqual([cpu for cpu, _ in marks], [held])
        self.assertGreater(marks[0][1], 1)
        self.assertLess(marks[0][1], 60)
        self.assertEqual(log.info()["late"], 1)
        guest.kill()
        self.assertEqual(follow.wait(PATIENCE), 0)
        with open(self.scratch("follow"), "rb") as file:
            marks = self.check(file.read(), committed)
        self.assertIn(held, [cpu for cpu, seconds in marks if seconds > 1])
