# SPDX-License-Identifier: GPL-2.0-or-later
"""The reports of a debug kernel: of its sanitisers, and leaks."""

import re

from ddebug.guest import KERNEL

# For each guest.
OPTIONS = {
    # Reports are read from the kernel's log: a console driver takes locks that lockdep forbids in
    # interrupt context, and after one report lockdep is off.
    "kasan": "loglevel=1 ",
    # One access in a thousand is watched, not one in four thousand, and for longer than on a
    # machine that is not emulated.
    "kcsan": "kcsan.skip_watch=1000 kcsan.udelay_task=200 kcsan.udelay_interrupt=40 ",
}[KERNEL]
# MiB of each guest: looking for leaks takes time in proportion.
MEMORY = 512

OUR_MODULES = ("ddebug_rb", "virtio_ddebug", "ddebug_test", "ddebug_odd", "ddebug_bug")

# How reports of trouble start, or what is within them: a stack trace is one, too, whatever was
# printed before it.
TROUBLE = re.compile(
    r"BUG:|WARNING:|UBSAN:|ODEBUG:|Oops:|Kernel panic|general protection fault|invalid opcode"
    r"|INFO: (?:possible|trying|suspicious|rcu|task|HARDIRQ|SOFTIRQ)|detected stall|soft lockup"
    r"|list_(?:add|del) corruption|refcount_t:|kmemleak: .*(?:disabled|[Cc]annot)|turning off the locking"
    r"|Call Trace:|DMA-API:")

SHOWN_LINES = 60
RACE = "BUG: KCSAN: "
FENCE = "=" * 60
# How the stack of each side starts; and the frames below which the interrupted code is.
ACCESS = re.compile(r"(?:read|write|assert).* (?:by task|by interrupt)")
INTERRUPT = re.compile(r" *(?:asm_sysvec_|asm_common_interrupt|asm_exc_nmi|__do_softirq)")
OURS = re.compile(rf"\[(?:{'|'.join(OUR_MODULES)})\b")


class Report:
    """One report; for data races with the stacks of both sides."""

    def __init__(self, title, text):
        self.title = title
        self.text = text
        self.is_race = title.startswith(RACE)

    @property
    def ours(self):
        """Whether it is about our modules.  All reports are, except data races with none of their code
        on either stack: those are the kernel's own.  Interrupted code has no part in the access, so
        it does not count as being on the stack."""
        if not self.is_race:
            return True
        interrupted = False
        for line in self.text.split("\n"):
            if ACCESS.match(line):
                interrupted = False
            elif INTERRUPT.match(line):
                interrupted = True
            elif not interrupted and OURS.search(line):
                return True
        return False

    def __repr__(self):
        return self.text


def reports(guest):
    """All reports in the kernel's log, which is kept with the guest's files."""
    text = "\n".join(record.text.decode(errors="replace") for record in guest.kmsg(timeout=300))
    with open(guest.path("kmsg.log"), "w", encoding="utf-8") as file:
        file.write(text)
    lines = text.split("\n")
    found = []
    at = 0
    while at < len(lines):
        title = lines[at]
        end = at + 1
        shown = at + SHOWN_LINES    # for readers: the end is marked for races only
        if title.startswith(RACE):
            while end < len(lines) and not lines[end].startswith(FENCE):
                end += 1
            shown = end
        if TROUBLE.search(title):
            found.append(Report(title, "\n".join(lines[at:shown])))
        at = end
    return found


def leaks(guest):
    """Objects of ours that nothing points to: the report of each.  Needs a kernel with kmemleak."""
    # what has changed since the previous scan, or is younger than 5 s, does not count
    output = guest.must("cd /sys/kernel/debug && sleep 6 && echo scan > kmemleak && echo scan > kmemleak && "
                        "cat kmemleak", timeout=900)
    return [text for text in re.split(r"^(?=unreferenced object)", output, flags=re.M) if OURS.search(text)]


def watches_locks(guest):
    """Whether lockdep is on.  It stops with its first report, or when its tables are full."""
    return re.search(r"^ debug_locks: +1$", guest.must("cat /proc/lockdep_stats"), re.M) is not None
