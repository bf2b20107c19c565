# SPDX-License-Identifier: GPL-2.0-or-later
"""From measurements to the table of the goals, and the table of all variants."""

import statistics

from bench_guest import PAIR_TOLERANCE, SHAPES
import prose

MET, NOT_MET, NOT_BUILT, UNDECIDED = "met", "not met", "not built yet", "not decided"


def mean(values):
    return statistics.mean(values)


class Results:
    """The figures of the goals, from the measurements."""

    def __init__(self, data):
        self.guest = data["guest"]
        self.host = data["host"]
        self.cost = self.guest["cost"]["cost"]
        self.traps = self.guest["traps"]["traps"]
        self.time = self.guest["time"]

    def insns(self, variant, shape="int3"):
        return mean(self.cost[variant][shape])

    def trap(self, variant, kind, shape="int3"):
        """The traps of a kind per message."""
        return self.traps[variant][shape][kind] / self.guest["traps"]["traps_count"]

    def kicks_per_1000(self, run):
        return 1000 * run["kicks"]["driver"] / run["count"]

    def wall_ratio(self, other, ours="ours"):
        rounds = self.time["rounds"]
        return statistics.median(a / b for a, b in zip(rounds[other], rounds[ours]))


def verdict(ok):
    return MET if ok else NOT_MET


def row_g1(r):
    v = r.insns("vsnprintf")
    sink, hook = r.insns("+r, sink") / v, r.insns("+r") / v
    return ("our text record / V", f"{sink:.2f} called directly; {hook:.2f} through the stock kernel's hook",
            "≤ 1.20", verdict(hook <= 1.20))


def row_g2(r):
    v = r.insns("vsnprintf")
    sink, hook = r.insns("+r, packed, sink") / v, r.insns("+r, packed") / v
    return ("our packed record / V: sink; hook included", f"{sink:.2f}; {hook:.2f}", "≤ 0.15; ≤ 0.35",
            verdict(sink <= 0.15 and hook <= 0.35))


def row_packed(other, what, goal):
    def row(r):
        ratio = r.insns("+r, packed, sink") / r.insns(other)
        return (f"packed (sink) / {what}", f"{ratio:.2f}", f"≤ {goal:.2f}", verdict(ratio <= goal))
    return row


def exits_ratio(r, exits):
    """The other's exits per message over our kicks per message."""
    kicks = r.guest["cost"]["flood_icount"]
    ours = max(kicks["kicks"]["driver"], 1) / kicks["count"]
    return exits / ours


def wall(r, other):
    again = r.wall_ratio("ours again")
    if abs(again - 1) > PAIR_TOLERANCE:
        return None, f"time: not decided, this run's A/A pair is at {again:.2f}"
    ratio = r.wall_ratio(other)
    return ratio, f"time {ratio:.1f}× (TCG; A/A {again:.2f})"


def row_console(other, what, kind, goal_time, goal_exits):
    def row(r):
        exits = r.trap(f"+p, {other}", kind)
        ratio = exits_ratio(r, exits)
        time_ratio, text = wall(r, other)
        measured = f"{text}; exits {ratio:,.0f}× ({exits:.1f} a message of theirs)"
        if ratio < goal_exits or (time_ratio is not None and time_ratio < goal_time):
            result = NOT_MET
        else:
            result = MET if time_ratio is not None else UNDECIDED
        return (f"{what} / ours: time; exits", measured,
                f"≥ {goal_time}×; ≥ {goal_exits:,}×", result)
    return row


def row_g7(r):
    flood, icount = r.time["flood"], r.guest["cost"]["flood_icount"]
    slow, idle = r.time["rate1k"], r.time["idle"]
    fast = r.kicks_per_1000(icount)
    measured = (f"{fast:.2f} at {icount['rate'] / 1000:.0f}k msg/s of the guest's clock (icount), "
                f"{r.kicks_per_1000(flood):.2f} at {flood['rate'] / 1000:.0f}k msg/s in real time; "
                f"{r.kicks_per_1000(slow):.1f} at {slow['rate']:.0f} msg/s; "
                f"idle {idle['seconds']} s: {idle['kicks']['driver']} kicks, "
                f"{idle['kicks']['wakeups']} wake-ups")
    ok = fast <= 2 and r.kicks_per_1000(flood) <= 2 and r.kicks_per_1000(slow) <= 100 and \
        not idle["kicks"]["driver"] and not idle["kicks"]["wakeups"]
    return ("kicks a 1000 messages at ≥ 100k msg/s; at 1k msg/s; idle", measured, "≤ 2; ≤ 100; 0",
            verdict(ok))


