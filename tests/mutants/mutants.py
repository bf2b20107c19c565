#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mutants.py [AREA...]: break the sources at random and count what the tests notice

Of each area (codec, merge, log, drain, ring) MUTANTS (40) mutants are drawn with SEED (1): one
operator, constant, condition, statement or barrier is changed.  A mutant is

    killed      a test of its area fails, crashes, hangs, or takes all memory
    survived    no test notices; printed as a diff
    equivalent  its object code is the original's, or equivalent.txt says why no test can notice
    stillborn   it does not compile

The last two do not count.  An area passes if at least GOAL of 100 others are killed.  Output is TAP.

Everything happens in copies of the tree in build/mutants; the sources are only read.  What is known
of a mutant is kept there: an interrupted run resumes, and a survivor is tried again when a test has
changed.  The draw hardly changes with the sources: mutants are ordered by a hash of seed and content.
"""

import collections
import difflib
import filecmp
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(REPO, "build", "mutants")

MUTANTS = int(os.environ.get("MUTANTS") or 40)
SEED = int(os.environ.get("SEED") or 1)
# Per cent.
GOAL = 95

# What a test may take: far above what any needs on a busy machine, and what no test needs.
SECONDS_MIN = 120
TIMES_BASE = 20
RSS_MAX_MB = 1500
FILE_MAX = 8 << 30

COPIED = ("include", "log", "host-tool", "guest-driver", "qemu-device", "tests")
NOT_COPIED = ("corpus", "avocado", "__pycache__", "install", "libvirt", "debug-kernel")

SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -w"

# name: what an area's mutants are made of and how they are found.
#   files   of the mutants
#   flags   to compile one of them alone, for the comparison of object code
#   make    arguments that build the tests; warnings must not keep a mutant from being built
#   tests   commands in the order in which they are tried: the fastest first
# {O} is the folder of the build, and commands run in the folder that "cd" names.
Area = collections.namedtuple("Area", "files flags make tests cd")


def unit(files, tests, *more, make=""):
    """An area that unit tests cover."""
    return Area(
        files=files,
        flags="-Iinclude -Ilog -Ihost-tool/lib $(pkg-config --cflags glib-2.0 json-glib-1.0 libisal)",
        make=[f"-C tests/unit O={{O}}/unit SANITIZE='{SANITIZE}' " +
              " ".join(f"{{O}}/unit/sanitized/{name}" for name in (
                  "ddebug-host", *(f"test-{test}" for test in tests))), *([make] if make else [])],
        tests=[f"{{O}}/unit/sanitized/test-{test} --tap" for test in tests] + list(more),
        cd="tests/unit")


RING = "-Itests/ring/include -Iinclude -Itests/ring -include tests/ring/kernel.h -DSIM_WEAK"
RING_MAKE = "-C tests/ring O={O}/ring CFLAGS='-std=gnu11 -O2 -g -w -pthread'"

AREAS = {
    "codec": unit([*(f"host-tool/lib/ddebug-{name}.c" for name in ("codec", "render", "dict")),
                   "include/ddebug_packed.h"], ["codec", "packed", "dict"]),
    "merge": unit(["host-tool/lib/ddebug-merge.c"], ["merge", "view"]),
    "log": unit(["log/*.c"], ["log-writer", "disk", "rules", "shm"],
                "{O}/log/power --losses=0 --shrinks=1",
                "{O}/log/crash --kills=0 --every-call=1",
                make="-C tests/log O={O}/log UNIT={O}/log-unit CFLAGS='-std=gnu11 -O2 -g -w' "
                     "{O}/log/crash {O}/log/power"),
    "drain": unit(["qemu-device/ddebug-drain.c", "qemu-device/ddebug-stream.c"], ["drain"])._replace(
        flags="-iquote tests/unit/qemu-user -iquote qemu-device -Iinclude -Ilog "
              "$(pkg-config --cflags glib-2.0 libisal)"),
    "ring": Area(
        files=[f"guest-driver/ddebug_{name}.c" for name in (
            "ring", "ring_mem", "ring_swap", "cpu", "kick", "transport", "attach", "emit", "pack")],
        flags=RING,
        make=[RING_MAKE + " " + " ".join(f"{{O}}/ring/{name}" for name in (
            "life-asan", "stress-asan", "stress-weak", "stress-plain"))],
        tests=["{O}/ring/life-asan",
               "{O}/ring/stress-asan --bursts=10",
               "{O}/ring/stress-weak --no-signals --bursts=20",
               "{O}/ring/stress-plain --bursts=20"],
        cd="tests/ring"),
}


# -- what can be changed -------------------------------------------------------------------------

def blank(text):
    """The text with its comments, strings and characters blanked, at the same places."""
    def spaces(match):
        return re.sub(r"[^\n]", " ", match.group())
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', spaces, text, flags=re.S)


SWAPS = [
    # relational
    (r" (<) ", ["<=", ">="]), (r" (>) ", [">=", "<="]), (r" (<=) ", ["<", ">"]), (r" (>=) ", [">", "<"]),
    (r" (==) ", ["!="]), (r" (!=) ", ["=="]),
    # arithmetic
    (r"(?<=[\w)\]]) (\+) ", ["-"]), (r"(?<=[\w)\]]) (-) ", ["+"]), (r"(?<=[\w)\]]) (\*) ", ["/"]),
    (r" (/) ", ["*"]), (r" (%) ", ["/"]), (r" (<<) ", [">>"]), (r" (>>) ", ["<<"]),
    (r" (\+=) ", ["-=", "="]), (r" (-=) ", ["+=", "="]), (r" (\|=) ", ["=", "&="]), (r" (&=) ", ["=", "|="]),
    (r"(\+\+)", ["--"]), (r"(--)", ["++"]),
    # logical
    (r" (&&) ", ["||"]), (r" (\|\|) ", ["&&"]), (r" (&) ", ["|"]), (r" (\|) ", ["&"]),
    (r"(?<=[(\s])(!)(?=[\w(])", [""]),
    # the smaller for the larger
    (r"\b(min|min_t|MIN)(?=\s*\()", None), (r"\b(max|max_t|MAX)(?=\s*\()", None),
    (r"\b(round_up|round_down|DIV_ROUND_UP)(?=\s*\()", None),
    (r"\b(true|false)\b", None),
]
OTHER = {"min": "max", "max": "min", "min_t": "max_t", "max_t": "min_t", "MIN": "MAX", "MAX": "MIN",
         "round_up": "round_down", "round_down": "round_up", "true": "false", "false": "true"}
NUMBER = re.compile(r"(?<![\w.])(0x[0-9a-fA-F]+|\d+)([uUlL]*)(?![\w.])")
CONDITION = re.compile(r"\b(?:if|while)\s*(\()")
# One that is no declaration; what is one after all does not compile without it.
STATEMENT = re.compile(r"(?<=[;{}):])(\s*\n[ \t]*)((?:\*|\+\+|--)*[a-zA-Z_][\w>.\[\]-]*\s*"
                       r"(?:\(|[-+|&^]?=[^=]|\+\+|--|;)[^;{}]*;)")
ELSEWHERE = re.compile(r"^\s*(#\s*(include|if|el|endif|undef)|.*\b(static_assert|_Static_assert|assert|"
                       r"g_assert\w*|EXPORT_SYMBOL_GPL|MODULE_\w+|trace_\w+|pr_(warn|err|info)\w*|"
                       r"__attribute__)\b)")
Mutant = collections.namedtuple("Mutant", "path start end text id")


def closing(text, start):
    """The place of the parenthesis that closes the one at @start."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if not depth:
            return at
    return start


