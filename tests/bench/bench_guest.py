# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's side: instructions, traps and kicks, by ddebug_bench in guests.

Boots of the same guest:

cost   -icount shift=0,sleep=off: the time stamp counter counts instructions.
       All variants in this boot, there and back again (ABBA).
shm    the same, our text records alone, with the rings in shared memory.
traps  the same, with QEMU's log of exceptions and of accesses to devices;
       few messages, every trap counted.
cpus   eight CPUs, one after the other in slices of the emulator's, under
       -icount shift=3: an instruction advances the shared clock by 8 ticks.
time   real time: kicks at given rates, and wall-clock ratios, round by round;
       a trace of trace_printk() for the comparison of tools.
"""

import os
import re
import shutil
import statistics
import subprocess
import tarfile
import time

from ddebug.guest import BUILD, Guest, chosen_kernel, initrd

BENCH = os.path.join(BUILD, "bench")
EXTRA = "/bench"
CODE = "/sys/kernel/debug/ddebug_bench/code"
RUN = "/sys/kernel/debug/ddebug_bench/run"
PACKED = "/sys/module/ddebug_rb/parameters/packed"
CONSOLE = "/sys/kernel/debug/ddebug_bench/console"
FIRST_PORT, LAST_PORT = 0x3f8, 0x3ff
INT3 = 3

SHAPES = ("static", "int3", "str16", "str200", "mac")

# The number of messages: enough that reading the counter twice does not show.
COUNT = 2000
COUNT_CONSOLE = 300
COUNT_TRAPS = 100
COUNT_FLOOD = 200000
COUNT_CPUS = 20000
COUNT_PEERS = 100000
CPUS_SHIFT = 3
ROUNDS = 15
ROUNDS_ATTEMPTS = 3
PAIR_TOLERANCE = 0.03


class BenchError(Exception):
    """The measurement cannot be trusted, or a part failed."""


def copy_program(path, root):
    """A program with the libraries that it needs."""
    needs = subprocess.run(["ldd", path], check=True, text=True, stdout=subprocess.PIPE).stdout
    for name in [path, *re.findall(r"(/\S+) \(0x", needs)]:
        os.makedirs(root + os.path.dirname(name), exist_ok=True)
        shutil.copy(os.path.realpath(name), root + name)


def bench_image():
    """The tests' image, with another archive of what the bench needs."""
    kernel = chosen_kernel()
    root = os.path.join(BENCH, "root")
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root + EXTRA)
    modules = os.path.join(kernel["root"], "lib", "modules", kernel["release"], "kernel")
    shutil.copy(os.path.join(modules, "drivers", "char", "virtio_console.ko"), root + EXTRA)
    copy_program(shutil.which("trace-cmd"), root)
    subprocess.run(["strip", "--strip-debug", "-o", f"{root}{EXTRA}/ddebug_bench.ko",
                    os.path.join(BENCH, "guest", "ddebug_bench.ko")], check=True)
    names = b"\0".join(os.fsencode(os.path.relpath(os.path.join(top, name), root))
                       for top, dirs, files in os.walk(root) for name in sorted(dirs + files))
    archive = subprocess.run(["cpio", "--null", "--create", "--format=newc", "--owner=0:0", "--quiet"],
                             cwd=root, input=names, stdout=subprocess.PIPE, check=True).stdout
    image = os.path.join(BENCH, "initrd.img")
    with open(initrd(), "rb") as base, open(image, "wb") as out:
        shutil.copyfileobj(base, out)
        out.write(archive)
    return image


