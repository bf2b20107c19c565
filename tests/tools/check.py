#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""check.py TARGET [TEST...]: run test suites and count the results

check         style, unit, install and overlay tests, warnings, branch coverage of the codec, each fuzz
              target for seconds, readers of a flooded log for seconds, models of the memory barriers, the
              rings under stress for seconds, the log writer killed some hundred times, the guest
              tests on the chosen variant except the long ones, smoke tests on all other variants
check-style   the source text, and which file may depend on which
check-unit    the unit tests, warnings of the compilers, the corpus of the fuzz targets, a log damaged
              in some places
check-install the tests of make install
check-overlay the tests of adding the device to the QEMU source
check-libvirt the tests with domains of a private libvirt, or TEST...
check-stress  the models, and the rings under stress for minutes, also in a guest
check-readers readers of a flooded log, and killed consumers, for minutes
check-debug-kernel  the guest's modules in kernels that detect faults themselves
check-damage  a log damaged in every place
check-mutants sources broken at random, which the tests of their areas must notice; resumes
check-log-crash  the log writer killed more than 10,000 times
check-faults  guests whose log cannot be written, or whose disk hangs for a minute
check-crash-guests  guests, QEMUs and tools that die DDEBUG_DEATHS times (200) for each cause; an
              interrupted run resumes from build/deaths
fuzz          the fuzz targets by libFuzzer and AFL++
fuzz-long     the fuzz targets by libFuzzer, until FUZZ_TOTAL (10^8) executions are reached
coverage      the branch coverage of the unit tests
check-guest-files  the files in the guest that show its rings, on both kernels
check-guest   the guest tests on the chosen variant except the long ones, or those in the files
              that match TEST..., as in "test_flag test_hostile_*"
check-smoke   the smoke tests of guests on all variants
check-matrix  the guest tests on all variants

A variant is a QEMU and a kernel; DDEBUG_QEMU, DDEBUG_KERNEL and DDEBUG_ACCEL
choose it.  DDEBUG_PARALLEL guest tests run at a time (1).  The last line is
"N passed, N failed, N skipped" over all suites.  The exit status is 0 only if
nothing failed and every suite ran at least one test.
"""

import collections
import functools
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(REPO, "build")
BIN = os.path.dirname(sys.executable)

AVOCADO = os.path.join(REPO, "tests", "avocado")
DEBUG_KERNEL = os.path.join(REPO, "tests", "debug-kernel")
STYLE = os.path.join(REPO, "tests", "style")
sys.path[:0] = [AVOCADO, STYLE]

import ddebug.guest     # noqa: E402
import ddebug.tally     # noqa: E402
import barriers         # noqa: E402
import layers           # noqa: E402
import prose            # noqa: E402

QEMUS = ("loadable-7.2", "overlay-7.2", "loadable-10.0")
KERNELS = ("6.1", "6.12")
CHOSEN = (ddebug.guest.QEMU, ddebug.guest.KERNEL)
# The one whose vCPUs run in parallel, so that races can happen.
PARALLEL_QEMU = "loadable-10.0"
DEBUG_KERNELS = ("kasan", "kcsan")
# The tests of tests/libvirt that make check runs.
LIBVIRT_SMOKE = ("test_system_from_attach_to_detach", "test_names_of_files_and_of_domains",
                 "test_the_rules_for_apparmor_name_what_a_confined_qemu_opens")
# How long make check-stress floods the rings of a guest.
STRESS_SECONDS = 180

# Deaths per cause of make check-crash-guests, and seconds between reports of progress.
DEATHS = int(os.environ.get("DDEBUG_DEATHS", "200"))
DEATHS_PROGRESS = 60

# For a job that hangs as a whole; each test has its own, far lower limit.
GUEST_JOB_TIMEOUT = 2 * 3600
# For the agent of a guest under KVM to answer, which takes a few seconds.
KVM_PROBE_TIMEOUT = 30


class Count:
    """Results of a suite; failed and skipped tests by name."""

    def __init__(self):
        self.passed = 0
        self.skipped = []
        self.failed = []

    def check(self, name, problems):
        """Count a check, given its list of complaints."""
        if problems:
            print(f"not ok - {name}")
            for problem in problems[:20]:
                print(f"    {problem}")
            self.failed.append(name)
        else:
            print(f"ok - {name}")
            self.passed += 1

    def add(self, other):
        self.passed += other.passed
        self.skipped += other.skipped
        self.failed += other.failed

    @property
    def total(self):
        return self.passed + len(self.failed) + len(self.skipped)


def output_of(*command):
    return subprocess.run(command, cwd=REPO, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def sources():
    """The project's text files."""
    return [name for name in prose.sources(REPO) if not name.startswith("tests/fuzz/corpus/")]