def row_g8(r):
    packed, text = (r.guest["cost"][name]["int3"] for name in ("packed_bytes", "bytes"))
    # both include their share of sub-buffer headers; records are multiples of eight
    return ("bytes of a three-int message: packed / text record",
            f"{packed / text:.2f} ({packed:.1f} / {text:.1f} bytes)", "≤ 0.4 (24 bytes)",
            verdict(packed / text <= 0.4))


def row_g9(r):
    return ("a suppressed message / a stored one", "noise control is not built yet", "≤ 0.4, no kick",
            NOT_BUILT)


def row_g10(r):
    code = r.time["code"]
    same = code["driver loaded"] and code["r taken away"]
    return ("disabled callsite",
            ("identical with the driver loaded and after +r -r" if same else f"differs: {code}") +
            f"; {r.insns('disabled'):.0f} instructions, loop included", "byte-identical to stock",
            verdict(same and not code["with r"]))


def row_g11(r):
    # disturbances (other work of the kernel) only add, so take the least
    ratios = {what: min(cpus["8"]) / min(cpus["1"]) for what, cpus in r.guest["cpus"].items()}
    known = min(r.guest["cpus"]["loop"]["1"]) / r.insns("loop")
    measured = (f"{ratios['emit']:.3f} (a loop that shares nothing: {ratios['loop']:.3f}, "
                f"{known:.3f} of its known length)")
    trusted = abs(ratios["loop"] - 1) <= 0.01 and abs(known - 1) <= 0.01
    return ("instructions a message, 8 vCPUs / 1 vCPU", measured, "≤ 1.02",
            verdict(ratios["emit"] <= 1.02) if trusted else UNDECIDED)


def row_g12(r):
    path = r.host["fast_path"]
    marks = sum(len(path[name]) for name in ("lock", "fence", "indirect"))
    sink, stock = r.trap("+r, sink", "int3"), r.trap("+r", "int3")
    return ("LOCK prefixes, fences, indirect calls on the fast path; traps a message: sink; stock",
            f"{len(path['lock'])} + {len(path['fence'])} + {len(path['indirect'])} in the "
            f"{len(path['functions'])} functions of the module; sink {sink:.0f}; stock {stock:.0f}",
            "0; 0; ≤ 1", verdict(marks == 0 and sink == 0 and stock <= 1))


def row_g13(r):
    drain = r.host["drain"]
    return ("device drain, instructions a 24-byte message, copy; checksum",
            f"{drain['copy']:.1f}; checksum {drain['checksum']:.0f}", "≤ 5", verdict(drain["copy"] <= 5))


def row_g14(r):
    tool = r.host["tool"]
    return ("tool, instructions a message: merge only; merge and format (text records)",
            f"{tool['merge']:.0f}; {tool['format']:.0f}", "≤ 60; ≤ 350",
            verdict(tool["merge"] <= 60 and tool["format"] <= 350))


def row_g15(r):
    peers = r.host["peers"]
    again = peers["ratio"]["ddebug-host again"]
    ratios = [peers["ratio"][name] for name in ("trace-cmd report", "babeltrace2")]
    measured = (f"{ratios[0]:.1f}× and {ratios[1]:.1f}× "
                f"({peers['rate']['ddebug-host'] / 1e6:.2f}M msg a CPU second; A/A {again:.2f})")
    trusted = abs(again - 1) <= PAIR_TOLERANCE
    return ("tool messages/s against trace-cmd report and babeltrace2", measured, "≥ 10×",
            verdict(min(ratios) >= 10) if trusted else UNDECIDED)


def row_g16(r):
    ping = r.host["ping"]
    return ("one solitary message to --pipe output, median, host / bare eventfd-thread-pipe ping",
            f"{ping['ratio']:.0f} ({ping['message'] / 1000:.0f} µs / {ping['bare'] / 1000:.0f} µs)",
            "≤ 1.5", verdict(ping["ratio"] <= 1.5))


GOALS = {
    "G1": row_g1,
    "G2": row_g2,
    "G3": row_packed("trace_printk", "trace_printk", 0.17),
    "G4": row_packed("+p, no console", "+p to dmesg without console", 0.05),
    "G5": row_console("ttyS0", "ttyS0", "port", 50, 40000),
    "G6": row_console("hvc0", "hvc0", "notify", 15, 2500),
    "G7": row_g7, "G8": row_g8, "G9": row_g9, "G10": row_g10, "G11": row_g11, "G12": row_g12,
    "G13": row_g13, "G14": row_g14, "G15": row_g15, "G16": row_g16,
}


def goal_rows(data):
    r = Results(data)
    return [(name, *make(r)) for name, make in GOALS.items()]