class BenchGuest(Guest):
    """A guest with ddebug_bench, and a second console, hvc0."""

    def __init__(self, image, name, icount="shift=0", hvc_ioeventfd=True, smp=1, trace=False,
                 life=600, **options):
        directory = os.path.join(BENCH, "guests")
        shutil.rmtree(os.path.join(directory, name), ignore_errors=True)
        super().__init__(directory, name=name, smp=smp, life=life,
                         accel="tcg" if icount else "tcg,thread=single",
                         append="console=hvc0 clearcpuid=erms,fsrm nowatchdog", **options)
        self.image = image
        self.trace_log = self.path("trace.log")
        self.args += ["-device", "virtio-serial-pci,id=serial0,ioeventfd="
                      + ("on" if hvc_ioeventfd else "off"),
                      "-chardev", f"file,id=hvc,path={self.path('hvc.log')}",
                      "-device", "virtconsole,chardev=hvc"]
        if icount:
            self.args += ["-icount", icount + ",sleep=off"]
        if trace:
            self.args += ["-D", self.trace_log]

    def command_line(self):
        line = super().command_line()
        line[line.index("-initrd") + 1] = self.image
        return line

    def boot(self):
        super().boot()
        self.must(f"insmod {EXTRA}/virtio_console.ko && insmod {EXTRA}/ddebug_bench.ko")
        self.must("dmesg -n 8")
        self.console_only("none")
        return self

    def console_only(self, name):
        status, output = self.write(CONSOLE, name)
        if status:
            raise BenchError(f"cannot choose the console {name}: {output}")

    def messages(self, what, shape="int3", count=COUNT, threads=0, irqs="off"):
        """Run ddebug_bench: {name: number} of its report."""
        self.must(f"echo '{what} {shape} {count} {threads} {irqs}' > {RUN}", timeout=300)
        return self.numbers(RUN)

    def insns(self, what, shape="int3", **more):
        """Instructions per message."""
        found = self.messages(what, shape, **more)
        return found["ticks"] / found["count"]

    def wait_disarmed(self):
        """Wait until the probes on the print functions are off, as nobody has 'r'."""
        for _ in range(60):
            if "DISABLED" in self.must("grep __dynamic_pr_debug /sys/kernel/debug/kprobes/list"):
                return
            self.must("sleep 1")
        raise BenchError("the print probes stay armed though no callsite has 'r'")

    def traps(self, what, shape, count=COUNT_TRAPS):
        """The traps per message: {"int3", "port", "notify"}: exact counts over @count."""
        self.command("human-monitor-command", **{
            "command-line": "log int,trace:memory_region_ops_write,trace:memory_region_ops_read"})
        before = os.path.getsize(self.trace_log)
        self.messages(what, shape, count)
        self.command("human-monitor-command", **{"command-line": "log none"})
        with open(self.trace_log, encoding="utf-8", errors="replace") as file:
            file.seek(before)
            text = file.read()
        ports = [int(address, 16) for address in
                 re.findall(r"memory_region_ops_(?:read|write) .*addr 0x([0-9a-f]+) .*name 'serial'", text)]
        return {
            "int3": len(re.findall(rf"^ *\d+: v={INT3:02x} ", text, re.M)),
            "port": sum(FIRST_PORT <= port <= LAST_PORT for port in ports),
            "notify": len(re.findall(r"memory_region_ops_write .*name 'virtio-pci-notify-virtio-serial'",
                                     text)),
        }


# -- variants ------------------------------------------------------------------

class Variant:
    """A way of a message: what ddebug_bench does, and how it is set up."""

    def __init__(self, name, what, query=None, console="none", count=COUNT, shapes=SHAPES,
                 armed=False, packed=True):
        self.name = name
        self.what = what
        self.query = query
        self.console = console
        self.count = count
        self.shapes = shapes
        self.armed = armed      # another callsite has 'r', so the probes are on
        self.packed = packed    # records of arguments, where possible

    def set_up(self, guest):
        guest.control("module ddebug_bench =_")
        guest.must(f"echo {'Y' if self.packed else 'N'} > {PACKED}")
        if self.armed:
            guest.control("module ddebug_bench func loop_null_static +r")
        elif not self.query or "r" not in self.query:
            guest.wait_disarmed()
        if self.query:
            guest.control(f"module ddebug_bench func loop_{self.what}_* {self.query}")
        if self.console != "none":
            guest.console_only(self.console)

    def tear_down(self, guest):
        guest.control("module ddebug_bench =_")
        guest.must(f"echo Y > {PACKED}")
        if self.console != "none":
            guest.console_only("none")


