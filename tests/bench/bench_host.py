# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's side: instructions by callgrind, and other projects' tools."""

import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import time

from ddebug.guest import BUILD, child_dies_with_us, tool

BENCH = os.path.join(BUILD, "bench")
ROUNDS = 15
PINGS = 51

# Two sizes: their difference is the cost of the messages, without start and end.
SMALL, LARGE = 50000, 150000
# How often the drain thread sleeps meanwhile depends on the machine, and costs a message little.
DRAIN_SMALL, DRAIN_LARGE = 10 * SMALL, 10 * LARGE
PEER_EVENTS = 100000
NATIVE_EVENTS = 300000

# A long rep movsb counts once per byte: have glibc copy by plain moves.
TUNABLES = {"GLIBC_TUNABLES": "glibc.cpu.x86_rep_movsb_threshold=0x40000000"}


class HostError(Exception):
    """A program of the bench failed."""


def folder(name):
    path = os.path.join(BENCH, name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


def run(command, **more):
    more.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          preexec_fn=child_dies_with_us, **more)
    if done.returncode:
        raise HostError(f"{' '.join(command)}: exit status {done.returncode}: "
                        f"{done.stderr.decode(errors='replace')[-1000:]}")
    return done


def callgrind(command, out, toggle=None):
    """Instructions: {"total": n, function: n including its callees}."""
    options = [f"--toggle-collect={toggle}"] if toggle else []
    run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *options, *command],
        env={**os.environ, **TUNABLES, "LC_ALL": "C"})
    text = run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", out]).stdout.decode()
    found = {"total": int(re.search(r"([\d,]+) .*PROGRAM TOTALS", text).group(1).replace(",", ""))}
    for match in re.finditer(r"^ *([\d,]+) \([^)]*\)  \S*:(\w+)", text, re.M):
        found.setdefault(match.group(2), int(match.group(1).replace(",", "")))
    return found


def per_message(small, large, name, count=LARGE - SMALL):
    return (large.get(name, 0) - small.get(name, 0)) / count


def drain(where):
    """The device's copy of opaque 24-byte messages, and its checksum."""
    found = []
    for count in (DRAIN_SMALL, DRAIN_LARGE):
        log = os.path.join(where, f"drain{count}.log")
        found.append(callgrind([os.path.join(BENCH, "bench-drain"), "fill", log, str(count), "opaque"],
                               os.path.join(where, f"drain{count}.callgrind"), toggle="drain_thread"))
    more = DRAIN_LARGE - DRAIN_SMALL
    total = per_message(*found, "total", more)
    # ddebug_crc32c(), and whichever of ISA-L's functions this CPU uses
    names = {name for counted in found for name in counted if "crc32" in name}
    checksum = sum(per_message(*found, name, more) for name in names)
    if checksum <= 0:
        raise HostError("callgrind did not see the checksum: not a measurement")
    return {"total": total, "checksum": checksum, "copy": total - checksum}


def canned(where, count):
    """A log of `count` three-int messages, created once: its path."""
    log = os.path.join(where, f"text{count}.log")
    if os.path.exists(log):
        return log
    run([os.path.join(BENCH, "bench-drain"), "fill", log, str(count), "text"])
    return log


def tool_cost(where):
    """The tool on canned logs: merge only, and merge and format."""
    logs = [canned(where, count) for count in (SMALL, LARGE)]
    ways = {"merge": [os.path.join(BENCH, "bench-merge")], "format": [tool(), "--trace"]}
    found = {}
    for name, command in ways.items():
        counted = []
        for log in logs:
            shown = run([*command, log]).stdout
            counted.append(callgrind([*command, log], os.path.join(where, name + ".callgrind")))
            messages = int(re.search(r"\d+", os.path.basename(log)).group())
            if name == "format" and shown.count(b"\n") != messages:
                raise HostError(f"{log}: the tool shows {shown.count(10)} lines")
        found[name] = per_message(*counted, "total")
    return found


def beside(where):
    """What callgrind does not say about the tool: time, system calls, memory."""
    log = canned(where, LARGE)
    calls = os.path.join(where, "strace.txt")
    run(["strace", "-f", "-qq", "-o", calls, tool(), "--trace", log], stdout=subprocess.DEVNULL)
    with open(calls, encoding="utf-8", errors="replace") as file:
        syscalls = sum(1 for line in file)
    child = subprocess.Popen([tool(), "--trace", log], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, preexec_fn=child_dies_with_us)
    status, usage = os.wait4(child.pid, 0)[1:]
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise HostError(f"ddebug-host --trace {log}: exit status {child.returncode}")
    return {"messages": LARGE, "seconds": usage.ru_utime + usage.ru_stime, "syscalls": syscalls,
            "rss_kib": usage.ru_maxrss}


