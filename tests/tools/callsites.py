#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Through which function does each dynamic debug callsite of a kernel print?

A survey of the binaries: modules as files with relocations, the kernel itself as the ELF file in
vmlinuz, with the symbols of its /proc/kallsyms when booted with nokaslr.  It makes
docs/callsites.md, whose examples are the driver's reports in that guest, and serves tests.
"""

import bisect
import collections
import json
import lzma
import multiprocessing
import os
import re
import struct
import subprocess
import sys
import tempfile
import textwrap

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "tests", "style"))

import prose    # noqa: E402

# struct _ddebug of 6.1 and 6.12: four strings, line and flags, the static key.
DESC_SIZE = 56
DESC_KEY = 40
DESC_LINE = 32
LINE_MASK = (1 << 18) - 1

# struct jump_entry: code, target and key, all relative; bit 0 of the key says that the code jumps
# over the body when the key is off.
JUMP_SIZE = 16
JUMP_SKIPS = 1

# These get the descriptor.
PRINTERS = ("__dynamic_pr_debug", "__dynamic_dev_dbg", "__dynamic_netdev_dbg",
            "__dynamic_ibdev_dbg")
# This one too; it calls __dynamic_pr_debug() with it.
ACPI = "__acpi_handle_debug"

# This one does not; the driver knows its callsites by their return addresses.
HEX_DUMP = "print_hex_dump"
# How far after the branch the driver looks for that call.
CALL_NEAR = 128

R_PC32, R_PLT32 = 2, 4
CALL, JMP = 0xe8, 0xe9

Place = collections.namedtuple("Place", "section offset")


class Site:
    """A callsite: its descriptor, and what the code does with it."""

    def __init__(self, module, function, file, line):
        self.module = module
        self.function = function
        self.file = file
        self.line = line
        self.refs = []          # Places in code that name the descriptor
        self.jumps = []         # (code, target, body) of each copy, Places
        self.init = False       # all copies are in code that runs once
        self.printer = None     # the function that it prints through
        self.tail = False       # ... which it jumps to
        self.calls = []         # Places of its calls of print_hex_dump()
        self.shared = False     # one of them also belongs to another callsite

    @property
    def passed(self):
        """Whether what the callsite calls knows the descriptor."""
        return bool(self.refs)

    @property
    def recorded(self):
        """Whether the driver can record it."""
        return self.passed or (len(self.calls) == len(self.jumps) and not self.shared)

    @property
    def distance(self):
        """The place from which a branch leads to the descriptor's address."""
        return min(abs(ref.offset - place.offset)
                   for ref in self.refs for jump in self.jumps for place in jump[:2]
                   if ref.section == place.section)


class Elf:
    """What can be read from a 64-bit little-endian ELF file."""

    def __init__(self, data):
        self.data = data
        start, = struct.unpack_from("<Q", data, 40)
        count, names = struct.unpack_from("<HH", data, 60)
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", data, start + 64 * i)
                         for i in range(count)]
        self.names = [self.text(self.sections[names][4] + s[0]) for s in self.sections]

    def text(self, offset):
        return self.data[offset:self.data.index(b"\0", offset)].decode("latin-1")

    def code_sections(self):
        return [i for i, s in enumerate(self.sections) if s[1] == 1 and s[2] & 4]

    def content(self, section):
        _, _, _, _, offset, size, *_ = self.sections[section]
        return self.data[offset:offset + size]


def judge(sites, next_call):
    """Fill in what follows from references and jumps.

    next_call   (Place, names, distance) -> (function's name, is it a jump, Place) of the
                next call of one of the names, or of any if there are none; or None
    """
    callers = collections.defaultdict(list)
    for site in sites:
        bodies = [body for _, _, body in site.jumps]
        if site.passed:
            found = [next_call(ref, PRINTERS + (ACPI,), None) for ref in site.refs]
        else:
            found = [next_call(body, (HEX_DUMP,), CALL_NEAR) for body in bodies]
            for call in filter(None, found):
                if not call[1]:
                    site.calls.append(call[2])
                    callers[call[2]].append(site)
            if not any(found):
                found = [next_call(body, (), None) for body in bodies]
        for call in filter(None, found):
            site.printer, site.tail = call[:2]
    for several in callers.values():
        for site in several:
            site.shared = site.shared or any(other is not site for other in several)