ONE = ("int3",)
VARIANTS = (
    Variant("empty", "empty", shapes=ONE),
    Variant("loop", "loop", shapes=ONE),
    Variant("rdtsc", "rdtsc", shapes=ONE),
    Variant("local_clock", "clock", shapes=ONE),
    Variant("memcpy 200", "memcpy", shapes=ONE),
    Variant("disabled", "pr"),
    Variant("vsnprintf", "vsnprintf"),
    Variant("null sink", "null", query="+p"),
    Variant("trace_printk", "trace"),
    Variant("+p, no console", "pr", query="+p"),
    Variant("+p, no console, probes armed", "pr", query="+p", armed=True),
    Variant("+p, ttyS0", "pr", query="+p", console="ttyS", count=COUNT_CONSOLE),
    Variant("+p, hvc0", "pr", query="+p", console="hvc", count=COUNT_CONSOLE),
    Variant("+r", "pr", query="+r", packed=False),
    Variant("+r, sink", "emit", query="+r", packed=False),
    Variant("+r, packed", "pr", query="+r"),
    Variant("+r, packed, sink", "emit", query="+r"),
)


def measure_cost(guest):
    """{variant: {shape: [instructions per message: there, back]}}"""
    found = {variant.name: {shape: [] for shape in variant.shapes} for variant in VARIANTS}
    for order in (VARIANTS, tuple(reversed(VARIANTS))):
        for variant in order:
            variant.set_up(guest)
            for shape in variant.shapes:
                found[variant.name][shape].append(
                    guest.insns(variant.what, shape, count=variant.count))
            variant.tear_down(guest)
    return found


def check_instrument(found, loop_insns):
    """The canned loop: check that as many instructions were counted as executed."""
    empty = statistics.mean(found["empty"]["int3"])
    loop = statistics.mean(found["loop"]["int3"]) - empty
    if abs(loop - loop_insns) > 0.005 * loop_insns:
        raise BenchError(f"a loop of {loop_insns} instructions is counted as {loop:.2f}: "
                         "the time stamp counter does not count instructions here")
    return {"loop_known": loop_insns, "loop_counted": loop}


def measure_bytes(guest, packed):
    """The bytes of a record in the ring, by shape."""
    guest.must(f"echo {'Y' if packed else 'N'} > {PACKED}")
    guest.control("module ddebug_bench func loop_pr_* +r")
    found = {}
    for shape in SHAPES:
        # starts a new sub-buffer: in one that was started long ago each message costs a TIME record
        guest.messages("pr", shape)
        before = guest.stats()
        guest.messages("pr", shape)
        after = guest.stats()
        found[shape] = (after["task_bytes"] - before["task_bytes"]) / \
            (after["task_committed"] - before["task_committed"])
    guest.control("module ddebug_bench =_")
    return found


def kick_counts(guest):
    stats = guest.stats()
    return {"driver": stats["kicks"], "works_now": stats["irq_works_now"],
            "works_lazy": stats["irq_works_lazy"], "device": guest.counter("kicks"),
            "wakeups": guest.counter("wakeups"), "messages": guest.committed()}


def kicks_during(guest, action):
    before = kick_counts(guest)
    action()
    time.sleep(0.5)
    after = kick_counts(guest)
    return {name: after[name] - before[name] for name in before}


def flood(guest, count):
    """As fast as possible, interrupts on: rate by the guest's clock, kicks, cost."""
    guest.control("module ddebug_bench func loop_pr_int3 +r")
    guest.messages("pr", "int3", 1000, irqs="on")
    result = {}

    def make():
        result.update(guest.messages("pr", "int3", count, irqs="on"))

    kicks = kicks_during(guest, make)
    guest.control("module ddebug_bench =_")
    return {"count": count, "rate": count / (result["ns"] / 1e9), "kicks": kicks,
            "insns": result["ticks"] / count}


