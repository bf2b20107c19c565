#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""layers.py [--built]: check which folder, and which file within it, may depend on which

The rules are FOLDERS below; docs/architecture.md explains them.  A dependency is an #include of a
file of the tree, or a symbol that one object file leaves undefined and another one defines.

--built: every source file must have an object file that is newer; without it those that have
none are listed, but are no error.
"""

import collections
import glob
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

import tap          # noqa: E402

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Folder:
    """What the files of a folder may depend on.

    uses     the folders whose headers they may include and whose functions they may call
    levels   the files of the folder without extension, from the top; each may depend on those of
             its own level and of those below.  "*" stands for all files that are not named; where
             there is no "*", each file must be named.
    foreign  the quoted includes that need not be a file of the tree
    barred   the system headers that must not be included
    """

    def __init__(self, uses=(), levels=(("*",),), foreign="", barred=""):
        self.uses = uses
        self.levels = levels
        self.foreign = foreign
        self.barred = barred

    def level(self, stem):
        """The number of its level, 0 at the top; None if it has none."""
        for wanted in (stem, "*"):
            for number, names in enumerate(self.levels):
                if wanted in names:
                    return number
        return None


FOLDERS = {
    "include": Folder(),
    # libc and GLib only: neither QEMU's nor the kernel's types
    "log": Folder(
        uses=("include",),
        barred=r"(linux|asm|asm-generic|qemu|qapi|qom|hw|exec|system|sysemu|migration|standard-headers)/"),
    "guest-driver": Folder(
        uses=("include",),
        levels=(
            ("virtio_ddebug",),
            ("ddebug_main",),
            ("ddebug_files", "ddebug_attach", "ddebug_death"),
            ("ddebug_hook",),
            ("ddebug_kmsg", "ddebug_pipe"),
            ("ddebug_cpu", "ddebug_emit", "ddebug_ring_swap"),
            ("ddebug_line", "ddebug_unpack", "ddebug_dict", "ddebug_view", "ddebug_ring_mem"),
            ("ddebug_ring",),
            ("ddebug_kick",),
            ("ddebug_rb", "ddebug_transport", "ddebug_query", "ddebug_callsite", "ddebug_pack"),
            ("ddebug_compat",),
        )),
    "qemu-device": Folder(
        uses=("include", "log"),
        levels=(
            ("ddebug-loader", "ddebug-object"),
            ("virtio-ddebug-pci",),
            ("virtio-ddebug",),
            ("virtio-ddebug-props", "virtio-ddebug-streams"),
            ("virtio-ddebug-state",),
            ("ddebug-drain",),
            ("ddebug-open", "ddebug-stream", "ddebug-sync"),
            ("ddebug-compat", "trace"),
        ),
        # QEMU's own
        foreign=r"[a-z-]+/"),
    "host-tool/lib": Folder(uses=("include", "log")),
    "host-tool/cmd": Folder(
        uses=("include", "log", "host-tool/lib"),
        levels=(("ddebug-host",), ("*",), ("ddebug-common",))),
}

# Where the object files are; those of one of these folders are linked with each other.
OBJECTS = ("build/guest-driver/*", "build/qemu-device/*", "build/host-tool")
# Object files that are not named as their source.
OBJECT_OF = {"virtio-ddebug.so": "ddebug-loader"}
# A symbol that begins so is ours: some object file must define it.
OURS = re.compile(r"(ddebug|ddlog|virtio_ddebug)_")

# Pairs of headers whose names differ in nothing but '-' and '_', though a file can include both.
SIMILAR_NAMES = (
    # as Linux and QEMU name the headers of a virtio device
    {"include/virtio_ddebug.h", "qemu-device/virtio-ddebug.h"},
)

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)

# What one file has to do with another: "how" is for the report.
Edge = collections.namedtuple("Edge", "source target how")


def stem(path):
    return os.path.splitext(os.path.basename(path))[0]


def unit(path):
    """A source file and its header are one."""
    return os.path.splitext(path)[0]


class Tree:
    """The product's C files below a folder, and what depends on what."""

    def __init__(self, root=REPO, folders=None):
        self.root = root
        self.folders = FOLDERS if folders is None else folders
        self.files = sorted(
            os.path.relpath(path, root) for folder in self.folders
            for path in glob.glob(os.path.join(glob.escape(os.path.join(root, folder)), "*.[ch]")))
        # those that are no part of the product, by their base names
        self.others = {}
        for top in ("tests", "scripts"):
            for folder, _, names in os.walk(os.path.join(root, top)):
                for name in names:
                    if name.endswith((".c", ".h")):
                        self.others[name] = os.path.relpath(os.path.join(folder, name), root)

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
            return file.read()

    # -- includes -----------------------------------------------------------------

    def resolve(self, path, name):
        """The file of the tree that this quoted include finds; None if there is none."""
        for folder in (os.path.dirname(path), "", *self.folders):
            found = os.path.normpath(os.path.join(folder, name))
            if not found.startswith("..") and os.path.isfile(os.path.join(self.root, found)):
                return found
        return self.others.get(name)

    def includes(self):
        """[Edge] of the files of the tree, [complaint] about the others."""
        edges, complaints = [], []
        for path in self.files:
            rule = self.folders[os.path.dirname(path)]
            for mark, name in INCLUDE.findall(self.read(path)):
                how = f"{path} includes {mark}{name}{'>' if mark == '<' else mark}"
                found = self.resolve(path, name) if mark == '"' else None
                if found:
                    edges.append(Edge(path, found, how))
                elif rule.barred and re.match(rule.barred, name):
                    complaints.append(f"{how}, which {os.path.dirname(path)}/ must not")
                elif mark == '"' and not (rule.foreign and re.match(rule.foreign, name)):
                    complaints.append(f"{how}, which is no file of the tree")
        return edges, complaints

    # -- symbols ------------------------------------------------------------------

    def objects(self):
        """{folder: {object file: its source}} of those that are up to date, and the source files
        that have none."""
        sources = {stem(path): path for path in self.files if path.endswith(".c")}
        found, without = {}, dict(sources)
        for folder in sorted(path for pattern in OBJECTS
                             for path in glob.glob(os.path.join(glob.escape(self.root), pattern))):
            if folder in OBJECT_OF:
                continue
            paths = [folder] if os.path.isfile(folder) else sorted(
                glob.glob(os.path.join(glob.escape(folder), "**", "*.o"), recursive=True))
            for path in paths:
                name = OBJECT_OF.get(os.path.basename(path), stem(path) if path.endswith(".o") else None)
                source = sources.get(name)
                if source and os.path.getmtime(path) >= os.path.getmtime(os.path.join(self.root, source)):
                    found.setdefault(folder, {})[path] = source
                    without.pop(name, None)
        return found, sorted(without.values())

    def symbols(self):
        """[Edge], [complaint], and the source files whose symbols are not known."""
        found, without = self.objects()
        edges, complaints = [], []
        everywhere = collections.defaultdict(set)
        inside = {}
        for folder, objects in found.items():
            inside[folder] = collections.defaultdict(set)
            known = nm(objects)
            objects = {path: (source, *known[path]) for path, source in objects.items()}
            found[folder] = objects
            for source, defined, _ in objects.values():
                for symbol in defined:
                    inside[folder][symbol].add(source)
                    everywhere[symbol].add(source)
        unbuilt = {os.path.dirname(source) for source in without}
        for folder, objects in found.items():
            for source, _, undefined in objects.values():
                for symbol in sorted(undefined):
                    targets = inside[folder].get(symbol)
                    # a source of this folder that is not built may define it, not its namesake elsewhere
                    if not targets and OURS.match(symbol) and folder not in unbuilt:
                        targets = everywhere.get(symbol)
                    targets = targets or ()
                    if len(targets) == 1:
                        target, = targets
                        edges.append(Edge(source, target, f"{source} uses {symbol} of {target}"))
                    elif targets:
                        complaints.append(f"{source} uses {symbol}, which several files define: "
                                          + ", ".join(sorted(targets)))
                    elif OURS.match(symbol) and not without:
                        complaints.append(f"{source} uses {symbol}, which no object file defines")
        return sorted(set(edges)), sorted(set(complaints)), without

    # -- rules --------------------------------------------------------------------

    def dependencies(self, edges):
        """Complaints about dependencies that the rules do not allow."""
        complaints = []
        for edge in edges:
            folder, target = os.path.dirname(edge.source), os.path.dirname(edge.target)
            if target == folder:
                rule = self.folders[folder]
                above, below = rule.level(stem(edge.source)), rule.level(stem(edge.target))
                if None not in (above, below) and above > below:
                    complaints.append(f"{edge.how}, which is above it")
            elif target not in self.folders[folder].uses:
                complaints.append(f"{edge.how} ({edge.target}), but {folder}/ must not depend on {target}/"
                                  if edge.target not in edge.how else
                                  f"{edge.how}, but {folder}/ must not depend on {target}/")
        return complaints

    def places(self):
        """Complaints about files that the table does not name, and about names without a file."""
        complaints = []
        for folder, rule in self.folders.items():
            stems = {stem(path) for path in self.files if os.path.dirname(path) == folder}
            if not stems:
                complaints.append(f"{folder}/ has no source file")
            complaints += [f"{folder}/{name}: has no level in the table of layers.py"
                           for name in sorted(stems) if rule.level(name) is None]
            complaints += [f"{folder}/{name}: the table of layers.py names it, there is no such file"
                           for level in rule.levels for name in level if name not in stems | {"*"}]
        return complaints

    def circles(self, edges):
        """A complaint for each circle of files of a folder, which names it.

        A source file and its header are one file, but what a header includes it includes for its
        declarations alone: that is no dependency of the source file.
        """
        graph = collections.defaultdict(dict)
        for edge in edges:
            source, target = edge.source, edge.target
            if source.endswith(".c"):
                source = unit(source)
                target = unit(target) if unit(target) + ".c" in self.files else target
            if source != target and os.path.dirname(source) == os.path.dirname(target):
                graph[source].setdefault(target, edge.how)
        complaints, seen = [], set()
        for start in sorted(graph):
            if start not in seen:
                way = circle(graph, start)
                seen.update(way)
                if way:
                    complaints.append(
                        " -> ".join(os.path.basename(name) for name in [*way, start]) + ": " +
                        "; ".join(graph[one][other] for one, other in zip(way, [*way[1:], start])))
        return complaints

    def names(self):
        """Complaints about names that two files have, or nearly have.

        Only a contract's header and the source file that implements it may have one name.
        """
        complaints = []
        same, headers = collections.defaultdict(set), collections.defaultdict(set)
        for path in self.files:
            if path.endswith(".h"):
                headers[os.path.basename(path).lower()].add(path)
            if os.path.dirname(path) != "include":
                same[stem(path).lower()].add(unit(path))
        complaints += ["several files have one name: " + ", ".join(sorted(paths))
                       for paths in [*same.values(), *headers.values()] if len(paths) > 1]
        for folder, rule in self.folders.items():
            near = collections.defaultdict(set)
            for path in self.files:
                if path.endswith(".h") and os.path.dirname(path) in (folder, *rule.uses):
                    near[os.path.basename(path).lower().replace("_", "-")].add(path)
            complaints += [f"only '-' and '_' tell these headers apart: {', '.join(sorted(paths))}"
                           for paths in near.values()
                           if len(paths) > 1 and paths not in SIMILAR_NAMES]
        return sorted(set(complaints))

    def makefiles(self):
        """Complaints about makefiles that name a folder which theirs must not depend on."""
        complaints = []
        tops = {folder.split("/")[0] for folder in self.folders}
        for top in sorted(tops):
            uses = {top} | {used.split("/")[0] for folder, rule in self.folders.items()
                            if folder.split("/")[0] == top for used in rule.uses}
            for path in (f"{top}/Makefile", f"{top}/Kbuild"):
                if os.path.exists(os.path.join(self.root, path)):
                    complaints += [
                        f"{path} names {name}/, but {top}/ must not depend on it"
                        for name in sorted(tops - uses)
                        if re.search(rf"(?<![\w-]){re.escape(name)}/", self.read(path))]
        return complaints


