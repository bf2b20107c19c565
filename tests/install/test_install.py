#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that what make install installs works from there and is what the manuals say, and that make
uninstall leaves nothing behind.  No guest is booted.  Output is TAP."""

import glob
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(REPO, "build")

sys.path.insert(0, os.path.join(REPO, "tests", "tools"))
import tap      # noqa: E402

MODULES = ("ddebug_rb", "virtio_ddebug")
PAGES = ("man1/ddebug-host.1", "man4/ddebug-rb.4", "man7/virtio-ddebug.7")


def run(*command, **options):
    """Run a command: (exit status, both outputs as one text)."""
    options.setdefault("cwd", REPO)
    options.setdefault("stdin", subprocess.DEVNULL)
    # where modprobe and the like are
    options.setdefault("env", {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    done = subprocess.run(command, check=False, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    return done.returncode, done.stdout


def config():
    with open(os.path.join(BUILD, "config.json"), encoding="utf-8") as file:
        return json.load(file)


def qemus():
    """The QEMUs that load the device."""
    return [qemu for qemu in config()["qemus"].values() if qemu["plugin"]]


def kernels():
    """{name: {"release", "root", "kdir"}} of the kernels that modules were built for."""
    known = config()["kernels"]
    return {name: known[name] for name in known
            if os.path.exists(os.path.join(BUILD, "guest-driver", name, "virtio_ddebug.ko"))}


def version():
    with open(os.path.join(REPO, "include", "ddebug_version.h"), encoding="utf-8") as file:
        return re.search(r'^#define DDEBUG_VERSION "(\S+)"$', file.read(), re.M).group(1)


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def names(pattern):
    return [os.path.basename(path) for path in glob.glob(os.path.join(REPO, pattern))]


def tree(top):
    """{path below top: mode} of all that is no folder, and the set of folders."""
    files, folders = {}, set()
    for where, below, here in os.walk(top):
        folders |= {os.path.relpath(os.path.join(where, name), top) for name in below}
        for name in here:
            path = os.path.join(where, name)
            files[os.path.relpath(path, top)] = stat.S_IMODE(os.lstat(path).st_mode)
    return files, folders


class Install(unittest.TestCase):

    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="ddebug-install.")
        self.addCleanup(shutil.rmtree, self.top)

    def path(self, *names_below):
        return os.path.join(self.top, *names_below)

    def make(self, *arguments, fails=False):
        # the caller's settings are not for these tests
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR", "PREFIX")}
        status, output = run("make", "--no-print-directory", *arguments, env=environment)
        self.assertEqual(status != 0, fails, output)
        return output

    def install(self):
        self.make("install", f"PREFIX={self.top}")

    def qemu(self, qemu, *options):
        """A QEMU that exits at once: (status, output)."""
        return run(qemu["binary"], *qemu["args"], "-nodefaults", "-no-user-config", "-display", "none", "-S",
                   "-machine", "q35", "-accel", "tcg", "-qmp", "stdio",
                   "-plugin", self.path("lib/virtio-ddebug/virtio-ddebug.so"), *options,
                   env={**os.environ, **qemu["env"]}, stdin=None,
                   input='{"execute":"qmp_capabilities"}{"execute":"quit"}')

    # -- what is where ------------------------------------------------------

    def expected(self):
        """What there must be below PREFIX=/usr: {path: mode}."""
        source = f"src/virtio-ddebug-{version()}/"
        doc = "share/doc/virtio-ddebug/"
        files = {"lib/virtio-ddebug/manifest", "lib/virtio-ddebug/virtio-ddebug.so",
                 "share/bash-completion/completions/ddebug-host", source + "dkms.conf",
                 source + "Kbuild", source + "COPYING", doc + "README.md", doc + "COPYING"}
        files |= {doc + "CONTRIBUTING.md", doc + "CHANGELOG.md"}
        for folder, pattern in (
                ("lib/virtio-ddebug/", "build/qemu-device/virtio-ddebug-*.so"),
                ("include/virtio-ddebug/", "include/*.h"), (source + "include/", "include/*.h"),
                (source, "guest-driver/*.[ch]"), (doc + "docs/", "docs/*.*"),
                (doc + "docs/spec/", "docs/spec/*.md"),
                (doc + "docs/licenses/", "docs/licenses/*"), (source + "docs/licenses/", "docs/licenses/*")):
            found = names(pattern)
            self.assertTrue(found, pattern)
            files |= {folder + name for name in found}
        files |= {"share/man/" + page for page in PAGES}
        files.add("etc/apparmor.d/abstractions/virtio-ddebug")
        return {**{name: 0o644 for name in files}, "bin/ddebug-host": 0o755}

    def test_a_staged_install_is_complete_and_goes_away(self):
        arguments = (f"DESTDIR={self.path('stage')}", "PREFIX=/usr", "LIBDIR=/usr/lib/a-b/c")
        # below /usr the configuration is the machine's, in /etc; here, of a separate tree
        arguments += ("SYSCONFDIR=/usr/etc",)
        self.make("install", *arguments)
        expected = {name.replace("lib/", "lib/a-b/c/", 1) if name.startswith("lib/") else name: mode
                    for name, mode in self.expected().items()}
        files, folders = tree(self.path("stage/usr"))
        self.assertEqual(files, expected)
        for folder in folders:
            self.assertEqual(stat.S_IMODE(os.stat(self.path("stage/usr", folder)).st_mode), 0o755, folder)

        # nothing names the stage; pages and the list name the given folders
        for name in files:
            with open(self.path("stage/usr", name), "rb") as file:
                self.assertNotIn(self.path("stage").encode(), file.read(), name)
        self.assertIn(r"/usr/lib/a\-b/c/virtio\-ddebug/virtio\-ddebug.so",
                      read(self.path("stage/usr/share/man/man7/virtio-ddebug.7")))
        listed = read(self.path("stage/usr/lib/a-b/c/virtio-ddebug/manifest")).splitlines()
        self.assertEqual({line[len("f /usr/"):] for line in listed if line.startswith("f ")},
                         set(files) - {"lib/a-b/c/virtio-ddebug/manifest"})

        self.make("install", *arguments)    # once more
        self.assertEqual(tree(self.path("stage/usr"))[0], expected)
        self.make("uninstall", *arguments)
        self.assertEqual(tree(self.path("stage")), ({}, set()))
        output = self.make("uninstall", *arguments, fails=True)
        self.assertIn("nothing is installed", output)

    def test_rules_for_apparmor_are_included_where_libvirt_has_its_own(self):
        site = self.path("etc/apparmor.d/local/abstractions/libvirt-qemu")
        own = "  /srv/images/** rwk,\n"
        os.makedirs(os.path.dirname(site))
        with open(site, "w", encoding="utf-8") as file:
            file.write(own)
        for _ in range(2):
            self.install()
            self.assertEqual(read(site), own + "include if exists <abstractions/virtio-ddebug>\n")
        rules = read(self.path("etc/apparmor.d/abstractions/virtio-ddebug"))
        self.assertIn(f"{self.path('lib/virtio-ddebug')}/*.so mr,\n", rules)
        self.make("uninstall", f"PREFIX={self.top}")
        self.assertEqual(read(site), own)
        # a package's tree is not the machine's
        os.makedirs(self.path("stage/etc/apparmor.d/local/abstractions"))
        shutil.copy(site, self.path("stage/etc/apparmor.d/local/abstractions"))
        self.make("install", f"DESTDIR={self.path('stage')}", "PREFIX=/usr")
        self.assertEqual(read(self.path("stage/etc/apparmor.d/local/abstractions/libvirt-qemu")), own)
        self.assertIn("/usr/lib/virtio-ddebug/*.so mr,\n",
                      read(self.path("stage/etc/apparmor.d/abstractions/virtio-ddebug")))

    def test_what_others_have_put_there_stays(self):
        others = {"bin/other", "share/man/man1/other.1", "lib/virtio-ddebug/other"}
        os.makedirs(self.path("bin"))
        os.makedirs(self.path("share/man"))
        self.install()
        for name in others:
            with open(self.path(name), "w", encoding="utf-8"):
                pass
        self.make("uninstall", f"PREFIX={self.top}")
        files, folders = tree(self.top)
        self.assertEqual(set(files), others)
        self.assertEqual(folders, {"bin", "share", "share/man", "share/man/man1", "lib", "lib/virtio-ddebug"})

    def test_an_install_replaces_an_older_one(self):
        self.make("install", f"PREFIX={self.top}", "VERSION=0.0.1")
        mapped = self.path("lib/virtio-ddebug/virtio-ddebug.so")
        with open(mapped, "rb") as running:
            self.install()
            # a running QEMU still has its file, unchanged
            self.assertNotEqual(os.fstat(running.fileno()).st_ino, os.stat(mapped).st_ino)
            self.assertEqual(os.fstat(running.fileno()).st_nlink, 0)
            with open(mapped, "rb") as new:
                self.assertEqual(running.read(), new.read())
        self.assertEqual(tree(self.top)[0], self.expected())
        self.assertNotIn("src/virtio-ddebug-0.0.1", tree(self.top)[1])
        self.make("uninstall", f"PREFIX={self.top}")
        self.assertEqual(tree(self.top), ({}, set()))

    def test_errors_come_before_anything_is_done_and_name_the_remedy(self):
        output = self.make("install", f"PREFIX={self.path('a')}", f"BUILD={self.path('no')}", fails=True)
        self.assertIn("make build", output)
        output = self.make("install-guest", f"DESTDIR={self.path('a')}", f"BUILD={self.path('no')}",
                           fails=True)
        self.assertIn("make build", output)
        output = self.make("install", f"DESTDIR={self.path('a')}", "PREFIX=usr", fails=True)
        self.assertIn("not an absolute path", output)
        self.assertEqual(tree(self.top), ({}, set()))

    # -- it works from there ------------------------------------------------

    def test_tool_and_device_run_from_where_they_are_installed(self):
        self.install()
        log, tool = self.path("vm.ddl"), self.path("bin/ddebug-host")
        self.assertEqual(run(tool, "--version"), (0, f"ddebug-host (virtio-ddebug) {version()}\n"))
        self.assertGreater(len(qemus()), 0)
        for qemu in qemus():
            status, output = self.qemu(qemu, "-device", f"virtio-ddebug-pci,file={log},size=2M")
            self.assertEqual(status, 0, output)
            status, output = run(tool, "--info", log)
            self.assertEqual(status, 0, output)
            self.assertIn(f"virtio-ddebug {version()}, QEMU", output)

        for name in glob.glob(self.path("lib/virtio-ddebug/virtio-ddebug-*.so")):
            os.unlink(name)
        for qemu in qemus():
            status, output = self.qemu(qemu, "-device", f"virtio-ddebug-pci,file={log}")
            self.assertNotEqual(status, 0)
            for words in ("not built for this QEMU", self.path("lib/virtio-ddebug/virtio-ddebug-"),
                          "make build && make install", "O=../build/qemu-device && make install"):
                self.assertIn(words, output)

    def test_completion_knows_the_options(self):
        self.install()
        script = (f"source {self.path('share/bash-completion/completions/ddebug-host')}; "
                  "COMP_WORDS=(ddebug-host --); COMP_CWORD=1; _ddebug_host; echo ${COMPREPLY[@]}")
        status, output = run("bash", "-uc", script)
        self.assertEqual(status, 0, output)
        told = run(self.path("bin/ddebug-host"), "--help")[1]
        self.assertEqual({word.rstrip("=") for word in output.split()},
                         set(re.findall(r"--[a-z]+(?:-[a-z]+)*", told)))

    def test_manuals_are_clean_and_refer_to_what_is_there(self):
        self.install()
        man = self.path("share/man")
        for page in PAGES:
            path = os.path.join(man, page)
            environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANPAGER": "cat"}
            status, output = run("man", "--warnings", "-l", path, env=environment)
            self.assertEqual(status, 0, output)
            self.assertGreater(len(output.splitlines()), 100, output)
            self.assertNotRegex(output, r"(?m)^\S*(troff|groff|man|tbl): ")
            self.assertEqual(run("mandoc", "-Tlint", path), (0, ""))
            # found as users find it
            name, section = os.path.basename(page).rsplit(".", 1)
            self.assertEqual(run("man", "-M", man, "-w", section, name), (0, path + "\n"))
            # and so are those of our pages that it refers to
            for other, number in re.findall(r"\b((?:virtio-)?ddebug(?:-[a-z]+)?)\((\d)\)",
                                            re.sub(r".\x08", "", output)):
                self.assertIn(f"man{number}/{other}.{number}", PAGES, page)

    def test_documents_refer_to_what_is_there(self):
        self.install()
        doc = self.path("share/doc/virtio-ddebug")
        count = 0
        for name in [name for name in tree(doc)[0] if name.endswith(".md")]:
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", read(doc, name)):
                self.assertTrue(os.path.exists(os.path.join(doc, os.path.dirname(name), target)),
                                f"{name} refers to {target}")
                count += 1
        self.assertGreater(count, 3)

    def test_headers_compile_by_themselves(self):
        self.install()
        for header in names("include/*.h"):
            status, output = run("cc", "-Wall", "-Werror", "-fsyntax-only", "-x", "c", "-include",
                                 "linux/types.h", self.path("include/virtio-ddebug", header))
            self.assertEqual((status, output), (0, ""), header)

    # -- the guest's modules ------------------------------------------------

    def module_tree(self, kernel):
        """A root with nothing but the modules of the guest's kernel."""
        there = os.path.join(kernel["root"], "lib", "modules", kernel["release"])
        here = self.path("root/lib/modules", kernel["release"])
        os.makedirs(here)
        os.symlink(os.path.join(there, "kernel"), os.path.join(here, "kernel"))
        for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            shutil.copy(os.path.join(there, name), here)
        return here

    def modprobe(self, kernel, *arguments):
        return run("modprobe", "-C", "/dev/null", "-d", self.path("root"), "-S", kernel["release"],
                   *arguments)

    def test_modprobe_finds_the_modules_and_udev_the_device(self):
        for name, kernel in kernels().items():
            folder = self.module_tree(kernel)
            arguments = (f"DESTDIR={self.path('root')}", f"KERNEL={name}")
            self.make("install-guest", *arguments)
            self.assertEqual({re.sub(r"\.ko.*", "", file) for file in os.listdir(folder + "/updates")},
                             set(MODULES))
            status, output = self.modprobe(kernel, "--show-depends", "virtio_ddebug")
            self.assertEqual(status, 0, output)
            paths = [line.split()[1] for line in output.splitlines() if line.startswith("insmod ")]
            self.assertEqual([os.path.basename(path).split(".")[0] for path in paths[-2:]], [*MODULES])
            # before them the kernel's own virtio modules, which may be built in
            for path in paths[:-2]:
                self.assertTrue(path.startswith(folder + "/kernel/drivers/virtio/"), path)
            # as the kernel names the device: virtio id 60 of any vendor
            device = "virtio:d0000003Cv00001AF4"
            self.assertEqual(self.modprobe(kernel, "-R", device), (0, "virtio_ddebug\n"))

            self.make("uninstall-guest", *arguments)
            self.assertFalse(os.path.exists(folder + "/updates"))
            self.assertNotEqual(self.modprobe(kernel, "-R", device)[0], 0)

    def test_modules_bear_the_version_and_leave_nothing_behind(self):
        for name, kernel in kernels().items():
            arguments = (f"DESTDIR={self.path('root')}", f"KERNEL={name}")
            self.make("install-guest", *arguments)
            for module in MODULES:
                found = glob.glob(self.path("root/lib/modules", kernel["release"], "updates",
                                            module + ".ko*"))
                self.assertEqual(len(found), 1)
                self.assertEqual(run("modinfo", "-F", "version", found[0]), (0, version() + "\n"))
            self.make("uninstall-guest", *arguments)
            self.assertEqual(tree(self.path("root")), ({}, set()))
        output = self.make("install-guest", f"DESTDIR={self.path('root')}", "KERNEL=2.6", fails=True)
        self.assertIn("KERNEL=2.6 is unknown", output)

    def test_the_source_for_dkms_builds_what_it_says(self):
        """Without dkms, which hooks into the machine's apt: its file is a shell script, whose commands
        are run here."""
        self.install()
        source = self.path("src", f"virtio-ddebug-{version()}")
        for kernel in kernels().values():
            # dkms builds in a copy, at this path
            place = self.path("dkms/virtio-ddebug", version(), "build")
            shutil.copytree(source, place)
            script = f"""
                dkms_tree={self.path('dkms')} kernelver={kernel['release']} kernel_source_dir={kernel['kdir']}
                . {source}/dkms.conf
                echo "$PACKAGE_NAME-$PACKAGE_VERSION"
                [[ $kernelver =~ $BUILD_EXCLUSIVE_KERNEL && x86_64 =~ $BUILD_EXCLUSIVE_ARCH ]]
                [[ ! 6.10.1 =~ $BUILD_EXCLUSIVE_KERNEL && ! 5.6.1 =~ $BUILD_EXCLUSIVE_KERNEL ]]
                echo "${{BUILT_MODULE_NAME[@]}}"
                cd {place}
                eval "${{MAKE[0]}}" > {self.path('log')} 2>&1 || {{ cat {self.path('log')}; exit 1; }}
                ls *.ko
                eval "$CLEAN" > /dev/null
            """
            status, output = run("bash", "-euc", script)
            self.assertEqual(status, 0, output)
            self.assertEqual(output.split(), [os.path.basename(source), *MODULES,
                                              *(module + ".ko" for module in MODULES)])
            self.assertEqual({name for name in tree(place)[0] if name.endswith((".o", ".ko"))}, set())
            shutil.rmtree(place)


if __name__ == "__main__":
    sys.exit(tap.main(Install))