def changes(code):
    """(start, end, new text) of everything that may be changed."""
    for pattern, others in SWAPS:
        for match in re.finditer(pattern, code):
            for other in others if others is not None else [OTHER.get(match.group(1))]:
                if other is not None:
                    yield match.start(1), match.end(1), other
    for match in NUMBER.finditer(code):
        value = int(match.group(1), 0) if not re.match(r"0\d", match.group(1)) else int(match.group(1), 8)
        yield match.start(), match.end(), f"{value + 1}{match.group(2)}"
        if value:
            yield match.start(), match.end(), f"{value - 1}{match.group(2)}"
    for match in CONDITION.finditer(code):
        end = closing(code, match.start(1))
        yield match.start(1), end + 1, "(!" + code[match.start(1):end + 1] + ")"
    for match in STATEMENT.finditer(code):
        # no line less: __LINE__ stays what it is
        yield match.start(2), match.end(2), ";" + "\n" * match.group(2).count("\n")


def mutants_of(path, text):
    code = blank(text)
    seen = collections.Counter()
    for start, end, new in changes(code):
        begin = text.rfind("\n", 0, start) + 1
        line = text[begin:text.find("\n", end)]
        if ELSEWHERE.match(line):
            continue
        # blanked strings come back
        if new.startswith("(!"):
            new = "(!" + text[start:end] + ")"
        key = f"{path}\0{line}\0{start - begin}\0{new}"
        seen[key] += 1
        yield Mutant(path, start, end, new,
                     hashlib.sha256(f"{key}\0{seen[key]}".encode()).hexdigest()[:16])


