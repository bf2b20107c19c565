# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that many readers of a flooded log each see all messages or an exact gap, and that consumers
share them without duplicate or loss.  The same without a guest, far faster: tests/readers."""

import re
import signal
import time

from ddebug.case import DdebugTest
from ddebug.guest import PATIENCE, parse_lines

NUMBERED = re.compile(rb"ddebug_test: t(\d+) n(\d+) ")
LOST = re.compile(rb"-- (\d+) messages? lost on cpu \d+, ")


class Readers(DdebugTest):
    timeout = 300

    def account(self, output, ended=True):
        """(the messages, how many are missing according to notices)"""
        lines = parse_lines(output)
        numbers = (NUMBERED.match(line.text) for line in lines)
        found = [(int(match.group(1)), int(match.group(2))) for match in numbers if match]
        notices = (LOST.match(line.raw) for line in lines)
        missing = sum(int(match.group(1)) for match in notices if match)
        self.assertEqual(len(found), len(set(found)), "a message was printed twice")
        if ended:
            self.assertEqual(len(found), sum(line.stamp is not None for line in lines))
        return found, missing

    def read(self, name):
        with open(self.scratch(name), "rb") as file:
            return file.read()

    def test_eight_readers_of_a_flooded_log(self):
        guest = self.boot(smp=2, modules=("virtio_ddebug", "ddebug_test"), props="size=2M")
        log = guest.log()
        guest.control("module ddebug_test +r")
        readers = {name: log.start(name[:-1], output=self.scratch(name))
                   for name in ("--follow0", "--follow1", "--follow2", "--pipe0", "--pipe1", "--pipe2")}
        guest.start_load("threads=4 count=100000")
        totals = [0, 0]
        while guest.numbers("/sys/kernel/debug/ddebug_test/status")["state"] != "done":
            # two at once: eight in all
            traces = [log.stream("--trace") for _ in range(2)]
            for i, trace in enumerate(traces):
                found, missing = self.account(trace.communicate()[0])
                self.assertEqual(trace.returncode, 0)
                self.assertGreaterEqual(len(found) + missing, totals[i])
                totals[i] = len(found) + missing
            time.sleep(0.5)
        log.settled()
        committed = guest.committed()
        self.assertEqual(committed, 400000)
        self.assertGreater(min(totals), 0)
        guest.kill()
        for reader in readers.values():
            self.assertEqual(reader.wait(PATIENCE), 0)
            self.assertEqual(reader.stderr.read(), b"")
        for i in range(3):
            found, missing = self.account(self.read(f"--follow{i}"))
            self.assertEqual(len(found) + missing, committed, f"--follow {i}")
        consumed = [self.account(self.read(f"--pipe{i}")) for i in range(3)]
        together = [message for found, _ in consumed for message in found]
        self.assertEqual(len(together), len(set(together)))
        self.assertEqual(len(together) + sum(missing for _, missing in consumed), committed)
        self.assertGreater(len(together), 10000)

    def test_a_consumer_killed_again_and_again_loses_nothing(self):
        guest = self.boot(smp=2, modules=("virtio_ddebug", "ddebug_test"), props="size=64M")
        log = guest.log()
        guest.control("module ddebug_test +r")
        guest.start_load("threads=4 count=20000 rate=4000")
        printed, again, runs = set(), 0, 0
        while True:
            name = f"run{runs}"
            consumer = log.start("--pipe", output=self.scratch(name))
            runs += 1
            done = guest.numbers("/sys/kernel/debug/ddebug_test/status")["state"] == "done"
            if done:
                break
            time.sleep(0.05 * (runs % 7))
            consumer.kill()
            self.assertEqual(consumer.wait(PATIENCE), -signal.SIGKILL)
        log.settled()
        guest.kill()
        self.assertEqual(consumer.wait(PATIENCE), 0)
        for run in range(runs):
            output = self.read(f"run{run}")
            found, missing = self.account(output, ended=False)
            self.assertEqual(missing, 0)
            repeated = [message for message in found if message in printed]
            again += len(repeated)
            # ddebug-host(1): one batch; a line has 40 bytes or more
            self.assertLessEqual(len(repeated), 65536 // 40 + 1)
            printed.update(found)
        self.log.info("%d runs, %d messages printed again", runs, again)
        self.assertEqual(len(printed), 80000)
        self.assertGreater(runs, 5)
