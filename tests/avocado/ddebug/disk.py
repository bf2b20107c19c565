# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk that fails or hangs on demand (tests/faults/faultfs.c), mounted where only the test and its
children see it; needs root."""

import ctypes
import os
import subprocess
import time

from .guest import BUILD, PATIENCE, child_dies_with_us

# from linux/sched.h and linux/mount.h
CLONE_NEWNS = 0x20000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18

FAULTFS = os.path.join(BUILD, "faults", "faultfs")

_libc = ctypes.CDLL(None, use_errno=True)


def must(result):
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def mount(source, target, kind, flags=0, data=None):
    encode = [word.encode() if word else None for word in (source, target, kind, data)]
    must(_libc.mount(*encode[:3], ctypes.c_ulong(flags), encode[3]))


class FailingDisk:
    """A mixin for DdebugTest; name it first."""

    def setUp(self):
        super().setUp()
        self.faultfs = None
        if os.geteuid() != 0:
            self.cancel("mounting the file system that fails takes root")
        try:
            must(_libc.unshare(CLONE_NEWNS))
            mount("none", "/", None, MS_REC | MS_PRIVATE)
        except OSError as error:
            self.cancel(f"no mount namespace of its own can be had: {error}")

    def tearDown(self):
        if self.faultfs:
            self.fault("ok")            # so that nothing hangs at its end
        super().tearDown()
        if self.faultfs:
            self.faultfs.kill()
            self.faultfs.wait()

    def folder(self, name):
        path = self.scratch(name)
        os.mkdir(path)
        return path

    def fault(self, word):
        """Set the fault from now on; "ok" clears it."""
        self.log.info("fault: %s", word)
        with open(self.scratch("control.new"), "w", encoding="ascii") as file:
            file.write(word)
        os.rename(self.scratch("control.new"), self.scratch("control"))

    def lose_power(self, seed):
        """Of what was not synced, what the seed says is in self.durable; the disk is gone."""
        self.fault(f"off {seed}")
        try:
            os.stat(self.scratch("disk/anything"))
        except OSError:
            pass

    def failing_disk(self, cache=False):
        """@cache: self.durable has what was synced."""
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            self.cancel("no FUSE: /dev/fuse is not there")
        behind, top = self.folder("behind"), self.folder("disk")
        self.durable = self.folder("durable") if cache else None
        self.fault("ok")
        self.faultfs = subprocess.Popen([FAULTFS, behind, self.scratch("control"), top,
                                         *([self.durable] if cache else [])],
                                        stdin=subprocess.DEVNULL, preexec_fn=child_dies_with_us)
        deadline = time.monotonic() + PATIENCE
        while not os.path.ismount(top):
            self.assertIsNone(self.faultfs.poll(), "faultfs has ended")
            self.assertLess(time.monotonic(), deadline, "faultfs does not mount")
            time.sleep(0.05)
        return top