def apply(text, mutant):
    return text[:mutant.start] + mutant.text + text[mutant.end:]


def diff(mutant, text, context=2):
    lines = difflib.unified_diff(text.splitlines(), apply(text, mutant).splitlines(), mutant.path,
                                 mutant.path, lineterm="", n=context)
    return [line for line in lines if not line.startswith("---")]


def known_equivalents():
    """{(file, lines removed, lines added)} of equivalent.txt"""
    found, path, minus, plus = set(), None, [], []
    with open(os.path.join(HERE, "equivalent.txt"), encoding="utf-8") as file:
        for line in [*file.read().splitlines(), ""]:
            if line.startswith("-") and plus:
                found.add((path, tuple(minus), tuple(plus)))
                minus, plus = [], []
            if line.startswith("-"):
                minus.append(line[1:].strip())
            elif line.startswith("+"):
                plus.append(line[1:].strip())
            elif minus:
                found.add((path, tuple(minus), tuple(plus)))
                minus, plus = [], []
            if re.match(r"[\w/-]+\.[ch]$", line):
                path = line
    return found


def essence(mutant, text):
    """What equivalent.txt says of a mutant."""
    lines = diff(mutant, text, context=0)[2:]
    return (mutant.path, tuple(line[1:].strip() for line in lines if line[0] == "-"),
            tuple(line[1:].strip() for line in lines if line[0] == "+"))


# -- running them ---------------------------------------------------------------------------------

def limits():
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_MAX, FILE_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def rss_mb(group):
    """MiB of all processes of a group."""
    total = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[2]) == group:
                total += int(fields[21]) * 4096 >> 20
    return total


def run(command, cwd, seconds=None, environment=None, log=subprocess.DEVNULL):
    """Run a command in a process group of its own; return None if it succeeds, or why it does not."""
    process = subprocess.Popen(["bash", "-c", command], cwd=cwd, env={**os.environ, **(environment or {})},
                               stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                               start_new_session=True, preexec_fn=limits)
    end = time.monotonic() + seconds if seconds else None
    why = None
    while True:
        try:
            status = process.wait(timeout=1)
            break
        except subprocess.TimeoutExpired:
            if end and time.monotonic() > end:
                why = f"does not end within {seconds:.0f} s"
            elif rss_mb(process.pid) > RSS_MAX_MB:
                why = f"takes more than {RSS_MAX_MB} MiB"
        if why:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return why
    return None if status == 0 else f"exit status {status}"