def known_loop(where):
    """Check the measurement on the host: twice the input, twice the instructions of what is linear."""
    source = os.path.join(where, "known.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write('int main(int c, char **v) { (void)v; unsigned long n = c * 1000000ul;\n'
                   'asm volatile("1: dec %0\\n jnz 1b" : "+r"(n) : : "cc"); return 0; }\n')
    program = os.path.join(where, "known")
    run(["cc", "-O2", "-o", program, source])
    counts = [callgrind([program] + ["x"] * more, os.path.join(where, "known.callgrind"))["total"]
              for more in (0, 1)]
    counted = counts[1] - counts[0]
    if abs(counted - 2000000) > 2000:
        raise HostError(f"2000000 instructions more are counted as {counted}")
    return {"known": 2000000, "counted": counted}


def ping(where):
    """From a single message to the output of --pipe, against a bare thread and pipe, ns."""
    log = os.path.join(where, "ping.log")
    out = run([os.path.join(BENCH, "bench-drain"), "ping", log, str(PINGS), tool(), "--pipe", log])
    pairs = [tuple(map(int, line.split())) for line in out.stdout.decode().splitlines()]
    return {"message": statistics.median(pair[0] for pair in pairs),
            "bare": statistics.median(pair[1] for pair in pairs),
            "ratio": statistics.median(pair[0] / pair[1] for pair in pairs)}


# -- other projects' tools --------------------------------------------------------

def native(env):
    """The ring natively against LTTng-UST: ns per event, medians, also of the ratios to theirs.

    Ours is run twice, for the ratio of equals on this machine.
    """
    programs = {"ust": "bench-ust", "ours": "bench-ring", "again": "bench-ring"}
    rounds = {name: [] for name in programs}
    # the oldest are overwritten, as in our rings: an event without room would cost less
    for words in (["create", "native", "--snapshot"],
                  ["enable-channel", "-u", "--subbuf-size=64K", "--num-subbuf=4", "c"],
                  ["enable-event", "-u", "ddebug_bench:urb", "-c", "c"], ["start"]):
        run(["lttng", *words], env=env)
    for number in range(ROUNDS):
        for name in sorted(programs, reverse=number % 2 == 1):
            out = run([os.path.join(BENCH, programs[name]), str(NATIVE_EVENTS)], env=env).stdout
            rounds[name].append([float(word) for word in out.split()])
    discarded = re.findall(r"<discarded_events>(\d+)<",
                           run(["lttng", "--mi=xml", "list", "native"], env=env).stdout.decode())
    run(["lttng", "destroy", "native"], env=env)
    if not discarded or any(map(int, discarded)):
        raise HostError(f"LTTng-UST has discarded events: {discarded}")

    def times(name, column):
        return [values[column] for values in rounds[name]]

    def ratio(one, other):
        return statistics.median(a / b for a, b in zip(one, other))

    ust = times("ust", 0)
    columns = {"ring": 0, "text": 1, "format": 2, "packed": 3}
    return {"events": NATIVE_EVENTS, "rounds": ROUNDS, "ust_ns": statistics.median(ust),
            **{f"{name}_ns": statistics.median(times("ours", column)) for name, column in columns.items()},
            **{f"{name}_ratio": ratio(times("ours", column), ust) for name, column in columns.items()},
            "again": ratio(times("again", 0), times("ours", 0))}


