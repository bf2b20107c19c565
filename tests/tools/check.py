#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the test suites and count: check.py check[-style|-unit|-install|-guest] [TEST...]

The last line is "N passed, N failed, N skipped" over all suites.  The exit
status is 0 only if nothing failed and every suite has run something.
"""

import collections
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(REPO, "build")
BIN = os.path.dirname(sys.executable)

# A job that hangs as a whole; each test has a limit of its own, far below.
GUEST_JOB_TIMEOUT = 3600


class Count:
    """Results of a suite; those that failed are kept by name."""

    def __init__(self):
        self.passed = 0
        self.skipped = []
        self.failed = []

    def check(self, name, problems):
        """Count a check that yields a list of complaints."""
        if problems:
            print(f"not ok - {name}")
            for problem in problems[:20]:
                print(f"    {problem}")
            self.failed.append(name)
        else:
            print(f"ok - {name}")
            self.passed += 1

    @property
    def total(self):
        return self.passed + len(self.failed) + len(self.skipped)


def output_of(*command):
    return subprocess.run(command, cwd=REPO, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def sources():
    """The project's text files, as git knows them, or by a walk without git."""
    listed = output_of("git", "ls-files", "--cached", "--others", "--exclude-standard")
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:
        names = [os.path.relpath(os.path.join(top, name), REPO)
                 for top, dirs, files in os.walk(REPO) for name in files
                 if "build" not in os.path.relpath(top, REPO).split(os.sep)]
    return [name for name in names if os.path.isfile(os.path.join(REPO, name))]


def read(name):
    with open(os.path.join(REPO, name), encoding="utf-8", errors="replace") as file:
        return file.read()


def lacks_spdx(name):
    if name.endswith(".md") or name.startswith("docs/licenses/") or \
       os.path.basename(name) in ("COPYING", ".gitignore", "requirements.txt"):
        return False
    # an interpreter's line or an XML head may come first
    return not any("SPDX-License-Identifier:" in line for line in read(name).split("\n")[:3])


def style():
    count = Count()
    names = sources()
    python = [name for name in names if name.endswith(".py")]
    shell = [name for name in names if re.match(r"#!/bin/(ba)?sh\b", read(name))]

    count.check("every file begins with its licence",
                [name for name in names if lacks_spdx(name)])
    count.check("no line ends with blanks, every file ends with a newline", [
        name for name in names if not name.startswith("docs/licenses/") and
        (re.search(r"[ \t]$", read(name), re.M) or not (read(name) or "\n").endswith("\n"))])
    for tool, arguments in (("pyflakes", []), ("pycodestyle", ["--max-line-length=110"])):
        result = output_of(os.path.join(BIN, "python3"), "-m", tool, *arguments, *python)
        count.check(f"{tool} finds nothing", result.stdout.splitlines() if result.returncode else [])
    broken = []
    for name in shell:
        result = output_of("bash", "-n", name)
        if result.returncode:
            broken += result.stdout.splitlines()
    count.check("the shell scripts parse", broken)
    return count


def tap(name, *command):
    """Run tests that print TAP."""
    count = Count()
    process = subprocess.Popen(
        command, cwd=REPO, text=True, errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    for line in process.stdout:
        print(line, end="", flush=True)
        match = re.match(r"(not )?ok\b(?:\s+\d+)?\s*-?\s*(.*?)(\s*# SKIP.*)?$", line, re.I)
        if not match or re.search(r"# TODO", line):
            continue
        if match.group(3):
            count.skipped.append(match.group(2))
        elif match.group(1):
            count.failed.append(match.group(2))
        else:
            count.passed += 1
    status = process.wait()
    if status and not count.failed:
        count.failed.append(f"{name}: exit status {status}")
    return count


def unit():
    return tap("make -C tests/unit check",
               "make", "--no-print-directory", "-C", "tests/unit", "check", f"O={BUILD}/unit")


def install():
    return tap("tests/install", sys.executable, "tests/install/test_install.py")


def end_of_log(path, lines=20):
    """The last lines of a test's log, without dates and the marks under tracebacks."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            stripped = (re.sub(r"^\[stdlog\] (\S+ \S+ avocado\.test test +\S+ \w+ *\| ?)?", "", line)
                        for line in file)
            return "".join(collections.deque(
                (line for line in stripped if not re.match(r"[ ^~]*$", line)), lines))
    except OSError:
        return ""


def guest(wanted):
    """The tests with guests, by Avocado, one after the other."""
    count = Count()
    folder = os.path.join(REPO, "tests", "avocado")
    files = [os.path.join(folder, re.sub(r"(\.py)?$", ".py", name, count=1)) for name in wanted] \
        or sorted(glob.glob(os.path.join(folder, "test_*.py")))
    results = os.path.join(BUILD, "avocado")
    shutil.rmtree(results, ignore_errors=True)
    os.makedirs(results)
    status = subprocess.run(
        [os.path.join(BIN, "avocado"), "run", "--disable-sysinfo",
         "--job-results-dir", results, "--job-timeout", str(GUEST_JOB_TIMEOUT),
         "--max-parallel-tasks", "1", *files],
        cwd=REPO, check=False, stdin=subprocess.DEVNULL).returncode
    try:
        with open(os.path.join(results, "latest", "results.json"), encoding="utf-8") as file:
            tests = json.load(file)["tests"]
    except (OSError, ValueError) as error:
        count.failed.append(f"avocado left no results (exit status {status}): {error}")
        return count
    for test in tests:
        name = re.sub(r".*/", "", test["name"])
        reason = str(test["fail_reason"]).split("\n", maxsplit=1)[0]
        if test["status"] == "PASS":
            count.passed += 1
        elif test["status"] in ("SKIP", "CANCEL"):
            count.skipped.append(f"{name}: {reason}")
        else:
            count.failed.append(f"{name}: {test['status']}: {reason}")
            print(f"\n---- {name}: {test['status']}; the end of {test['logfile']}:")
            print(end_of_log(test["logfile"]), flush=True)
    if status and not count.failed:
        count.failed.append(f"avocado: exit status {status}")
    return count


SUITES = {
    "check-style": [("style", style)],
    "check-unit": [("unit", unit)],
    "check-install": [("install", install)],
    "check-guest": [("guest", guest)],
    "check": [("style", style), ("unit", unit), ("install", install), ("guest", guest)],
}


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in SUITES:
        print(__doc__, file=sys.stderr)
        return 2
    wanted = sys.argv[2:]
    counts = []
    for name, function in SUITES[sys.argv[1]]:
        print(f"== Tests: {name}", flush=True)
        begin = time.monotonic()
        count = function(wanted) if function is guest else function()
        if not count.total:
            count.failed.append(f"the suite {name} ran no test")
        print(f"== {name}: {count.passed} passed, {len(count.failed)} failed, "
              f"{len(count.skipped)} skipped in {time.monotonic() - begin:.0f} s", flush=True)
        counts.append(count)
    for count in counts:
        for name in count.skipped:
            print(f"skipped: {name}")
    for count in counts:
        for name in count.failed:
            print(f"failed: {name}")
    failed = sum(len(count.failed) for count in counts)
    print(f"{sum(count.passed for count in counts)} passed, {failed} failed, "
          f"{sum(len(count.skipped) for count in counts)} skipped", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