class Runner:
    """An area's copy of the tree, in which its mutants are built and tested."""

    def __init__(self, name):
        self.name = name
        self.area = AREAS[name]
        self.folder = os.path.join(TOP, name)
        self.tree = os.path.join(self.folder, "tree")
        self.out = os.path.join(self.folder, "out")
        self.tmp = os.path.join(self.folder, "tmp")
        self.state = os.path.join(self.folder, "results.jsonl")
        self.texts = {}
        self.copy()
        self.tests = self.fingerprint()
        self.results = self.load()
        self.base = {}
        self.objects = {}
        self.log = open(os.path.join(self.folder, "log"), "w", encoding="utf-8")

    def copy(self):
        """What differs is copied anew, what is gone is removed: builds stay incremental."""
        wanted = set()
        for top in COPIED:
            for folder, folders, names in os.walk(os.path.join(REPO, top)):
                folders[:] = [name for name in folders if name not in NOT_COPIED]
                for name in names:
                    path = os.path.relpath(os.path.join(folder, name), REPO)
                    wanted.add(path)
                    to = os.path.join(self.tree, path)
                    if not os.path.exists(to) or not filecmp.cmp(os.path.join(REPO, path), to, shallow=False):
                        os.makedirs(os.path.dirname(to), exist_ok=True)
                        shutil.copy(os.path.join(REPO, path), to)
        for folder, _, names in os.walk(self.tree):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), self.tree)
                if path not in wanted and not path.endswith(".pyc"):
                    os.remove(os.path.join(self.tree, path))

    def fingerprint(self):
        """Of the tests: a survivor of others is tried again."""
        digest = hashlib.sha256(repr(self.area.tests).encode())
        for folder in ("unit", "ring", "log"):
            for path, folders, names in os.walk(os.path.join(REPO, "tests", folder)):
                folders.sort()
                for name in sorted(names):
                    with open(os.path.join(path, name), "rb") as file:
                        digest.update(file.read())
        return digest.hexdigest()[:16]

    def load(self):
        """{id: result} of earlier runs that still holds"""
        found = {}
        if os.path.exists(self.state):
            with open(self.state, encoding="utf-8") as file:
                for line in file:
                    result = json.loads(line)
                    if result["result"] != "survived" or result["tests"] == self.tests:
                        found[result["id"]] = result
                    else:
                        found.pop(result["id"], None)
        return found

    def source(self, path):
        """The original, as it was when the tree was copied: the sources may be worked on meanwhile."""
        if path not in self.texts:
            with open(os.path.join(self.tree, path), encoding="utf-8") as file:
                self.texts[path] = file.read()
        return self.texts[path]

    def write(self, path, text):
        with open(os.path.join(self.tree, path), "w", encoding="utf-8") as file:
            file.write(text)

    def expand(self, command):
        return command.replace("{O}", self.out)

    def build(self):
        for arguments in self.area.make:
            why = run(f"make --no-print-directory {self.expand(arguments)}", self.tree, log=self.log)
            if why:
                return why
        return None

    def test(self, command):
        shutil.rmtree(self.tmp, ignore_errors=True)
        os.makedirs(self.tmp)
        return run(self.expand(command), os.path.join(self.tree, self.area.cd), log=self.log,
                   seconds=self.base.get(command, 0) and max(SECONDS_MIN, TIMES_BASE * self.base[command]),
                   environment={
                       "TMPDIR": self.tmp, "O": self.out, "RULES": self.tmp, "LC_ALL": "C.UTF-8", "TZ": "UTC",
                       "DDEBUG_HOST": os.path.join(self.out, "unit", "sanitized", "ddebug-host"),
                       "G_SLICE": "always-malloc", "UBSAN_OPTIONS": "print_stacktrace=1",
                       "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0"})

    def begin(self):
        """The original must be built and pass.  Return why not."""
        os.makedirs(self.out, exist_ok=True)
        why = self.build()
        if why:
            return f"the original is not built: {why}, see {self.log.name}"
        for command in self.area.tests:
            start = time.monotonic()
            why = self.test(command)
            if why:
                return f"{self.expand(command)} fails for the original: {why}, see {self.log.name}"
            self.base[command] = time.monotonic() - start
        return None

    def compiled(self, path):
        """The object code of a file as it is in the tree, or None."""
        to = os.path.join(self.folder, "compare.o")
        # a header's is that of all who include it
        source = path
        if path.endswith(".h"):
            source = os.path.join(self.folder, "compare.c")
            users = subprocess.run(["grep", "-rl", "--include=*.c", os.path.basename(path),
                                    "host-tool/lib"], cwd=self.tree, check=False, text=True,
                                   stdout=subprocess.PIPE).stdout.split()
            objects = [self.compiled(user) for user in sorted(users)]
            return None if None in objects else b"".join(objects)
        # so that neither names of files nor lines differ
        why = run(f"gcc -std=gnu11 -O2 -g0 -w {self.area.flags} -c -o {to} {source} && "
                  f"objcopy --strip-unneeded -R .comment {to}", self.tree, log=self.log)
        if why:
            return None
        with open(to, "rb") as file:
            return file.read()

    def prepare_flags(self):
        """The empty headers of tests/ring must be there for the comparison."""
        empty = os.path.join(self.out, "ring", "include")
        if os.path.isdir(empty):
            link = os.path.join(self.tree, "tests", "ring", "include")
            if not os.path.islink(link):
                os.symlink(empty, link)

    def judge(self, mutant):
        """("killed", "survived", "equivalent" or "stillborn", by what)"""
        text = self.source(mutant.path)
        if mutant.path not in self.objects:
            self.objects[mutant.path] = self.compiled(mutant.path)
        self.write(mutant.path, apply(text, mutant))
        try:
            code = self.compiled(mutant.path)
            if code is None:
                return "stillborn", "does not compile"
            if code == self.objects[mutant.path]:
                return "equivalent", "the same object code"
            if self.build():
                return "stillborn", "is not built"
            for command in self.area.tests:
                why = self.test(command)
                if why:
                    return "killed", f"{os.path.basename(command.split()[0])}: {why}"
            return "survived", ""
        finally:
            self.write(mutant.path, text)

    def record(self, mutant, result, by):
        entry = {"id": mutant.id, "result": result, "by": by, "tests": self.tests}
        self.results[mutant.id] = entry
        with open(self.state, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def files(self):
        found = []
        for pattern in self.area.files:
            folder, name = os.path.split(pattern)
            found += sorted(os.path.join(folder, entry) for entry in os.listdir(os.path.join(REPO, folder))
                            if re.fullmatch(name.replace(".", r"\.").replace("*", ".*"), entry))
        return found

    def draw(self):
        """The mutants of the area in the seed's order."""
        every = [mutant for path in self.files() for mutant in mutants_of(path, self.source(path))]
        return sorted(every, key=lambda m: hashlib.sha256(f"{SEED}\0{m.id}".encode()).digest())

    def check(self):
        """Judge MUTANTS of the area; return counts, survivors, and why nothing was judged."""
        known = known_equivalents()
        counts = collections.Counter()
        drawn, chosen = self.draw(), []
        counts["of"] = len(drawn)
        # those that do not count are replaced: what is wanted is MUTANTS that do
        queue = collections.deque(drawn)
        begun = False
        while queue and len(chosen) < MUTANTS:
            batch = [queue.popleft() for _ in range(min(len(queue), MUTANTS - len(chosen)))]
            # one file after the other: fewer objects to build
            for mutant in sorted(batch, key=lambda m: (m.path, m.start)):
                text = self.source(mutant.path)
                if essence(mutant, text) in known:
                    counts["equivalent"] += 1
                    continue
                if mutant.id not in self.results:
                    if not begun:
                        why = self.begin()
                        if why:
                            return counts, [], why
                        self.prepare_flags()
                        begun = True
                    self.record(mutant, *self.judge(mutant))
                result = self.results[mutant.id]["result"]
                counts[result] += 1
                if result in ("killed", "survived"):
                    chosen.append(mutant)
                    if result == "survived":
                        print(f"# {self.name}: survived", flush=True)
                        print("\n".join("#   " + line for line in diff(mutant, text)), flush=True)
        return counts, chosen, None


def main():
    names = sys.argv[1:] or os.environ.get("AREAS", "").split() or list(AREAS)
    if set(names) - set(AREAS):
        print(f"mutants.py: unknown area: {' '.join(set(names) - set(AREAS))}; choose of {' '.join(AREAS)}",
              file=sys.stderr)
        return 2
    bad = False
    print(f"1..{len(names)}")
    for number, name in enumerate(names, 1):
        counts, chosen, why = Runner(name).check()
        killed = counts["killed"]
        good = not why and chosen and killed * 100 >= GOAL * len(chosen)
        bad = bad or not good
        print(f"# {why}" if why else
              f"# {name}: {killed} killed, {counts['survived']} survived, {counts['equivalent']} equivalent, "
              f"{counts['stillborn']} stillborn, of {counts['of']}; seed {SEED}")
        print(f"{'ok' if good else 'not ok'} {number} - mutants: {name}: "
              f"at least {GOAL} % of {MUTANTS} are noticed", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