def markdown_goals(data):
    lines = ["| # | what | measured | goal | met / not met |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in goal_rows(data)]
    return "\n".join(lines)


TITLES = (
    ("vsnprintf", "`vsnprintf` alone (V)"),
    ("trace_printk", "`trace_printk`, binary"),
    ("+p, no console", "`+p`, no console"),
    ("+p, no console, probes armed", "the same while other callsites have `r`"),
    ("+p, ttyS0", "`+p`, ttyS0"),
    ("+p, hvc0", "`+p`, hvc0 (its range)"),
    ("+r", "`+r`: ours, as text, hook included"),
    ("+r, sink", "`+r`: ours, as text, called directly"),
    ("+r, packed", "`+r`: ours, packed, hook included"),
    ("+r, packed, sink", "`+r`: ours, packed, called directly"),
    ("null sink", "an enabled callsite and a sink that does nothing"),
    ("disabled", "disabled callsite"),
)


def cell(values, ranged):
    if ranged and max(values) > 1.01 * min(values):
        return f"{min(values):.0f}–{max(values):.0f}"
    return f"{mean(values):.0f}"


def markdown_variants(data):
    r = Results(data)
    lines = ["| instructions per message | static | three ints | `%s` 16 B | `%s` 200 B | `%pM` |",
             "|---|---|---|---|---|---|"]
    for name, title in TITLES:
        cells = [cell(r.cost[name][shape], name == "+p, hvc0") for shape in SHAPES]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    hook = [f"{r.insns('+r', shape) - r.insns('+r, sink', shape):.0f}" for shape in SHAPES]
    lines.append("| added by the hook of a stock kernel | " + " | ".join(hook) + " |")
    texts = [f"{r.guest['cost']['bytes'][shape]:.1f}" for shape in SHAPES]
    lines.append("| bytes of a text record, including its share of the sub-buffer headers | "
                 + " | ".join(texts) + " |")
    packed = [f"{r.guest['cost']['packed_bytes'][shape]:.1f}" for shape in SHAPES]
    lines.append("| bytes of a packed record, likewise | " + " | ".join(packed) + " |")
    shm = r.guest["shm"]
    proof = r.guest["cost"]["instrument"]
    flood = r.guest["cost"]["flood_icount"]
    native = r.host["peers"]["native"]
    trusted = abs(native["again"] - 1) <= PAIR_TOLERANCE
    lines += ["",
              f"Instrument: a loop of {proof['loop_known']} instructions is counted as "
              f"{proof['loop_counted']:.2f}; {r.guest['traps']['traps']['port proof']['known']} writes to a "
              f"port as {r.guest['traps']['traps']['port proof']['port']} traps; "
              f"{r.host['known']['known']} instructions on the host as {r.host['known']['counted']}. "
              f"Alone: `local_clock()` {r.insns('local_clock'):.0f}, `rdtsc` {r.insns('rdtsc'):.0f}, "
              f"`memcpy` of 200 bytes {r.insns('memcpy 200'):.0f}, empty loop {r.insns('empty'):.0f}.",
              "",
              f"With `shm=on` a message of three ints costs {mean(shm['+r']):.0f}, called directly "
              f"{mean(shm['+r, sink']):.0f}.",
              "",
              f"With interrupts on, {flood['count']} three-int messages in a row cost "
              f"{flood['insns']:.0f} instructions each, including kernel ticks and our work in "
              f"them: {flood['kicks']['works_now']} immediate and {flood['kicks']['works_lazy']} lazy "
              f"irq_works, {flood['kicks']['driver']} kicks (by the device's own count "
              f"{flood['kicks']['device']}).",
              "",
              f"At {r.time['rate1k']['rate']:.0f} messages a second the device's thread wakes up "
              f"{1000 * r.time['rate1k']['kicks']['wakeups'] / r.time['rate1k']['count']:.0f} times per "
              "1000 messages: after a scan that found something it scans again by itself.",
              "",
              f"The tool over a log of {r.host['beside']['messages']} messages, merge and format: "
              f"{r.host['beside']['seconds']:.2f} CPU seconds, {r.host['beside']['syscalls']} system calls, "
              f"{r.host['beside']['rss_kib'] / 1024:.1f} MiB at most.",
              "",
              f"Natively, three ints, {native['events']} in a row, medians of "
              f"{native['rounds']} interleaved rounds: LTTng-UST "
              f"{native['ust_ns']:.0f} ns an event; our ring with the same three ints "
              f"{native['ring_ns']:.0f} ns ({native['ring_ratio']:.2f} of theirs); our packed record "
              f"{native['packed_ns']:.0f} ns ({native['packed_ratio']:.2f}); our text record "
              f"{native['text_ns']:.0f} ns ({native['text_ratio']:.2f}), of which glibc's vsnprintf() takes "
              f"{native['format_ns']:.0f} ns. A/A {native['again']:.2f}"
              + ("." if trusted else ": the machine was disturbed, conclude nothing.")]
    return "\n".join(prose.wrapped(lines))