def cost_boot(image):
    guest = BenchGuest(image, "cost")
    try:
        guest.boot()
        known = guest.messages("empty", count=1)["loop_insns"]
        cost = measure_cost(guest)
        proof = check_instrument(cost, known)
        return {"cost": cost, "instrument": proof, "bytes": measure_bytes(guest, False),
                "packed_bytes": measure_bytes(guest, True),
                "flood_icount": flood(guest, COUNT_FLOOD // 4)}
    finally:
        guest.close()


SHM_VARIANTS = ("+r", "+r, sink")


def shm_boot(image):
    """{variant: instructions of a three-int message: there, back}, with the rings in the log file."""
    guest = BenchGuest(image, "shm", props="shm=on")
    try:
        guest.boot()
        stats = guest.stats()
        if stats["shared"] != stats["streams"]:
            raise BenchError(f"{stats['shared']} of {stats['streams']} rings are in shared memory")
        found = {name: [] for name in SHM_VARIANTS}
        variants = [variant for variant in VARIANTS if variant.name in SHM_VARIANTS]
        for variant in variants + variants[::-1]:
            variant.set_up(guest)
            found[variant.name].append(guest.insns(variant.what))
            variant.tear_down(guest)
        return found
    finally:
        guest.close()


def cpus_messages(guest, threads):
    """{what: instructions per message, twice}, with @threads CPUs at once."""
    # the loop is short: more rounds of it, to take about as long
    counts = {"loop": 10 * COUNT_CPUS, "emit": COUNT_CPUS}
    return {what: [guest.insns(what, count=count, threads=threads) / (1 << CPUS_SHIFT)
                   for _ in range(2)]
            for what, count in counts.items()}


def cpus_boot(image):
    """G11: eight CPUs that log at once, against one CPU while it is the only one."""
    guest = BenchGuest(image, "cpus", icount=f"shift={CPUS_SHIFT}", smp=8)
    # Under icount a CPU that waits for another one waits a whole slice, so code is patched while
    # there is only one.
    guest.append += " maxcpus=1"
    try:
        guest.boot()
        guest.control("module ddebug_bench func loop_emit_int3 +r")
        one = cpus_messages(guest, 1)
        guest.must("for i in 1 2 3 4 5 6 7; do echo 1 > /sys/devices/system/cpu/cpu$i/online; done",
                   timeout=300)
        guest.must("sleep 3", timeout=300)
        eight = cpus_messages(guest, 8)
        return {what: {"1": one[what], "8": eight[what]} for what in one}
    finally:
        guest.close()


TRAP_VARIANTS = ("empty", "+p, no console", "+p, ttyS0", "+p, hvc0", "+r", "+r, sink",
                 "+r, packed", "+r, packed, sink")


def traps_boot(image):
    guest = BenchGuest(image, "traps", hvc_ioeventfd=False, trace=True)
    try:
        guest.boot()
        known = COUNT_TRAPS + 1     # one is created before counting starts
        found = {"port proof": {"port": guest.traps("port", "int3")["port"], "known": known}}
        if found["port proof"]["port"] != known:
            raise BenchError(f"{known} writes to a port are counted as {found['port proof']['port']}")
        for variant in VARIANTS:
            if variant.name in TRAP_VARIANTS:
                variant.set_up(guest)
                found[variant.name] = {shape: guest.traps(variant.what, shape)
                                       for shape in variant.shapes}
                variant.tear_down(guest)
        return {"traps": found, "traps_count": known}
    finally:
        guest.close()


def quiet_rounds(guest):
    """rounds(), repeated if the machine was too noisy for a result."""
    for _ in range(ROUNDS_ATTEMPTS):
        found = rounds(guest)
        pair = statistics.median(a / b for a, b in zip(found["ours again"], found["ours"]))
        if abs(pair - 1) <= PAIR_TOLERANCE:
            break
    return found


def rounds(guest):
    """Nanoseconds per message of the three-int shape, round by round, interleaved."""
    ways = {
        "ttyS0": ("+p", "ttyS", 100),
        "hvc0": ("+p", "hvc", 100),
        "ours": ("+r", None, 10000),
        "ours again": ("+r", None, 10000),
    }
    found = {name: [] for name in ways}
    for number in range(ROUNDS):
        for name in sorted(ways, reverse=number % 2 == 1):
            flags, console, count = ways[name]
            guest.control(f"module ddebug_bench func loop_pr_int3 ={flags[1:]}")
            if console:
                guest.console_only(console)
            made = guest.messages("pr", "int3", count, irqs="on")
            if console:
                guest.console_only("none")
            found[name].append(made["ns"] / made["count"])
    guest.control("module ddebug_bench =_")
    return found


def compare_code(guest):
    """{state of the callsite: whether its code is the stock one}"""
    def code():
        return guest.must(f"od -v -t x1 {CODE}")

    stock = code()
    guest.must("modprobe virtio_ddebug")
    found = {"driver loaded": code() == stock}
    guest.control("module ddebug_bench func loop_pr_int3 +r")
    found["with r"] = code() == stock
    guest.control("module ddebug_bench func loop_pr_int3 -r")
    found["r taken away"] = code() == stock
    if found["with r"]:
        raise BenchError("a callsite that is on has the code of one that is off: not a test")
    return found


def record_trace(guest, drive):
    """The three-int message through trace_printk(), as a trace.dat."""
    guest.must("modprobe virtio_blk && mount -t tracefs trace /sys/kernel/tracing && "
               "echo 32768 > /sys/kernel/tracing/buffer_size_kb && echo > /sys/kernel/tracing/trace")
    # one is created before counting starts
    guest.messages("trace", "int3", COUNT_PEERS - 1, irqs="on")
    guest.must("cd /tmp && trace-cmd extract -o trace.dat && tar -cf /dev/vda trace.dat && sync",
               timeout=200)
    with tarfile.open(drive) as archive:
        archive.extract("trace.dat", os.path.dirname(drive))
    return os.path.join(os.path.dirname(drive), "trace.dat")


def time_boot(image):
    guest = BenchGuest(image, "time", icount=None, modules=())
    drive = guest.path("trace.tar")
    with open(drive, "wb") as file:
        file.truncate(64 << 20)
    guest.args += ["-drive", f"file={drive},format=raw,if=none,id=out",
                   "-device", "virtio-blk-pci,drive=out"]
    try:
        guest.boot()
        found = {"code": compare_code(guest), "trace": record_trace(guest, drive)}
        guest.must("modprobe ddebug_test")
        found["flood"] = flood(guest, COUNT_FLOOD)
        guest.control("module ddebug_test +r")
        report = {}
        kicks = kicks_during(guest, lambda: report.update(
            guest.load("threads=1 count=10000 rate=1000 shape=int3", timeout=200)))
        found["rate1k"] = {"count": report["produced"], "kicks": kicks,
                           "rate": report["produced"] / (report["elapsed_us"] / 1e6)}
        guest.control("module ddebug_test -r")
        time.sleep(3)
        found["idle"] = {"seconds": 20, "kicks": kicks_during(guest, lambda: time.sleep(20))}
        found["rounds"] = quiet_rounds(guest)
        return found
    finally:
        guest.close()


def measure(log):
    image = bench_image()
    found = {}
    for name, boot in (("cost", cost_boot), ("shm", shm_boot), ("traps", traps_boot), ("cpus", cpus_boot),
                       ("time", time_boot)):
        begin = time.monotonic()
        found[name] = boot(image)
        log(f"guest, {name}: {time.monotonic() - begin:.0f} s")
    return found
