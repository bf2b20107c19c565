# SPDX-License-Identifier: GPL-2.0-or-later
"""The results of deaths, recorded as they happen: a file for each cause, a line of JSON for each
death, so that an interrupted run resumes.

DDEBUG_TALLY is the folder; without it nothing is recorded.
"""

import json
import os
import statistics


class Tally:
    """The deaths of one cause, of which `wanted` are to happen."""

    def __init__(self, kind, wanted):
        folder = os.environ.get("DDEBUG_TALLY")
        self.wanted = wanted
        self.path = os.path.join(folder, kind + ".jsonl") if folder else None
        self.died = len(read(self.path)) if self.path and os.path.exists(self.path) else 0

    @property
    def left(self):
        return max(self.wanted - self.died, 0)

    def add(self, numbers):
        self.died += 1
        if self.path:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(numbers) + "\n")


def read(path):
    """The deaths recorded in a file, without a last line that was cut short."""
    found = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                found.append(json.loads(line))
            except ValueError:
                pass
    return found


def kinds(folder):
    """{cause: [numbers of a death]}"""
    return {name[:-len(".jsonl")]: read(os.path.join(folder, name))
            for name in sorted(os.listdir(folder)) if name.endswith(".jsonl")}


def progress(folder):
    """A line: the number of deaths for each cause."""
    return ", ".join(f"{kind} {len(deaths)}" for kind, deaths in kinds(folder).items())


def spread(values):
    """A distribution in a few words."""
    values = sorted(values)
    tenth = values[min(len(values) - 1, len(values) * 9 // 10)]
    return f"median {statistics.median(values):g}, nine of ten up to {tenth:g}, all up to {values[-1]:g}"


def summary(folder):
    """Lines: the sums of counts, and the distributions of what has a unit in its name."""
    lines = []
    for kind, deaths in kinds(folder).items():
        names = list(dict.fromkeys(name for death in deaths for name in death))
        lines.append(f"{kind}: {len(deaths)} deaths")
        for name in names:
            values = [death[name] for death in deaths if name in death]
            if name.startswith("sum_"):
                lines.append(f"    {name[4:].replace('_', ' ')}: {sum(values)}")
            else:
                lines.append(f"    {name.replace('_', ' ')}: {spread(values)}")
    return lines
