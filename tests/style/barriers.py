#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""barriers.py: check that the tables of barriers and the source say the same

A table is in a comment, and has the columns label, what, and pairs with; its folder is the one that
has its barriers.  In the source a comment "LABEL pairs with LABEL: ..." precedes each, and
tests/litmus/litmus.py shows that without it something fails.
"""

import glob
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

import tap          # noqa: E402

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TABLES = ("qemu-device/ddebug-stream.c", "guest-driver/ddebug_ring.c", "guest-driver/ddebug_dict.c")
LITMUS = "tests/litmus/litmus.py"
LABEL = r"[a-z]+:[A-Z]"
HEAD = re.compile(r"^ \*\s+(label)\s+(what)\s+(pairs with)")
PLACE = re.compile(rf"({LABEL}) pairs with ({LABEL})(?: and ({LABEL}))?\b")
# How a table names a barrier, and what it is in the source.
KINDS = {"store-release": r"_store_release\(", "load-acquire": r"_load_acquire\(", "rmb": r"_rmb\(\)",
         "wmb": r"_wmb\(\)", "full barrier": r"_mb\(\)", "mb": r"_mb\(\)"}
ANY = re.compile("|".join(sorted(set(KINDS.values()))))
# The barrier follows its comment within so many lines.
NEAR = 3


def lines_of(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read().split("\n")


def table(root, path):
    """{label: (what it is, the labels it pairs with)}, of both columns."""
    found, columns = {}, None
    what, pairs = "", ""
    label = None
    for line in lines_of(root, path):
        head = HEAD.match(line)
        if head:
            columns = [head.start(group) for group in (1, 2, 3)]
            continue
        if not columns:
            continue
        if not line.startswith(" *  "):
            break
        new = re.match(LABEL, line[columns[0]:])
        if new:
            label, what, pairs = new.group(0), "", ""
        what += " " + line[columns[1]:columns[2]].strip()
        pairs += " " + line[columns[2]:].strip()
        found[label] = (what, pairs)
    return found


def kinds_in(text):
    return {pattern for name, pattern in KINDS.items() if re.search(rf"\b(virt_|smp_)?{name}\b", text)}


def places(root, folder):
    """[(path, line, label, its pairs, the source near it)] of a folder."""
    found = []
    for full in sorted(glob.glob(os.path.join(root, folder, "*.c"))):
        path = os.path.relpath(full, root)
        lines = lines_of(root, path)
        for at, line in enumerate(lines):
            place = PLACE.search(line)
            if place:
                found.append((path, at + 1, place.group(1), [pair for pair in place.groups()[1:] if pair],
                              "\n".join(lines[at:at + NEAR])))
    return found


def in_tables(root, tables):
    """{label: (folder, kinds of barrier)}, {label: labels it pairs with}; the second column says its
    kind, for a label that no table has in its first."""
    rows = {path: table(root, path) for path in tables}
    labels, pairs = {}, {}
    for path, entries in rows.items():
        for label, (what, text) in entries.items():
            labels[label] = (os.path.dirname(path), kinds_in(what))
            for other, words in re.findall(rf"({LABEL}),?((?:(?!{LABEL}).)*)", text):
                pairs.setdefault(label, set()).add(other)
                pairs.setdefault(other, set()).add(label)
                if not any(other in entries for entries in rows.values()) and kinds_in(words):
                    labels[other] = (os.path.dirname(path), kinds_in(words))
    return labels, pairs


def check(root=REPO, tables=TABLES):
    """[(what is checked, complaints)]"""
    labels, pairs = in_tables(root, tables)
    litmus = "\n".join(lines_of(root, LITMUS))
    missing, wrong, bare = [], [], []
    found = [place for folder in sorted({folder for folder, _ in labels.values()})
             for place in places(root, folder)]
    for label, (folder, kinds) in sorted(labels.items()):
        if not kinds:
            continue            # of the compiler: the table has what it is for
        if not any(os.path.dirname(path) == folder and own == label and
                   any(re.search(kind, source) for kind in kinds)
                   for path, _, own, _, source in found):
            missing.append(f"{label} is in a table, but there is no such barrier in {folder}")
        if f"without {label}" not in litmus:
            missing.append(f"{label} is in a table, but {LITMUS} does not do without it")
    for path, line, label, others, _ in found:
        for other in others:
            if other not in pairs.get(label, ()):
                wrong.append(f"{path}:{line}: no table pairs {label} with {other}")
    for path in tables:
        lines = lines_of(root, path)
        for at, line in enumerate(lines):
            if ANY.search(line) and not line.startswith(" *") and \
               not PLACE.search("\n".join(lines[max(0, at - NEAR + 1):at + 1])):
                bare.append(f"{path}:{at + 1}: a barrier without a label")
    return [("barriers of the tables are in the source, and in the models", missing),
            ("barriers pair as the tables say", wrong),
            ("barriers beside the tables have a label", bare)]


if __name__ == "__main__":
    sys.exit(tap.report(check()))
