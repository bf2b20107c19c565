# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that the manuals name everything that driver and device show, and nothing else: statistics,
parameters, files; properties, counters."""

import os
import re

from ddebug.case import DdebugTest
from ddebug.guest import REPO, STATS

DRIVER = "guest-driver/ddebug-rb.4"
DEVICE = "qemu-device/virtio-ddebug.7"

# The pages' placeholders for one of several words.
PLACEHOLDERS = {"CONTEXT": "(task|softirq|hardirq|nmi)", "FUNCTION": r"\w+"}


def entries(page, section):
    """The headings of a section's list, without fonts: ["rb_size_kb=N", …]"""
    with open(os.path.join(REPO, page), encoding="utf-8") as file:
        text = file.read()
    body = re.search(rf'^\.SH "?{section}"?\n(.*?)^\.SH ', text, re.M | re.S).group(1)
    heads = re.findall(r"^\.T[PQ]\n\.(?:B|I|BI|BR|IR|IB) +(.*)$", body, re.M)
    return [re.sub(r'\\f.|[ "]', "", head.replace("\\-", "-")) for head in heads]


def names(page, section):
    """Headings of the form NAME=VALUE, without the value."""
    return [head.split("=")[0] for head in entries(page, section)]


class Manual(DdebugTest):

    def test_manuals_name_what_there_is_and_nothing_else(self):
        guest = self.boot(args=["-device", "virtio-rng-pci,id=rng0"])
        self.statistics(guest)
        self.files_and_parameters(guest)
        self.properties(guest)

    def statistics(self, guest):
        shown = list(guest.stats())
        self.assertEqual(len(shown), len(set(shown)), "a statistic has two lines")
        told = {}
        for entry in entries(DRIVER, "STATISTICS"):
            pattern = re.sub("|".join(PLACEHOLDERS), lambda m: PLACEHOLDERS[m.group()], entry)
            told[entry] = [name for name in shown if re.fullmatch(pattern, name)]
        self.assertEqual([entry for entry, found in told.items() if not found], [],
                         f"{DRIVER}: statistics that the driver does not have")
        found = sorted(name for names_found in told.values() for name in names_found)
        self.assertEqual(found, sorted(shown), f"{DRIVER}: statistics missing, or there twice")
        for entry, names_found in told.items():
            if entry.startswith("CONTEXT"):
                self.assertEqual(len(names_found), 4, entry)

    def files_and_parameters(self, guest):
        files = entries(DRIVER, "FILES")
        self.assertIn(STATS, files)
        for file in files:
            guest.must(f": < {file}")
        shown = guest.must("find /sys/kernel/debug/dynamic_debug /sys/kernel/debug/dynamic_debug_rb "
                           "/sys/module/ddebug_rb/parameters "
                           "/sys/module/virtio_ddebug/parameters -type f 2> /dev/null || true").split()
        self.assertGreater(len(shown), 1)
        self.assertEqual([file for file in shown if file not in files], [])
        self.assertEqual({os.path.basename(file) for file in shown if "/parameters/" in file},
                         set(names(DRIVER, "PARAMETERS")))

    def properties(self, guest):
        """The properties that another virtio device does not have."""
        ours, others = (
            {found["name"] for found in guest.command("qom-list", path=f"/machine/peripheral/{name}")
             if not found["type"].startswith(("child<", "link<"))}
            for name in ("ddebug0", "rng0"))
        told = names(DEVICE, "PROPERTIES") + names(DEVICE, "COUNTERS")
        self.assertEqual(sorted(ours - others), sorted(told))