def read(name):
    with open(os.path.join(REPO, name), encoding="utf-8", errors="replace") as file:
        return file.read()


def lacks_spdx(name):
    if name.endswith(".md") or name.startswith("docs/licenses/") or \
       os.path.basename(name) in ("COPYING", ".gitignore", "requirements.txt"):
        return False
    # an interpreter line or an XML head may come first
    return not any("SPDX-License-Identifier:" in line for line in read(name).split("\n")[:3])


def style(built=False):
    """The checks of the source text.  Those of symbols need object files; only once everything is
    built it is a failure that a source file has none."""
    count = Count()
    names = sources()
    python = [name for name in names if name.endswith(".py")]
    shell = [name for name in names if re.match(r"#!/bin/(ba)?sh\b", read(name))]

    count.check("every file begins with its licence",
                [name for name in names if lacks_spdx(name)])
    # an empty context line of a patch is a single blank
    count.check("no line ends with blanks, every file ends with a newline", [
        name for name in names if not name.startswith("docs/licenses/") and not name.endswith(".patch") and
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
    checks, without = layers.check()
    for name, problems in [*prose.check(), *barriers.check(), *checks]:
        count.check(name, problems)
    if without and not built:
        count.skipped.append(f"symbols of {len(without)} files that are not built: make build")
    else:
        count.check("each source file has an object file that is up to date", without)
    count.add(tap("tests/style", sys.executable, "tests/style/test_style.py"))
    return count


def tap(name, *command):
    """Run tests that print TAP, and count them."""
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


def made(folder, target):
    """A function that runs a target of a Makefile of tests, which prints TAP."""
    return lambda: tap(f"make -C tests/{folder} {target}",
                       "make", "--no-print-directory", f"-j{os.cpu_count()}", "-C", f"tests/{folder}", target,
                       f"O={BUILD}/{folder}", f"UNIT={BUILD}/unit")


def install():
    return tap("tests/install", sys.executable, "tests/install/test_install.py")


def libvirt(*wanted):
    return tap("tests/libvirt", sys.executable, "tests/libvirt/test_libvirt.py", *wanted)


def overlay():
    return tap("tests/overlay", sys.executable, "tests/overlay/test_overlay.py")


def litmus():
    return tap("tests/litmus", "tests/litmus/litmus.py")


def end_of_log(path, lines=20):
    """The last lines of a test's log, without dates and traceback markers."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            stripped = (re.sub(r"^\[stdlog\] (\S+ \S+ avocado\.test test +\S+ \w+ *\| ?)?", "", line)
                        for line in file)
            return "".join(collections.deque(
                (line for line in stripped if not re.match(r"[ ^~]*$", line)), lines))
    except OSError:
        return ""


def why_not(qemu, kernel):
    """Why the tests of a variant cannot be run, though they should be; None if they can."""
    chosen = ddebug.guest.config()
    for name, known in ((qemu, chosen["qemus"]), (kernel, chosen["kernels"])):
        if name not in known:
            return chosen["absent"].get(name, f"{name} is unknown")
    binary = chosen["qemus"][qemu]["binary"]
    if not os.path.exists(binary):
        return f"{binary} not found: run make qemu"
    return None


def why_no_kvm(qemu, kernel):
    """Why guests cannot run under KVM on this machine, by /dev/kvm and then by a guest of the stock
    kernel without anything of ours; None if they can."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "no KVM: /dev/kvm is missing or not accessible"
    folder = os.path.join(BUILD, "kvm-probe", f"{qemu}-kernel-{kernel}")
    shutil.rmtree(folder, ignore_errors=True)
    probe = subprocess.run([sys.executable, "-m", "ddebug.kvm_probe", folder, str(KVM_PROBE_TIMEOUT)],
                           cwd=AVOCADO, env=variant_environment(qemu, kernel), check=False, text=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if probe.returncode == 0:
        return None
    print(probe.stdout, end="", flush=True)
    return f"no KVM: a guest of the stock kernel did not boot under it, see {folder}"


def variant_environment(qemu, kernel):
    return {**os.environ, "DDEBUG_QEMU": qemu, "DDEBUG_KERNEL": kernel}


def avocado(command, *arguments, smoke, files, long=False, **options):
    tags = ["--filter-by-tags", "smoke"] if smoke else \
        [] if long else ["--filter-by-tags=-long", "--filter-by-tags-include-empty"]
    return subprocess.run([os.path.join(BIN, "avocado"), command, *arguments, *tags, *files],
                          cwd=REPO, check=False, stdin=subprocess.DEVNULL, **options)


def test_files(folder, wanted=()):
    """The test files that match these shell patterns, with or without .py; by default all.
    A pattern without a match is passed on, so that Avocado fails."""
    files = []
    for pattern in wanted or ("test_*",):
        path = os.path.join(folder, re.sub(r"(\.py)?$", ".py", pattern, count=1))
        files += sorted(glob.glob(path)) or [path]
    return list(dict.fromkeys(files))


def guest(qemu, kernel, wanted=(), smoke=False, long=False, folder=AVOCADO, environment=None,
          timeout=GUEST_JOB_TIMEOUT):
    """Run the guest tests of a variant with Avocado."""
    count = Count()
    files = test_files(folder, wanted)
    which = {"smoke": smoke, "long": long, "files": files}
    reason = why_not(qemu, kernel)
    if reason:
        count.failed.append(f"cannot run any test: {reason}")
        return count
    reason = why_no_kvm(qemu, kernel) if ddebug.guest.ACCEL == "kvm" else None
    if reason:
        listed = avocado("list", **which, stdout=subprocess.PIPE, text=True).stdout
        count.skipped = [reason] * len(re.findall(r"^avocado-instrumented ", listed, re.M))
        return count
    results = os.path.join(BUILD, "avocado", f"{qemu}-kernel-{kernel}")
    shutil.rmtree(results, ignore_errors=True)
    os.makedirs(results)
    status = avocado("run", "--disable-sysinfo", "--job-results-dir", results,
                     "--job-timeout", str(timeout),
                     "--max-parallel-tasks", os.environ.get("DDEBUG_PARALLEL", "1"),
                     **which, env={**variant_environment(qemu, kernel), **(environment or {})}).returncode
    try:
        with open(os.path.join(results, "latest", "results.json"), encoding="utf-8") as file:
            tests = json.load(file)["tests"]
    except (OSError, ValueError) as error:
        count.failed.append(f"no results from avocado (exit status {status}): {error}")
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


def fingerprint(qemu):
    """A hash of everything that the deaths test: a run of something else is not resumed."""
    digest = hashlib.sha256(ddebug.guest.config()["qemus"][qemu]["package"].encode())
    for path in sorted([ddebug.guest.tool(), ddebug.guest.initrd(),
                        *glob.glob(f"{AVOCADO}/**/*death*.py", recursive=True),
                        *glob.glob(f"{BUILD}/qemu-device/*.so"), *glob.glob(f"{BUILD}/qemu/qemu-system-*")]):
        with open(path, "rb") as file:
            digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()


def deaths(qemu, kernel):
    """Run the tests of deaths, DDEBUG_DEATHS times for each cause.  The results are recorded as they come, so
    that an interrupted run resumes, and the progress is printed."""
    folder = os.path.join(BUILD, "deaths", f"{qemu}-kernel-{kernel}")
    mark = os.path.join(folder, "fingerprint")
    now = fingerprint(qemu)
    if not os.path.exists(mark) or read(mark) != now:
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        with open(mark, "w", encoding="utf-8") as file:
            file.write(now)
    over = threading.Event()

    def report():
        while not over.wait(DEATHS_PROGRESS):
            print(f"   ... of {DEATHS}: {ddebug.tally.progress(folder)}", flush=True)

    reporter = threading.Thread(target=report)
    reporter.start()
    try:
        count = guest(qemu, kernel, wanted=("test_death",),
                      environment={"DDEBUG_DEATHS": str(DEATHS), "DDEBUG_TALLY": folder},
                      # a dozen causes, a minute for each death
                      timeout=GUEST_JOB_TIMEOUT + 12 * 60 * DEATHS)
    finally:
        over.set()
        reporter.join()
    print("\n".join(ddebug.tally.summary(folder)), flush=True)
    return count


def suites(target, wanted):
    """[(name, function that returns its Count)]"""
    def name(qemu, kernel):
        return f"{qemu}, kernel {kernel}"

    def tests(variant):
        return f"guest: {name(*variant)}", lambda: guest(*variant, wanted=wanted)

    def smoke(variant):
        return f"guest: {name(*variant)}, smoke", lambda: guest(*variant, smoke=True)

    def stress():
        variant = PARALLEL_QEMU, ddebug.guest.KERNEL
        return f"guest: {name(*variant)}, rings", lambda: guest(
            *variant, wanted=["test_ring_stress"], environment={"DDEBUG_STRESS_SECONDS": str(STRESS_SECONDS)})

    def debug_kernel(variant):
        return f"guest: {name(*variant)}", lambda: guest(*variant, wanted=wanted, folder=DEBUG_KERNEL)

    unit = [("unit", made("unit", "check")), ("warnings", made("warnings", "check")),
            ("corpus", made("fuzz", "check")),
            ("damage", made("fuzz", "damage-short"))]
    readers = [("readers", made("readers", "check"))]
    variants = [(qemu, kernel) for qemu in QEMUS for kernel in KERNELS]
    return {
        "check-style": [("style", style)],
        "check-unit": unit,
        "check-install": [("install", install)],
        "check-libvirt": [("libvirt", lambda: libvirt(*wanted))],
        "check-overlay": [("overlay", overlay)],
        "check-readers": [("readers", made("readers", "check-long"))],
        "check-log-crash": [("log writer", made("log", "check-long"))],
        "check-faults": [(f"faults: {name(*CHOSEN)}",
                          lambda: guest(*CHOSEN, wanted=("test_faults",), long=True))],
        "check-crash-guests": [(f"deaths: {name(*CHOSEN)}", lambda: deaths(*CHOSEN))],
        "check-stress": [("litmus", litmus), ("rings", made("ring", "check-long")), stress()],
        "check-debug-kernel": [debug_kernel((PARALLEL_QEMU, kernel)) for kernel in DEBUG_KERNELS],
        "check-damage": [("damage", made("fuzz", "damage"))],
        "check-mutants": [("mutants", lambda: tap("tests/mutants", sys.executable,
                                                  "tests/mutants/mutants.py"))],
        "fuzz": [("fuzz", made("fuzz", "fuzz"))],
        "fuzz-long": [("fuzz", made("fuzz", "fuzz-long"))],
        "coverage": [("coverage", made("unit", "coverage"))],
        "check-guest-files": [(f"guest files: {name(ddebug.guest.QEMU, kernel)}", functools.partial(
            guest, ddebug.guest.QEMU, kernel, wanted=("test_guest_files",))) for kernel in KERNELS],
        "check-guest": [tests(CHOSEN)],
        "check-smoke": [smoke(variant) for variant in variants],
        "check-matrix": [tests(variant) for variant in variants],
        "check": [("style", lambda: style(built=True)), *unit, ("coverage", made("unit", "coverage")),
                  ("fuzz", made("fuzz", "fuzz-short")), *readers, ("install", install), ("overlay", overlay),
                  ("libvirt, smoke", lambda: libvirt(*LIBVIRT_SMOKE)), ("litmus", litmus),
                  ("rings", made("ring", "check")), ("log writer", made("log", "check")),
                  tests(CHOSEN)] +
                 [smoke(variant) for variant in variants if variant != CHOSEN],
    }.get(target)


def main():
    planned = suites(sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else None
    if not planned:
        print(__doc__, file=sys.stderr)
        return 2
    counts = []
    for name, function in planned:
        print(f"== Tests: {name}", flush=True)
        begin = time.monotonic()
        count = function()
        if not count.total:
            count.failed.append("the suite ran no test")
        print(f"== {name}: {count.passed} passed, {len(count.failed)} failed, "
              f"{len(count.skipped)} skipped in {time.monotonic() - begin:.0f} s", flush=True)
        counts.append((name, count))
    for name, count in counts:
        for skipped, times in collections.Counter(count.skipped).items():
            print(f"skipped: {name}: {skipped}" + (f" ({times} tests)" if times > 1 else ""))
    for name, count in counts:
        for failed in count.failed:
            print(f"failed: {name}: {failed}")
    passed, failed, skipped = (sum(numbers) for numbers in zip(
        *((count.passed, len(count.failed), len(count.skipped)) for _, count in counts)))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