def nm(paths):
    """{object file: (the global symbols that it defines, those that it leaves undefined)}"""
    output = subprocess.run(["nm", "-A", "-P", "-g", *paths], check=True, text=True,
                            stdout=subprocess.PIPE).stdout
    found = {path: (set(), set()) for path in paths}
    for line in output.splitlines():
        path, rest = line.rsplit(": ", 1)
        name, kind = rest.split()[:2]
        found[path][kind in "Uvw"].add(name)
    return found


def circle(graph, start):
    """The shortest way from a file back to itself, without its end; [] if there is none."""
    ways = collections.deque([[start]])
    seen = set()
    while ways:
        way = ways.popleft()
        for target in sorted(graph.get(way[-1], ())):
            if target == start:
                return way
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return []


def check(root=REPO, folders=None):
    """[(what is checked, [complaint])], and the source files without an object file."""
    tree = Tree(root, folders)
    includes, foreign = tree.includes()
    symbols, unknown, without = tree.symbols()
    return [
        ("each source file has its place in the layers", tree.places()),
        ("includes keep to the layers", foreign + tree.dependencies(includes)),
        ("symbols keep to the layers", unknown + tree.dependencies(symbols)),
        ("makefiles keep to the layers", tree.makefiles()),
        ("no circle of files in a folder", tree.circles(includes + symbols)),
        ("no two source files have nearly the same name", tree.names()),
    ], without


def main():
    checks, without = check()
    bad = tap.report(checks)
    if without:
        print("no object file that is up to date:", *without)
    return 1 if bad or (without and "--built" in sys.argv[1:]) else 0


if __name__ == "__main__":
    sys.exit(main())