class Module(Elf):
    """A module: everything is referred to by relocations."""

    def __init__(self, data):
        super().__init__(data)
        self.symbols = []
        for _, kind, _, _, offset, size, link, *_ in self.sections:
            if kind == 2:
                self.strings = self.sections[link][4]
                self.symbols = list(struct.iter_unpack("<IBBHQQ", data[offset:offset + size]))

    def relocations(self, section):
        """[(offset, type, symbol's number, addend)] of a section, in order."""
        for _, kind, _, _, offset, size, _, info, *_ in self.sections:
            if kind == 4 and info == section:
                return sorted((where, what & 0xffffffff, what >> 32, addend)
                              for where, what, addend in
                              struct.iter_unpack("<QQq", self.data[offset:offset + size]))
        return []

    def target(self, relocation):
        _, _, symbol, addend = relocation
        _, _, _, section, value, _ = self.symbols[symbol]
        return Place(section, value + addend)

    def name(self, relocation):
        name, _, _, section, _, _ = self.symbols[relocation[2]]
        return self.text(self.strings + name) if name else self.names[section]

    def descriptors(self, section):
        count = self.sections[section][5] // DESC_SIZE
        fields = [[""] * 4 for _ in range(count)]
        for relocation in self.relocations(section):
            i, field = divmod(relocation[0], DESC_SIZE)
            if field < DESC_LINE:
                place = self.target(relocation)
                fields[i][field // 8] = self.text(self.sections[place.section][4] + place.offset)
        data = self.content(section)
        sites = []
        for i, (module, function, file, _) in enumerate(fields):
            line, = struct.unpack_from("<I", data, i * DESC_SIZE + DESC_LINE)
            sites.append(Site(module, function, file, line & LINE_MASK))
        return sites

    def find_jumps(self, section, sites):
        table = self.relocations(self.names.index("__jump_table"))
        for code, target, key in zip(table[0::3], table[1::3], table[2::3]):
            place = self.target(key)
            if place.section != section:
                continue
            i, field = divmod(place.offset & ~3, DESC_SIZE)
            if field != DESC_KEY:
                raise ValueError("struct _ddebug is not as expected")
            code, target = self.target(code), self.target(target)
            body = code if place.offset & JUMP_SKIPS else target
            sites[i].jumps.append((code, target, body))

    def find_references(self, section, sites):
        for code in self.code_sections():
            for relocation in self.code[code]:
                place = self.target(relocation)
                if place.section == section:
                    offset = place.offset + 4 * (relocation[1] in (R_PC32, R_PLT32))
                    sites[offset // DESC_SIZE].refs.append(Place(code, relocation[0]))

    def next_call(self, place, names, distance):
        code = self.code.get(place.section, [])
        data = self.sections[place.section][4]
        for relocation in code[bisect.bisect_left(code, (place.offset,)):]:
            offset = relocation[0]
            if distance and offset - place.offset > distance:
                break
            if relocation[1] == R_PLT32 and (not names or self.name(relocation) in names):
                return (self.name(relocation), self.data[data + offset - 1] == JMP,
                        Place(place.section, offset))
        return None

    def survey(self):
        section = self.names.index("__dyndbg")
        self.code = {s: self.relocations(s) for s in self.code_sections()}
        sites = self.descriptors(section)
        self.find_jumps(section, sites)
        self.find_references(section, sites)
        for site in sites:
            site.init = all(self.names[code.section].startswith(".init")
                            for code, _, _ in site.jumps)
        judge(sites, self.next_call)
        return sites


class Kernel(Elf):
    """vmlinux, linked to fixed addresses, and its symbols."""

    def __init__(self, data, kallsyms):
        super().__init__(data)
        self.symbols = {}
        for line in kallsyms.splitlines():
            address, kind, name = line.split()[:3]
            address = int(address, 16)
            if "[" not in line and kind not in "aA":
                self.symbols.setdefault(name, address)
        self.by_address = {}
        for name, address in self.symbols.items():
            self.by_address.setdefault(address, name)
        if self.symbols.get("_stext", 0) != self.section_address(".text"):
            raise ValueError("the symbols are not those of a kernel booted with nokaslr")

    def section_address(self, name):
        return self.sections[self.names.index(name)][3]

    def at(self, address):
        """The offset in the file."""
        for _, kind, _, start, offset, size, *_ in self.sections:
            if kind == 1 and start and start <= address < start + size:
                return offset + address - start
        raise ValueError(f"nothing at {address:#x}")

    def words(self, address, form):
        return struct.unpack_from(form, self.data, self.at(address))

    def descriptors(self):
        sites = {}
        for address in range(self.symbols["__start___dyndbg"], self.symbols["__stop___dyndbg"],
                             DESC_SIZE):
            *strings, line = self.words(address, "<QQQQI")
            module, function, file, _ = [self.text(self.at(s)) for s in strings]
            sites[address] = Site(module, function, file, line & LINE_MASK)
        return sites

    def find_jumps(self, sites):
        for entry in range(self.symbols["__start___jump_table"],
                           self.symbols["__stop___jump_table"], JUMP_SIZE):
            code, target, key = self.words(entry, "<iiq")
            key += entry + 8
            site = sites.get((key & ~3) - DESC_KEY)
            if site:
                code, target = Place(None, entry + code), Place(None, entry + 4 + target)
                site.jumps.append((code, target, code if key & JUMP_SKIPS else target))

    def find_references(self, sites):
        """Anything that looks like the descriptor's address, at any byte."""
        low = {address & 0xffffffff: site for address, site in sites.items()}
        high = re.escape(struct.pack("<I", min(low))[3:])
        for section in self.code_sections():
            data = self.content(section)
            start = self.sections[section][3]
            for match in re.finditer(rb"(?=..[\x00-\xff]" + high + rb")", data, re.S):
                value, = struct.unpack_from("<I", data, match.start())
                if value in low:
                    low[value].refs.append(Place(None, start + match.start()))

    def next_call(self, place, names, distance):
        data = self.at(place.offset)
        for i in range(distance or 4096):
            if self.data[data + i] in (CALL, JMP):
                way, = struct.unpack_from("<i", self.data, data + i + 1)
                name = self.by_address.get(place.offset + i + 5 + way)
                if name and (not names or name in names):
                    return name, self.data[data + i] == JMP, Place(None, place.offset + i)
        return None

    def survey(self):
        sites = self.descriptors()
        self.find_jumps(sites)
        self.find_references(sites)
        init = range(self.symbols["_sinittext"], self.symbols["_einittext"])
        for site in sites.values():
            site.init = all(code.offset in init for code, _, _ in site.jumps)
        judge(list(sites.values()), self.next_call)
        return list(sites.values())


def read(path):
    """A module's file, unpacked."""
    with (lzma.open if path.endswith(".xz") else open)(path, "rb") as file:
        return file.read()


def read_module(path):
    """A module's file as ELF, or None if it has no callsites."""
    data = read(path)
    module = Module(data) if b"__dyndbg\0" in data else None
    return module if module and "__dyndbg" in module.names else None


def survey_module(path):
    module = read_module(path)
    return module.survey() if module else []


def module_files(root):
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(root)
                  for name in names if name.endswith((".ko", ".ko.xz")))


def survey_modules(paths):
    with multiprocessing.Pool() as pool:
        found = pool.imap_unordered(survey_module, paths, chunksize=16)
        return [site for sites in found for site in sites]


UNPACKERS = {b"\xfd7zXZ\0": ["xz", "-dc", "--single-stream"], b"\x28\xb5\x2f\xfd": ["zstd", "-dcq"]}


def vmlinux(vmlinuz):
    """The ELF file packed in a vmlinuz."""
    with open(vmlinuz, "rb") as file:
        data = file.read()
    for magic, command in UNPACKERS.items():
        for match in re.finditer(re.escape(magic), data):
            # the unpacker complains about the data after the packed file
            result = subprocess.run(command, input=data[match.start():], check=False,
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            if result.stdout.startswith(b"\x7fELF"):
                return result.stdout
    raise ValueError(f"{vmlinuz}: nothing unpacks to an ELF file")


def survey_kernel(vmlinuz, kallsyms):
    return Kernel(vmlinux(vmlinuz), kallsyms).survey()


# -- modules that are not in the guests' image ------------------------------------

def disk_of_modules(kernel, names, folder):
    """Create in a folder a disk with modules and their dependencies: QEMU's options for it, and the
    names of the files in the order of loading."""
    tree, image = os.path.join(folder, "modules"), os.path.join(folder, "modules.img")
    os.mkdir(tree)
    order = {}
    for name in names:
        shown = subprocess.run(
            ["modprobe", "-d", kernel["root"], "-S", kernel["release"], "--show-depends", name],
            check=True, stdout=subprocess.PIPE, encoding="utf-8",
            env={**os.environ, "PATH": os.environ["PATH"] + ":/sbin:/usr/sbin"}).stdout
        for path in re.findall(r"^insmod (\S+)", shown, re.M):
            order.setdefault(os.path.basename(path).removesuffix(".xz"), path)
    for name, path in order.items():
        with open(os.path.join(tree, name), "wb") as file:
            file.write(read(path))
    subprocess.run(["mksquashfs", tree, image, "-quiet", "-no-progress", "-processors", "1"],
                   check=True, stdout=subprocess.DEVNULL)
    return ["-drive", f"if=none,id=modules,format=raw,readonly=on,file={image}",
            "-device", "virtio-blk-pci,drive=modules"], list(order)


def load_from_disk(guest, names):
    guest.must("modprobe virtio_blk; modprobe squashfs; mkdir -p /mnt; "
               "while [ ! -b /dev/vda ]; do sleep 0.1; done; mount -r -t squashfs /dev/vda /mnt")
    guest.must("".join(
        f"grep -q '^{name[:-3].replace('-', '_')} ' /proc/modules || insmod /mnt/{name} || exit 1\n"
        for name in names), timeout=150)


# -- docs/callsites.md -----------------------------------------------------------

PAGE = os.path.join(REPO, "docs", "callsites.md")
# Around a generated part of the page.
BEGIN, END = "<!-- {}: made by make callsites -->\n", "<!-- {}: end -->\n"

# (how callsites of a class are written, what they print through, whether recorded)
CLASSES = {
    "__dynamic_pr_debug": ("`pr_debug()`, `net_dbg_ratelimited()` and such", "`__dynamic_pr_debug()`", "yes"),
    "__dynamic_dev_dbg": ("`dev_dbg()`, `pci_dbg()` and such", "`__dynamic_dev_dbg()`", "yes"),
    "__dynamic_netdev_dbg": ("`netdev_dbg()`, `netif_dbg()`", "`__dynamic_netdev_dbg()`", "yes"),
    "__dynamic_ibdev_dbg": ("`ibdev_dbg()`", "`__dynamic_ibdev_dbg()`", "yes"),
    ACPI: ("`acpi_handle_debug()`", "`__acpi_handle_debug()`, which calls `__dynamic_pr_debug()`", "yes"),
    "far": ("any of these", "any of these, by a call that stands elsewhere", "yes"),
    HEX_DUMP: ("`print_hex_dump_debug()`, `print_hex_dump_bytes()`", "`print_hex_dump()`", "yes"),
    "shared": ("the same", "`print_hex_dump()`, by a call that two callsites have in common", "**no**"),
    "btrfs": ("`btrfs_debug()` and such", "`_btrfs_printk()`", "**no**"),
    "srp": ("a check in `srp_map_data()`", "`pr_err()`", "**no**"),
    "contig": ("`alloc_contig_dump_pages()`", "`dump_stack()`, `dump_page()`", "**no**"),
    "other": ("other", "other", "**no**"),
}


def class_of(site):
    """The row of the table."""
    if site.passed:
        return site.printer if site.printer in CLASSES else "far"
    if site.calls:
        return "shared" if site.shared else HEX_DUMP
    return {"btrfs": "btrfs", "ib_srp": "srp", "page_alloc": "contig"}.get(site.module, "other")


def table(kernels):
    """Rows of CLASSES, a column for the image and one for the modules of each kernel."""
    counts = {name: [collections.Counter(map(class_of, part)) for part in parts]
              for name, parts in kernels.items()}
    lines = ["| written with | prints through | recorded | "
             + " | ".join(f"{name} image | {name} modules" for name in kernels) + " |",
             "|---|---|---" + "|---:|---:" * len(kernels) + "|"]
    for row, words in CLASSES.items():
        numbers = [part[row] for parts in counts.values() for part in parts]
        if any(numbers):
            lines.append("| " + " | ".join([*words, *map(str, numbers)]) + " |")
    total = [len(part) for parts in kernels.values() for part in parts]
    lines.append("| all | | | " + " | ".join(map(str, total)) + " |")
    return lines


def wrap(line, indent=""):
    """As the documents are wrapped."""
    return textwrap.fill(line, 100, subsequent_indent=indent, break_long_words=False,
                         break_on_hyphens=False)


def listing(kernels):
    """Each callsite that is not recorded."""
    lines = []
    for name, (image, modules) in kernels.items():
        places = collections.defaultdict(list)
        for site in image + modules:
            if not site.recorded:
                places[class_of(site), site.module, site.file].append(site.line)
        lines += ["", f"Linux {name}: module, file, lines", ""]
        lines += [wrap(f"- `{module}` {file}: {', '.join(map(str, sorted(numbers)))}", "  ")
                  for (_, module, file), numbers in sorted(places.items())]
    return lines


def facts(kernels):
    """What the driver relies on."""
    sites = [site for parts in kernels.values() for part in parts for site in part]
    passed = sorted(site.distance for site in sites if site.passed)
    runs_once = sum(1 for site in sites if site.init and not site.passed)
    tails = sum(1 for site in sites if not site.passed and site.tail)
    near = sum(1 for d in passed if d <= 64) * 1000 // len(passed) / 10
    far = sum(1 for d in passed if d > 4096)
    return ["", wrap(
            f"Of {len(passed)} callsites that pass their descriptor, its address lies at most 64 bytes "
            f"from where the branch leads in {near} %, at most 4 KiB in all but {far}, at most "
            f"{passed[-1]} bytes in all. "
            f"Callsites that do not pass it, in code that runs once: {runs_once}; that leave by a jump "
            f"instead of a call: {tails}.")]


def ask_guest(name, kernel):
    """From a guest: its /proc/kallsyms, and the driver's report of callsites that it cannot record, as
    parts of the page."""
    sys.path.insert(0, os.path.join(REPO, "tests", "avocado"))
    os.environ["DDEBUG_KERNEL"] = name
    import ddebug.guest     # pylint: disable=import-outside-toplevel
    with tempfile.TemporaryDirectory() as folder:
        args, names = disk_of_modules(kernel, ["btrfs"], folder)
        guest = ddebug.guest.Guest(folder, log=None, modules=("ddebug_rb",), append="nokaslr", args=args)
        try:
            guest.boot()
            symbols = guest.read("/proc/kallsyms", 250)
            load_from_disk(guest, names)
            listed = guest.read("/sys/kernel/debug/dynamic_debug_rb/uncaptured")
            guest.control("module btrfs +r")
            said = [record.text.decode() for record in guest.kmsg()
                    if b"cannot be recorded" in record.text]
        finally:
            guest.close()
    lines = [line for line in listed.splitlines() if "[page_alloc]" in line]
    if len(said) != 1 or len(lines) != 1:
        raise ValueError(f"the driver says {said} of btrfs and lists {lines}")
    return symbols, {
        "message": [f"Linux {kernel['release']}, at `module btrfs +r`:", "", f"    {said[0]}"],
        "list": [f"Linux {kernel['release']}, of the kernel itself:", "", f"    {lines[0]}"]}


def survey_all(name, kernel):
    """Of a kernel in build/config.json: callsites of the image and of all modules, and the driver's
    report."""
    # in a process of its own: the kernel is chosen once per process
    with multiprocessing.Pool(1) as pool:
        symbols, said = pool.apply(ask_guest, (name, kernel))
    return (survey_kernel(kernel["image"], symbols),
            survey_modules(module_files(os.path.join(kernel["root"], "lib")))), said


def replace_part(page, part, lines):
    """The page with new lines in one of its generated parts."""
    begin, end = BEGIN.format(part), END.format(part)
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return before + begin + "\n" + "\n".join(prose.wrapped(lines)) + "\n\n" + end + after


def main():
    with open(os.path.join(REPO, "build", "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    kernels, said = {}, {}
    for name, kernel in config["kernels"].items():
        print(f"== Callsites of {kernel['release']}", flush=True)
        kernels[name], said[name] = survey_all(name, kernel)
    releases = " and ".join(kernel["release"] for kernel in config["kernels"].values())
    # the newest kernel is enough for an example
    parts = said[list(said)[-1]]
    parts["survey"] = [f"Debian's {releases}, all modules:", "", *table(kernels),
                       *facts(kernels), *listing(kernels)]
    for part, lines in parts.items():
        page = replace_part(page, part, lines)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page)
    print(f"written to {os.path.relpath(PAGE)}")


if __name__ == "__main__":
    main()
