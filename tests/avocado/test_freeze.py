# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that what led to a panic is retained, whole, when the guest has rebooted and floods the log
many times over, and takes no more of the log than allowed; and that it is not retained with freeze-
on-panic=off."""

from ddebug.death import DIE, DeathTest
from ddebug.guest import Log
from ddebug.logfile import KMSG_PANIC
from ddebug.memory import Memory

SIZE = 8 << 20
# How often the next boot fills the log.
TIMES = 4


class Freeze(DeathTest):
    timeout = 500

    def flood(self, guest, times):
        """Let all CPUs log until the log would have been filled this often."""
        self.start_load(guest)
        end = guest.counter("bytes") + times * SIZE
        self.until("the log is full", lambda: guest.counter("bytes") >= end)

    def panic_and_flood(self, props):
        """(the log, and what the memory said of the guest that panicked and of the next one)"""
        guest = self.guest_in_file(props=f"size={SIZE}{props}").boot()
        # QEMU waits between the panic and the next boot, so that its memory can be read
        guest.command("set-action", reboot="shutdown", shutdown="pause")
        self.flood(guest, 1)
        guest.send(f"echo panic-task > {DIE}")
        self.until("it reboots", lambda: guest.command("query-status")["status"] == "shutdown")
        died = Memory(self.ram)
        died.forget()
        guest.command("set-action", reboot="reset", shutdown="poweroff")
        guest.command("system_reset")
        guest.command("cont")
        guest.wait_ready()
        guest.load_modules()
        self.flood(guest, TIMES)
        guest.command("stop")
        lives = Memory(self.ram)
        guest.command("quit")
        self.assertEqual(guest.wait(), 0)
        return Log(guest.log_file), died, lives

    def test_what_led_to_a_panic_is_kept(self):
        log, died, lives = self.panic_and_flood("")
        found = log.read()
        numbers = self.account(found, died, epoch=1)
        self.log.info("of the panic: %s", numbers)
        self.assertGreater(numbers["sum_received"], 1000)
        words = self.last_words(found, KMSG_PANIC)
        for part in (b"Kernel panic - not syncing: ddebug_die: in a task", b"Call Trace:"):
            self.assertTrue([w for w in words if part in w], words)
        self.assertIn(("notice", 2), [(name, args[0]) for name, args in found.events])
        first, last = found.frozen
        kept = {seq for seq in found.segments if first <= seq <= last}
        self.assertEqual(kept, set(range(first, last + 1)))
        self.assertEqual(len(kept), found.nr_segs // 4)
        # the rest is the living guest's, and as whole
        self.assertEqual({epoch for seq, epoch in found.segments.items() if seq not in kept}, {2})
        self.account(found, lives, epoch=2)
        self.assertGreater(len([m for m in found.messages if m.epoch == 2]), numbers["sum_received"])
        boots = log.tool("--list-boots").stdout.splitlines()[1:]
        self.assertEqual([b" panic " in line for line in boots], [True, False])

    def test_it_is_overwritten_where_it_is_not_to_be_kept(self):
        log, _, lives = self.panic_and_flood(",freeze-on-panic=off")
        found = log.read()
        self.account(found, lives, epoch=2)
        self.assertEqual(found.frozen, (0, 0))
        self.assertEqual({m.epoch for m in found.messages}, {2})
        self.assertEqual(self.last_words(found, KMSG_PANIC), [])
