#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""prose.py: check the Markdown of the tree: its width, its links, the files that it names

Scripts that make Markdown wrap it with wrapped().
"""

import glob
import itertools
import os
import re
import subprocess
import sys
import textwrap

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

import tap          # noqa: E402

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WIDTH = 100
# A file that is named without its folder is ours if its name begins so.
OUR_FILE = re.compile(r"(ddebug|virtio[-_]ddebug|test[-_]|bench[-_]|fuzz-)[\w*?{},-]*\.(c|h|py|sh|mk|pml)$")
LINK = re.compile(r"\[[^]\n]*\]\(<?([^()\s>]+)>?\)")


class Page:
    """A Markdown file: its lines, without those of code blocks unless they are asked for."""

    def __init__(self, root, path):
        self.root = root
        self.path = path
        with open(os.path.join(root, path), encoding="utf-8") as file:
            self.lines = list(enumerate(file.read().split("\n"), 1))

    def prose(self):
        """(number, line) of what is not code: not between fences, and not indented after an empty
        line.  An indented line of a list is prose."""
        fence, before, text = None, "", ""
        for number, line in self.lines:
            mark = re.match(r"\s*(```+|~~~+)", line)
            if mark and (fence is None or mark.group(1).startswith(fence)):
                fence = None if fence else mark.group(1)
            elif fence is None:
                indented = line.startswith("    ") and not re.match(r" |[-*+] |\d+\. ", text)
                if indented and before in ("", None):
                    before = None       # so is the next line
                    continue
                yield number, line
                before, text = line, line or text

    def too_wide(self):
        """Lines that could have been broken; tables cannot be, nor can addresses."""
        for number, line in self.prose():
            rest = re.sub(r"https?://\S+", "", line)
            words = rest.strip().split(" ")
            if len(rest) > WIDTH and len(words) > 1 and not line.lstrip().startswith("|") and \
               not re.match(r"\s*\[[^]]+\]:\s", line):
                yield f"{self.path}:{number}: {len(line)} columns"

    def broken_links(self):
        """Links to files that are not there."""
        text = "\n".join(re.sub(r"`[^`]*`", "", line) for _, line in self.prose())
        definitions = re.findall(r"^\s*\[[^]]+\]:\s+(\S+)", text, re.M)
        for target in [*LINK.findall(text), *definitions]:
            name = target.split("#")[0]
            if name and not re.match(r"[a-z]+:", name):
                path = os.path.normpath(os.path.join(self.root, os.path.dirname(self.path), name))
                if not os.path.exists(path):
                    yield f"{self.path}: the link to {target} leads nowhere"

    def unknown_files(self, tops, files):
        """What is in backquotes and looks like a path of the tree, but is none."""
        text = "\n".join(line for _, line in self.prose())
        for quoted in re.findall(r"`([^`]+)`", text):
            for word in re.split(r"\s+", re.sub(r"^[a-z]+:(?=\S)", "", quoted)):
                word = re.sub(r"[:#].*$|[.,;]$", "", word)
                if not re.fullmatch(r"[\w./*?{},+-]+", word):
                    continue
                top = word.removeprefix("./").split("/")[0]
                if "/" in word and top in tops:
                    known = all(glob.glob(os.path.join(glob.escape(self.root), one))
                                for one in expanded(word))
                elif "/" not in word and OUR_FILE.match(word):
                    known = all(any(matches(one, name) for name in files) for one in expanded(word))
                else:
                    continue
                if not known:
                    yield f"{self.path}: there is no {word}"


def wrapped(lines):
    """Lines of Markdown, paragraphs and items broken at the width."""
    for line in lines:
        if len(line) <= WIDTH or line.startswith(("|", " ")):
            yield line
        else:
            yield from textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False,
                                     subsequent_indent="  " if line.startswith("- ") else "")


def expanded(word):
    """As the shell does it: a{b,c} is ab and ac."""
    parts = [part[1:-1].split(",") if part.startswith("{") else [part]
             for part in re.split(r"(\{[^{}]*\})", word)]
    return ["".join(chosen) for chosen in itertools.product(*parts)]


def matches(pattern, name):
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "."), name)


def sources(root):
    """The files of the tree, as git knows them, or by a walk without git."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root,
                            check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    names = listed.stdout.splitlines() if listed.returncode == 0 else [
        os.path.relpath(os.path.join(top, name), root)
        for top, _, files in os.walk(root) for name in files
        if "build" not in os.path.relpath(top, root).split(os.sep)]
    return [name for name in names if os.path.isfile(os.path.join(root, name))]


def check(root=REPO):
    """[(what is checked, [complaint])]"""
    names = sources(root)
    tops = {name.split("/")[0] for name in names if "/" in name}
    files = {os.path.basename(name) for name in names}
    pages = [Page(root, name) for name in names if name.endswith(".md")]
    return [
        (f"Markdown is wrapped at {WIDTH} columns",
         [line for page in pages for line in page.too_wide()]),
        ("links of Markdown lead to files",
         [line for page in pages for line in page.broken_links()]),
        ("files that Markdown names exist",
         [line for page in pages for line in page.unknown_files(tops, files)]),
    ]


if __name__ == "__main__":
    sys.exit(tap.report(check()))