def record_lttng(where):
    """The three-int message through LTTng-UST: the trace's folder, and native()."""
    home = os.path.join(where, "home")
    trace = os.path.join(where, "ctf")
    os.makedirs(home)
    env = {**os.environ, "LTTNG_HOME": home, "HOME": home}
    with open(os.path.join(where, "sessiond.log"), "wb") as out:
        daemon = subprocess.Popen(["lttng-sessiond", "--no-kernel"], env=env, stdin=subprocess.DEVNULL,
                                  stdout=out, stderr=out, preexec_fn=child_dies_with_us)
    try:
        for _ in range(100):
            if subprocess.run(["lttng", "list"], env=env, check=False, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0:
                break
            time.sleep(0.1)
        for words in (["create", "bench", f"--output={trace}"],
                      ["enable-channel", "-u", "--subbuf-size=4M", "--num-subbuf=8", "c"],
                      ["enable-event", "-u", "ddebug_bench:urb", "-c", "c"], ["start"]):
            run(["lttng", *words], env=env)
        run([os.path.join(BENCH, "bench-ust"), str(PEER_EVENTS)], env=env)
        run(["lttng", "stop"], env=env)
        run(["lttng", "destroy", "bench"], env=env)
        rates = native(env)
    finally:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
    return trace, rates


def cpu_seconds(command):
    """User and system time of a command, and its lines of output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(command, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peers(where, trace_dat):
    """Messages per CPU second of each tool: medians, also of the ratios to ours."""
    ctf, rates = record_lttng(where)
    log = canned(where, PEER_EVENTS)
    ways = {
        "ddebug-host": [tool(), "--trace", log],
        "ddebug-host again": [tool(), "--trace", log],
        "trace-cmd report": ["trace-cmd", "report", "-i", trace_dat],
        "babeltrace2": ["babeltrace2", ctf],
    }
    events = {}
    for name, command in ways.items():
        shown = run(command).stdout
        events[name] = len(re.findall(rb"urb (?:= )?\d+,? len (?:= )?\d+,? status (?:= )?-?\d+", shown))
        if events[name] != PEER_EVENTS:
            raise HostError(f"{name}: shows {events[name]} of {PEER_EVENTS} events: {shown[-300:]}")
    seconds = {name: [] for name in ways}
    for number in range(ROUNDS):
        for name in sorted(ways, reverse=number % 2 == 1):
            seconds[name].append(cpu_seconds(ways[name]))
    ours = seconds["ddebug-host"]
    return {
        "events": PEER_EVENTS, "native": rates,
        "rate": {name: PEER_EVENTS / statistics.median(values) for name, values in seconds.items()},
        "ratio": {name: statistics.median(other / own for other, own in zip(values, ours))
                  for name, values in seconds.items()},
    }


# -- the fast path's code ----------------------------------------------------------

ENTRIES = ("ddebug_pr_debug", "ddebug_emit")
# Reached from the fast path, but not by a normal message: see their callers for the proof.
RARE = ("ddebug_slot_next", "ddebug_pad_torn", "ddebug_prefix", "ddebug_owner_died",
        "ddebug_dict_learn_ask")


def functions_of(module):
    """{function: [lines of its disassembly, relocations included]}"""
    text = run(["objdump", "-dr", "--no-show-raw-insn", "-j", ".text", module]).stdout.decode()
    found, name = {}, None
    for line in text.splitlines():
        match = re.match(r"[0-9a-f]+ <(\w[\w.]*)>:", line)
        if match:
            name = match.group(1)
            found[name] = []
        elif name:
            found[name].append(line)
    return found


def fast_path():
    """G12: what slows the processor down, in everything that a message runs through in the module."""
    functions = functions_of(os.path.join(BUILD, "guest-driver", "6.1", "ddebug_rb.ko"))
    todo, seen, outside = list(ENTRIES), set(), set()
    marks = {"lock": [], "fence": [], "indirect": []}
    while todo:
        name = todo.pop()
        if name in seen or name.split(".")[0] in RARE:
            continue
        seen.add(name)
        for line in functions[name]:
            if re.search(r"\block\b|\bxchg +%\w+,.*\(", line):
                marks["lock"].append(name)
            if re.search(r"\b[lms]fence\b", line):
                marks["fence"].append(name)
            if re.search(r"\bcall +\*|\bjmp +\*|__x86_indirect_thunk", line):
                marks["indirect"].append(name)
            match = re.search(r"\b(?:call|jmp) +[0-9a-f]+ <(\w[\w.]*)>", line) or \
                re.search(r"R_X86_64_PLT32\s+(\w[\w.]*)", line)
            if match and match.group(1) in functions:
                todo.append(match.group(1))
            elif match and "R_X86_64_PLT32" in line:
                outside.add(match.group(1))
    lines = [line for name in functions for line in functions[name]]
    if not any(re.search(r"\block\b", line) for line in lines) or \
       not any("__x86_indirect_thunk" in line for line in lines):
        raise HostError("no locked instruction or indirect call in the whole module: not a test")
    return {"functions": sorted(seen), "outside": sorted(outside),
            **{name: sorted(set(where)) for name, where in marks.items()}}


def measure(log, trace_dat):
    where = folder("host")
    begin = time.monotonic()
    found = {"known": known_loop(where), "drain": drain(where), "tool": tool_cost(where),
             "fast_path": fast_path()}
    log(f"host, callgrind: {time.monotonic() - begin:.0f} s")
    begin = time.monotonic()
    found["beside"] = beside(where)
    found["ping"] = ping(where)
    found["peers"] = peers(where, trace_dat)
    log(f"host, latency and peers: {time.monotonic() - begin:.0f} s")
    return found
