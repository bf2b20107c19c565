# SPDX-License-Identifier: GPL-2.0-or-later
"""The plot: instructions of a three-int message by variant, as an SVG."""

import math
import statistics
from xml.sax.saxutils import escape

LEFT, TOP, WIDTH, ROW, BAR = 190, 56, 520, 26, 16
DECADES = (10, 100, 1000, 10000, 100000)
VARIANTS = ("null sink", "trace_printk", "vsnprintf", "+r, packed, sink", "+r, packed", "+r, sink", "+r",
            "+p, no console", "+p, ttyS0", "+p, hvc0")


def x_of(value):
    return LEFT + WIDTH * math.log10(value / DECADES[0]) / math.log10(DECADES[-1] / DECADES[0])


def text(x, y, what, anchor="start", size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(what)}</text>'


def svg(data):
    cost = data["guest"]["cost"]["cost"]
    bottom = TOP + ROW * len(VARIANTS)
    parts = [
        '<!-- SPDX-License-Identifier: GPL-2.0-or-later -->',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 80}" height="{bottom + 40}" '
        'font-family="sans-serif">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        text(10, 22, "A message of three integers: instructions of the guest (icount, logarithmic)", size=14),
    ]
    for value in DECADES:
        x = x_of(value)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="#cccccc"/>')
        parts.append(text(x, bottom + 16, f"{value:,}", anchor="middle"))
    for number, name in enumerate(VARIANTS):
        y = TOP + ROW * number
        value = statistics.mean(cost[name]["int3"])
        color = "#2a6f97" if name.startswith("+r") else "#9a9a9a"
        parts.append(text(LEFT - 8, y + BAR - 3, name, anchor="end"))
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{x_of(value) - LEFT:.1f}" height="{BAR}" '
                     f'fill="{color}"/>')
        parts.append(text(x_of(value) + 5, y + BAR - 3, f"{value:,.0f}"))
    parts.append("</svg>")
    return "\n".join(parts) + "\n"
