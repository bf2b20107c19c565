#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Check by exhaustion that the rings' barriers are enough, and that none is too much.

litmus.py [MODEL...]: each model (*.pml, which says what it proves) holds with all
its barriers, on x86 (TSO) and on weaker machines (WEAK), and fails if one of them
is taken away.  Output is TAP.
"""

import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))

# A model whose search has not ended after this time has grown too large.
SECONDS_MAX = 600
STEPS_MAX = 100000

HOLDS, FAILS = True, False

# model, options, expected outcome, in words
CASES = [
    ("copy", "TSO", HOLDS, "x86: what is handed out was committed, and is whole"),
    ("copy", "WEAK", HOLDS, "arm64: what is handed out was committed, and is whole"),
    ("copy", "WEAK NO_A", FAILS, "arm64 without producer:A: a lap goes unnoticed"),
    ("copy", "WEAK NO_B", FAILS, "arm64 without producer:B: head before its data"),
    ("copy", "WEAK NO_a", FAILS, "arm64 without device:A: data older than head"),
    ("copy", "WEAK NO_b", FAILS, "arm64 without device:B: a lap goes unnoticed"),
    ("positions", "TSO", HOLDS, "x86: an honest producer is never refused"),
    ("positions", "WEAK", HOLDS, "arm64: an honest producer is never refused"),
    ("positions", "TSO BOUND=1", HOLDS, "x86: nor with the closer bound"),
    ("positions", "WEAK BOUND=1", FAILS, "arm64 needs the wider bound"),
    ("positions", "WEAK NO_A", FAILS, "arm64 without producer:A: an honest producer is refused"),
    ("positions", "WEAK NO_D", FAILS, "arm64 without device:D: an honest producer is refused"),
    ("notice", "TSO", HOLDS, "x86: the last words come before the notice of death"),
    ("notice", "WEAK", HOLDS, "arm64: the last words come before the notice of death"),
    ("notice", "WEAK NO_E", FAILS, "arm64 without producer:E: a notice without last words"),
    ("notice", "WEAK NO_e", FAILS, "arm64 without device:E: a notice without last words"),
    ("dict", "TSO", HOLDS, "x86: a message is packed by the program of its own format"),
    ("dict", "WEAK", HOLDS, "arm64: a message is packed by the program of its own format"),
    ("dict", "WEAK NO_A", FAILS, "arm64 without dict:A: an old program with a new format"),
    ("dict", "WEAK NO_B", FAILS, "arm64 without dict:B: an old program with a new format"),
    ("dict", "WEAK NO_C", FAILS, "arm64 without dict:C: a new program with an old format"),
    ("dict", "WEAK NO_D", FAILS, "arm64 without dict:D: a new program with an old format"),
    ("claim", "", HOLDS, "a compiler's order: messages within messages do no harm"),
    ("claim", "NO_C1", FAILS, "without producer:C1: a live writer is taken for dead"),
    ("claim", "NO_C2", FAILS, "without producer:C2: a live writer is taken for dead"),
    ("claim", "NO_C3", FAILS, "without producer:C3: a dead writer is taken for alive"),
    ("claim", "NO_C4", FAILS, "without producer:C4: a dead writer is taken for alive"),
    ("stamp", "", HOLDS, "one CPU: messages have stamps in their order, whatever the clock does"),
    ("stamp", "NO_CMPXCHG", FAILS, "a stamp that was overtaken is stored: an order is lost"),
    ("stamp", "NO_RAISE", FAILS, "a clock that stands still: two messages have one stamp"),
    ("kick", "TSO", HOLDS, "x86: the device does not sleep over a message"),
    ("kick", "WEAK", HOLDS, "arm64: the device does not sleep over a message"),
    ("kick", "TSO NO_A", FAILS, "x86 without kick:A: a message is left behind"),
    ("kick", "TSO NO_C", FAILS, "x86 without device:C: a message is left behind"),
    ("kick", "WEAK NO_A", FAILS, "arm64 without kick:A: a message is left behind"),
    ("kick", "WEAK NO_C", FAILS, "arm64 without device:C: a message is left behind"),
    ("pipe", "TSO", HOLDS, "x86: a reader of trace_pipe does not sleep over a message"),
    ("pipe", "WEAK", HOLDS, "arm64: a reader of trace_pipe does not sleep over a message"),
    ("pipe", "TSO NO_A", FAILS, "x86 without kick:A: a reader sleeps over a message"),
    ("pipe", "TSO NO_C", FAILS, "x86 without pipe:C: a reader sleeps over a message"),
    ("pipe", "WEAK NO_A", FAILS, "arm64 without kick:A: a reader sleeps over a message"),
    ("pipe", "WEAK NO_C", FAILS, "arm64 without pipe:C: a reader sleeps over a message"),
    ("seen", "TSO", HOLDS, "x86: nor over one that came while another was looked at"),
    ("seen", "WEAK", HOLDS, "arm64: nor over one that came while another was looked at"),
    ("seen", "TSO NO_A", FAILS, "x86 without kick:A: a message of an NMI is left behind"),
    ("seen", "TSO LATE", FAILS, "x86, were an NMI no barrier: with kick:A before head one is left behind"),
    ("seen", "WEAK LATE", FAILS, "arm64 with kick:A before the load of head: one is left behind"),
    ("seen", "WEAK NO_C", FAILS, "arm64 without device:C: a message of an NMI is left behind"),
    ("armed", "", HOLDS, "one CPU: the handler looks after each commit"),
    ("armed", "COMMIT_LATE", FAILS, "C2 before C1: a message is left behind"),
    ("armed", "ARM_LATE", FAILS, "C4 before C3: a message is left behind"),
    ("armed", "CLEAR_LATE", FAILS, "H1 after H2: a message is left behind"),
]


def run(command, cwd):
    result = subprocess.run(command, cwd=cwd, check=False, text=True, timeout=SECONDS_MAX,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return result.returncode, result.stdout


def verdict(output):
    """The outcome of the search: holds (True), fails (False), or neither (None)."""
    errors = re.search(r"errors: (\d+)", output)
    if not errors or re.search(r"max search depth too small|out of memory|aborting", output):
        return None
    if int(errors.group(1)) == 0:
        return None if "Search not completed" in output else HOLDS
    # An assertion of the model; those of memory.pml are about its own tables.
    failed = re.search(r"assertion violated (.*) \(at depth", output)
    return FAILS if failed and "DEPTH" not in failed.group(1) and ".last" not in failed.group(1) \
        and "buffer" not in failed.group(1) else None


def search(case):
    """Run a model: (its outcome, the output)."""
    model, options, _, _ = case
    with tempfile.TemporaryDirectory(prefix="ddebug-litmus-") as folder:
        for path in glob.glob(os.path.join(HERE, "*.pml")):
            shutil.copy(path, folder)
        output = ""
        for command in (["spin", "-a", *(f"-D{option}" for option in options.split()), f"{model}.pml"],
                        ["cc", "-O0", "-w", "-DSAFETY", "-o", "pan", "pan.c"],
                        ["./pan", f"-m{STEPS_MAX}"]):
            status, text = run(command, folder)
            output += text
            if status:
                return None, output
        return verdict(text), output


def main():
    unknown = set(sys.argv[1:]) - {case[0] for case in CASES}
    if unknown:
        print(f"litmus.py: there is no model {min(unknown)}: take one of "
              f"{', '.join(sorted({case[0] for case in CASES}))}", file=sys.stderr)
        return 2
    if not shutil.which("spin"):
        print("Bail out! spin is missing: make deps installs it")
        return 1
    cases = [case for case in CASES if not sys.argv[1:] or case[0] in sys.argv[1:]]
    bad = 0
    print(f"1..{len(cases)}")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, (case, (found, output)) in enumerate(zip(cases, pool.map(search, cases)), 1):
            model, options, expected, words = case
            states = re.search(r"(\d+) states, stored", output)
            if found is not expected:
                bad += 1
                print("not ", end="")
            print(f"ok {number} - litmus {' '.join([model, *options.split()])}: {words}", flush=True)
            if found is expected:
                print(f"# {states.group(1)} states")
            else:
                print("\n".join(f"# {line}" for line in output.splitlines()))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
