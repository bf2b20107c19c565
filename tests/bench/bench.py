#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""bench.py bench|bench-docs|bench-repeat

bench         measure all; performance.{json,md,svg} go to build/bench
bench-docs    the same, and put the results into docs/
bench-repeat  measure what is counted in instructions twice; it has to agree
              within one per cent
"""

import json
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(REPO, "tests", "avocado"), os.path.join(REPO, "tests", "style")]

import bench_guest      # noqa: E402
import bench_host       # noqa: E402
import bench_plot       # noqa: E402
import bench_table      # noqa: E402
from ddebug.guest import BUILD, GuestError, chosen_kernel, chosen_qemu      # noqa: E402

OUT = os.path.join(BUILD, "bench")
DOC = os.path.join(REPO, "docs", "performance.md")
# in two pieces: this is the licence of the output, not of this file
LICENSE = "SPDX-License-" + "Identifier: GPL-2.0-or-later"
TOLERANCE = 0.01
# hvc0 waits for the host in a loop, so it has a range.
RANGED = ("+p, hvc0",)


def say(text):
    print(f"   {text}", flush=True)


def measure():
    data = {"kernel": chosen_kernel()["release"], "qemu": chosen_qemu()["package"]}
    data["guest"] = bench_guest.measure(say)
    data["host"] = bench_host.measure(say, data["guest"]["time"].pop("trace"))
    return data


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def tables(data):
    return (f"Kernel {data['kernel']}, QEMU {data['qemu']}.\n\n{bench_table.markdown_goals(data)}\n\n"
            f"{bench_table.markdown_variants(data)}\n")


def report(folder, data):
    rows = [dict(zip(("goal", "what", "measured", "wanted", "result"), row))
            for row in bench_table.goal_rows(data)]
    write(os.path.join(folder, "performance.json"),
          json.dumps({"license": LICENSE, "goals": rows, **data}, indent=1, ensure_ascii=False) + "\n")
    write(os.path.join(folder, "performance.svg"), bench_plot.svg(data))


def into_docs(data):
    report(os.path.dirname(DOC), data)
    with open(DOC, encoding="utf-8") as file:
        text = file.read()
    text, found = re.subn(r"(<!-- results -->\n).*(<!-- end of results -->)",
                          lambda match: match.group(1) + "\n" + tables(data) + "\n" + match.group(2),
                          text, flags=re.S)
    if found != 1:
        raise SystemExit(f"{DOC}: the marks around the results are not there")
    write(DOC, text)


def counts(data):
    """{name: instructions} of everything counted in instructions."""
    found = {}
    for variant, shapes in data["guest"]["cost"].items():
        for shape, values in shapes.items():
            found[f"{variant}: {shape}"] = bench_table.mean(values)
    for variant, values in data["shm"].items():
        found[f"{variant}: int3, shm"] = bench_table.mean(values)
    for threads, values in data["cpus"]["emit"].items():
        found[f"{threads} vCPUs"] = min(values)
    for part in ("drain", "tool"):
        for name, value in data[part].items():
            found[f"{part}: {name}"] = value
    return found


def counted():
    """A run of what is counted in instructions, and nothing else."""
    image = bench_guest.bench_image()
    where = bench_host.folder("host")
    return counts({"guest": bench_guest.cost_boot(image), "shm": bench_guest.shm_boot(image),
                   "cpus": bench_guest.cpus_boot(image),
                   "drain": bench_host.drain(where), "tool": bench_host.tool_cost(where)})


def repeat():
    runs = [counted(), counted()]
    bad = 0
    worst = 0.0
    for name, first in runs[0].items():
        second = runs[1][name]
        deviation = abs(second - first) / first
        if name.startswith(RANGED):
            print(f"range  {name}: {first:.1f} and {second:.1f}")
            continue
        worst = max(worst, deviation)
        if deviation > TOLERANCE:
            bad += 1
            print(f"not ok {name}: {first:.2f} and {second:.2f}")
    print(f"{len(runs[0])} instruction counts, twice: {bad} differ by more than {TOLERANCE:.0%}; "
          f"the worst of the others and these by {worst:.2%}")
    return 1 if bad else 0


def main():
    what = sys.argv[1] if len(sys.argv) == 2 else ""
    if what not in ("bench", "bench-docs", "bench-repeat"):
        print(__doc__, file=sys.stderr)
        return 2
    os.makedirs(OUT, exist_ok=True)
    begin = time.monotonic()
    try:
        if what == "bench-repeat":
            return repeat()
        data = measure()
    except (bench_guest.BenchError, bench_host.HostError, GuestError) as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 1
    report(OUT, data)
    write(os.path.join(OUT, "performance.md"), tables(data))
    if what == "bench-docs":
        into_docs(data)
    print(tables(data))
    print(f"Measured in {time.monotonic() - begin:.0f} s; {OUT}/performance.{{md,json,svg}}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
