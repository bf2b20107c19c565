# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that with kmsg=on each line of the kernel's log is in the log once: when a driver takes up its
device again, and at a panic.  Another log gets all of the kernel's."""

import collections
import re

from ddebug.case import DRIVER
from ddebug.death import DIE, DeathTest
from ddebug.guest import Log
from ddebug.logfile import KMSG_PANIC, KMSG_PAST


class KernelLog(DeathTest):

    def lines(self, messages):
        """How often the log has each line of the kernel's log, without the stamps of copies."""
        return collections.Counter(re.sub(rb"^\[ *\d+\.\d+\] ", b"", m.text) if m.kmsg & KMSG_PAST else m.text
                                   for m in messages if m.kmsg is not None)

    def printed(self, guest):
        return collections.Counter(line for r in guest.kmsg() for line in r.text.split(b"\n"))

    def test_each_line_once(self):
        guest = self.guest_in_file(props="kmsg=on").boot()
        log = Log(guest.log_file, guest)
        # unbound, lines are printed that only a copy can have
        guest.must(f"cd {DRIVER}; for i in 1 2 3; do echo before $i > /dev/kmsg; for d in virtio*; do "
                   "echo $d > unbind; echo without $i > /dev/kmsg; echo $d > bind; done; "
                   "echo after $i > /dev/kmsg; done")
        found = log.settled()
        self.assertEqual(sorted(found.epochs), [1, 2, 3, 4])
        self.assertEqual(found.total_lost, 0)
        self.assertEqual(self.lines(found.messages), self.printed(guest))

        # of a panic as well
        guest.send(f"echo panic-task > {DIE}")
        self.assertEqual(guest.wait(), 0)
        log.guest = None
        found = log.read()
        said = self.lines(found.messages)
        self.assertEqual([count for text, count in said.items() if b"Kernel panic - not" in text], [1])
        self.assertEqual([count for text, count in said.items() if b"Call Trace:" in text], [1])
        self.assertEqual(self.last_words(found, KMSG_PANIC), [])
        self.assertIn(("notice", 2), [(name, args[0]) for name, args in found.events])
        words = log.tool("--last-words").stdout
        self.assertIn(b"\nend of the kernel's log, at the panic\n", words)
        self.assertIn(b"Kernel panic - not syncing: ddebug_die: in a task", words)
