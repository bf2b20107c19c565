# SPDX-License-Identifier: GPL-2.0-or-later
"""Proves that make shell does what it prints: the guest has a root shell on the terminal, its
messages arrive by the command for the second terminal, and it can be left in both ways."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

from ddebug.case import DdebugTest
from ddebug.guest import PATIENCE, REPO, child_dies_with_us

SCRIPT = os.path.join(REPO, "scripts", "shell.py")


class Terminal:
    """A program on a terminal: what it has printed, as text."""

    def __init__(self, command, columns=120):
        self.ours, theirs = pty.openpty()
        os.set_inheritable(theirs, True)
        self.process = subprocess.Popen(
            command, cwd=REPO, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**os.environ, "COLUMNS": str(columns), "LINES": "40"}, preexec_fn=child_dies_with_us)
        os.close(theirs)
        self.output = ""

    def read(self, seconds=0.1):
        """Whether more has come."""
        if not select.select([self.ours], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.ours, 65536)
        except OSError:     # the other side is closed
            data = b""
        self.output += data.decode(errors="replace").replace("\r", "")
        return bool(data)

    def wait_for(self, pattern, start=0):
        """The match of a pattern in what comes after a place."""
        deadline = time.monotonic() + PATIENCE
        while not (match := re.compile(pattern, re.M).search(self.output, start)):
            if not self.read() and (self.process.poll() is not None or time.monotonic() > deadline):
                raise AssertionError(f"{pattern!r} is not in {self.output[start:]!r}")
        return match

    def type(self, text):
        os.write(self.ours, text.encode())

    def run(self, command):
        """Run a command of the guest's shell: its exit status."""
        start = len(self.output)
        self.type(f"{command}; echo status=$?\n")
        return int(self.wait_for(r"^status=(\d+)$", start).group(1))

    def wait(self):
        """The exit status of the program."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read()
        while self.read(0):
            pass
        return self.process.wait(1)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


class Shell(DdebugTest):
    timeout = 300

    def setUp(self):
        super().setUp()
        self.terminals = []

    def tearDown(self):
        super().tearDown()
        for terminal in self.terminals:
            self.log.info("%s", terminal.output)
            terminal.close()

    def start(self, command):
        self.terminals.append(Terminal(command))
        return self.terminals[-1]

    def start_shell(self):
        terminal = self.start([sys.executable, SCRIPT, self.scratch("shell")])
        terminal.wait_for("^/root # ")
        return terminal

    def test_what_it_prints_can_be_typed(self):
        """By hand: the second terminal follows what the first one makes the guest log."""
        shell = self.start_shell()
        follow = shell.wait_for(r"second terminal: +(\S.*)$").group(1)
        control = shell.wait_for(r"in this guest: +(\S.*)$").group(1)
        work = shell.wait_for(r"in this guest: .*\n +(\S.*)$").group(1)
        self.assertRegex(follow, r"ddebug-host --wait --follow \S+vm\.ddl$")
        second = self.start(["sh", "-c", "exec " + follow])
        self.assertEqual(shell.run("id | grep -q uid=0"), 0)
        self.assertEqual(shell.run("stty size | grep -qx '40 120'"), 0)
        self.assertEqual(shell.run(control), 0)
        self.assertEqual(shell.run(work), 0)
        second.wait_for(r"^\[ *\d+\.\d{6}\] e1000e \S+ \S*eth0\S*: ")
        # the terminal is the shell's: Ctrl-C ends what runs in it, and nothing else
        start = len(shell.output)
        shell.type("echo sleeps; sleep 1000\n")
        shell.wait_for("^sleeps$", start)
        shell.type("\x03")
        self.assertEqual(shell.run("true"), 0)
        shell.type("poweroff -f\n")
        self.assertEqual(shell.wait(), 0)
        second.process.send_signal(signal.SIGINT)
        second.wait()

    def test_it_is_left_by_a_key(self):
        shell = self.start_shell()
        shell.type("\x01x")
        self.assertEqual(shell.wait(), 0)
        # and by the end of the shell
        shell = self.start_shell()
        shell.type("exit\n")
        self.assertEqual(shell.wait(), 0)

    def test_without_a_terminal(self):
        done = subprocess.run([sys.executable, SCRIPT, self.scratch("none")], check=False, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, "^shell: error: standard input and output must be a terminal\n")
        self.assertFalse(os.path.exists(self.scratch("none")))
