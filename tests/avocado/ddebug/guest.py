# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole guests for tests: a QEMU, its console, its agent, its log on the host.

Nothing here knows of Avocado, so that the demonstration uses it as well.
"""

import ctypes
import functools
import gzip
import json
import mmap
import os
import re
import signal
import socket
import subprocess
import threading
import time

from qemu.qmp.legacy import QEMUMonitorProtocol

from .logfile import LogFile

REPO = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))
BUILD = os.path.join(REPO, "build")

CONTROL = "/sys/kernel/debug/dynamic_debug/control"
PROC_CONTROL = "/proc/dynamic_debug/control"
STATS = "/sys/kernel/debug/dynamic_debug_rb/stats"
LOAD = "/sys/kernel/debug/ddebug_test"

# Seconds to wait for what is due at once: a busy host must not fail a test.
PATIENCE = 120

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


# The variant; tests/tools/check.py runs all of them.
QEMU = os.environ.get("DDEBUG_QEMU", "loadable-7.2")
KERNEL = os.environ.get("DDEBUG_KERNEL", "6.1")
ACCEL = os.environ.get("DDEBUG_ACCEL", "tcg")

# The kernel's message prefixes, by flags in this order.
PREFIX_LETTERS = "mfslt" if KERNEL == "6.12" else "mflt"


def config():
    """What `make` chose: kernels, QEMUs, build folders."""
    with open(os.path.join(BUILD, "config.json"), encoding="utf-8") as file:
        found = json.load(file)
    try:
        with open(os.path.join(BUILD, "debug-kernel.json"), encoding="utf-8") as file:
            found["kernels"].update(json.load(file))
    except FileNotFoundError:
        pass    # built on demand
    return found


def chosen_kernel():
    """The guest's kernel: its release, image, root, kdir."""
    return config()["kernels"][KERNEL]


def chosen_qemu():
    """The QEMU: its binary, package, plugin, args, env, threads."""
    return config()["qemus"][QEMU]


def plugin():
    """The object that provides the device; None if it is built into QEMU."""
    return chosen_qemu()["plugin"]


def loadable():
    """The object that provides the device to Debian's QEMUs, whichever QEMU is chosen."""
    return config()["qemus"]["loadable-7.2"]["plugin"]


def device_source(file=None):
    """The options that load the device: none where it is built in."""
    return ["-plugin", file or plugin()] if file or plugin() else []


def initrd():
    return os.path.join(BUILD, "guest", KERNEL, "initrd.img")


def qemu_command(accel=None):
    """The start of every command line: the binary and its basic options."""
    qemu = chosen_qemu()
    if accel is None:
        accel = f"tcg,thread={qemu['threads']}" if ACCEL == "tcg" else ACCEL
    return [qemu["binary"], *qemu["args"], "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", "q35", "-accel", accel]


def one_thread():
    """The accel for a guest whose memory map changes, as it does when a device is plugged in,
    out or reset, while its vCPUs are busy.

    With a thread for each vCPU, QEMU 10.0.2's TCG then looks up accesses to devices in a map
    that is gone: it aborts in iotlb_to_section() (seen with virtio-rng-pci and no plugin), or a
    CPU of the guest takes no more interrupts."""
    return "tcg,thread=single" if ACCEL == "tcg" else ACCEL


def qemu_environment():
    return {**os.environ, **chosen_qemu()["env"]}


def tool():
    return os.path.join(BUILD, "host-tool", "ddebug-host")


def child_dies_with_us():
    """For preexec_fn: no process that a test starts outlives it.

    A shell starts background jobs with SIGINT ignored, which the tests' processes would inherit.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@functools.cache
def tsc_khz():
    """The rate of this CPU's time stamp counter, which guests under TCG see."""
    # rdtsc; shl $32, %rdx; or %rdx, %rax; ret
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex("0f31 48c1e220 4809d0 c3"))
    read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))

    def sample():
        """(ns, counter): the least disturbed sample."""
        best = None
        for _ in range(50):
            before, counter, after = time.monotonic_ns(), read(), time.monotonic_ns()
            if best is None or after - before < best[0]:
                best = (after - before, before, counter)
        return best[1:]

    begin, first = sample()
    time.sleep(0.1)
    end, last = sample()
    return round((last - first) * 1e6 / (end - begin))


class GuestError(Exception):
    """The guest or its QEMU failed in a way that ends any test."""


class CommandFailed(GuestError):
    """A command in the guest failed that must succeed."""


class KmsgRecord:
    """One record of the guest's /dev/kmsg."""

    def __init__(self, level, seq, stamp, text):
        self.level = level
        self.seq = seq
        self.stamp = stamp      # seconds, exact to the microsecond
        self.text = text

    def __repr__(self):
        return f"[{self.stamp:12.6f}] {self.text!r}"


def parse_kmsg(data):
    """The records in what was read from /dev/kmsg (bytes)."""
    records = []
    for line in data.split(b"\n"):
        match = re.match(rb"(\d+),(\d+),(\d+),[^;]*;(.*)$", line, re.S)
        if not match:
            continue    # a line of properties of the record before
        text = re.sub(rb"\\x([0-9a-f]{2})",
                      lambda m: bytes([int(m.group(1), 16)]), match.group(4))
        records.append(KmsgRecord(int(match.group(1)) & 7, int(match.group(2)),
                                  int(match.group(3)) / 1e6, text))
    return records


class Guest:
    """A guest of the stock kernel, from boot until it is killed.

    directory  for console.log, qemu.log, sockets, and by default the log
    log        the device's file; None: no virtio-ddebug device
    props      further properties of the device: "size=1M,…"
    accel      default: that of the variant
    fds        file descriptors that QEMU inherits, with their numbers
    load_plugin  whether QEMU is given the plugin (if it needs one); default: if there is a log
    life       seconds after which QEMU is killed, come what may
    """

    def __init__(self, directory, name="guest", log="default", props="", smp=2,
                 memory=1024, accel=None, append="", args=(), fds=(),
                 life=300, load_plugin=None, modules=("virtio_ddebug",)):
        self.directory = os.path.join(directory, name)
        os.makedirs(self.directory, exist_ok=True)
        if log == "default":
            log = os.path.join(self.directory, "ddebug.log")
        self.log_file = log
        self.props = props
        self.smp = smp
        self.memory = memory
        self.accel = accel
        self.append = append
        self.args = list(args)
        self.fds = fds
        self.life = life
        self.load_plugin = log is not None if load_plugin is None else load_plugin
        self.modules = modules
        self.process = None
        self.qmp = None
        self._agent = None
        self._buffer = b""
        self._timer = None
        self._timed_out = False
        self._sockets = None

    # -- life ---------------------------------------------------------------

    def path(self, name):
        return os.path.join(self.directory, name)

    def device_option(self):
        """The -device argument, without the option's name."""
        option = "virtio-ddebug-pci,id=ddebug0,file=" + self.log_file.replace(",", ",,")
        return option + ("," + self.props if self.props else "")

    def clock_parameters(self):
        """Keep the guest's clocks right on a busy host, where the kernel has been seen to misjudge its
        time stamp counter by a factor of forty."""
        rate = f"tsc_early_khz={tsc_khz()} " if ACCEL == "tcg" and "-icount" not in self.args else ""
        return "tsc=reliable no_timer_check " + rate

    def kernel_command_line(self):
        return ("console=ttyS0 loglevel=5 log_buf_len=32M panic=-1 printk.devkmsg=on " +
                self.clock_parameters() + self.append)

    def channels(self):
        """The options for the console, the agent and the monitor."""
        return ["-chardev", f"file,id=console,path={self.path('console.log')}",
                "-serial", "chardev:console",
                "-chardev", f"socket,id=agent,fd={self._sockets[1].fileno()}",
                "-serial", "chardev:agent",
                "-chardev", f"socket,id=qmp,fd={self._qmp_pair[1].fileno()}",
                "-mon", "chardev=qmp,mode=control"]

    def command_line(self):
        line = [
            # named threads: test_load looks for the device's
            *qemu_command(self.accel), "-name", "debug-threads=on",
            "-cpu", "host" if ACCEL == "kvm" else "max",
            "-smp", str(self.smp), "-m", str(self.memory), "-no-reboot",
            "-kernel", chosen_kernel()["image"], "-initrd", initrd(),
            "-append", self.kernel_command_line(), *self.channels(),
        ]
        if self.load_plugin:
            line += device_source()
        if self.log_file is not None:
            line += ["-device", self.device_option()]
        return line + self.args

    def launch(self):
        """Start QEMU; do not wait for the guest."""
        self._sockets = socket.socketpair()
        self._qmp_pair = socket.socketpair()
        inherited = [self._sockets[1].fileno(), self._qmp_pair[1].fileno(), *self.fds]
        with open(self.path("qemu.log"), "wb") as out:
            command = self.command_line()
            out.write((" ".join(command) + "\n").encode())
            out.flush()
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=qemu_environment(),
                pass_fds=inherited, preexec_fn=child_dies_with_us)
        self._sockets[1].close()
        self._qmp_pair[1].close()
        self._agent = self._sockets[0]
        self.expire_in(self.life)
        return self

    def expire_in(self, seconds):
        """Restart the time limit from now."""
        if self._timer:
            self._timer.cancel()
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def boot(self):
        """Start QEMU, wait for the guest's agent, load our modules."""
        self.launch()
        self.connect_qmp()
        self.wait_ready()
        return self.load_modules()

    def load_modules(self):
        """Load our modules; the guest's agent is ready."""
        self.must("modprobe virtio_pci")    # as udev would
        for module in self.modules:
            self.must(f"modprobe {module}")
        return self

    # x-ignore-shared: shared memory is not migrated, it stays in its file
    SHARED_MEMORY = [{"capability": "x-ignore-shared", "state": True}]

    def save(self, state):
        """Stop a guest whose memory is a file (memory-backend-file, share=on), and save the rest of
        its state to the file `state`.  No device of ours may be plugged in."""
        self.command("migrate-set-capabilities", capabilities=self.SHARED_MEMORY)
        self.command("stop")
        self.command("migrate", uri=f"exec:cat > {state}")
        self._wait_migrated()

    def restore(self, state):
        """Instead of boot(): resume a saved guest, with a copy of its memory."""
        self.args += ["-incoming", "defer"]
        self.launch()
        self.connect_qmp()
        self.command("migrate-set-capabilities", capabilities=self.SHARED_MEMORY)
        self.command("migrate-incoming", uri=f"exec:cat {state}")
        self._wait_migrated()
        self.command("cont")
        return self

    def _wait_migrated(self):
        while True:
            status = self.command("query-migrate")
            if status.get("status") == "completed":
                return
            if status.get("status") == "failed":
                raise GuestError(f"the guest cannot be saved or restored: {status}; {self.qemu_output()}")
            time.sleep(0.01)

    def plug(self, bus):
        """Plug the device into a bus, and wait until the driver has attached."""
        # the human monitor takes the command line's syntax
        said = self.command("human-monitor-command", **{
            "command-line": f"device_add {self.device_option()},bus={bus}"})
        if said:
            raise GuestError(f"cannot plug in the device: {said}")
        deadline = time.monotonic() + PATIENCE
        while not self.stats()["attached"]:
            if time.monotonic() > deadline:
                raise GuestError("the driver does not attach to the plugged-in device")
            time.sleep(0.02)

    def connect_qmp(self):
        self.qmp = QEMUMonitorProtocol(self._qmp_pair[0])
        try:
            self.qmp.connect(negotiate=True)
        except Exception as error:
            raise GuestError(f"QEMU did not start: {self.qemu_output()}") from error

    def wait_ready(self, timeout=200):
        self._buffer = b""
        line = self._read_line(time.monotonic() + timeout)
        if line != b"agent ready":
            raise GuestError(f"unexpected answer of the agent: {line!r}")

    def _expire(self):
        self._timed_out = True
        self.process.kill()

    def kill(self, sig=signal.SIGKILL):
        """End QEMU; harmless if it has ended."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(sig)
        return self.wait()

    def wait(self, timeout=PATIENCE):
        """Wait for QEMU to end and return its exit status."""
        if not self.process:
            return None
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            self.process.wait()
            raise GuestError(f"QEMU did not exit within {timeout} s") from error
        self._timer.cancel()
        if self.qmp:
            try:
                self.qmp.close()
            except Exception:   # pylint: disable=broad-except
                pass            # its peer is gone, as intended
            self.qmp = None
        self._agent.close()
        return status

    def close(self):
        """For tearDown: leave nothing behind."""
        if self.process:
            self.kill()

    def shut_down(self):
        """Power the guest off, as a user would; QEMU exits by itself."""
        self.send("poweroff -f")
        return self.wait()

    def qemu_output(self):
        """QEMU's output, without the command line."""
        with open(self.path("qemu.log"), encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[1:])

    def console(self):
        with open(self.path("console.log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    # -- commands -----------------------------------------------------------

    def _receive(self, deadline):
        left = deadline - time.monotonic()
        data = b""
        if left > 0:
            self._agent.settimeout(left)
            try:
                data = self._agent.recv(1 << 16)
            except socket.timeout:
                pass
        if not data:
            why = "lived longer than it may" if self._timed_out else \
                "has ended" if self.process.poll() is not None else "does not answer"
            raise GuestError(f"the guest {why}; QEMU: {self.qemu_output()!r}; the console's end:\n"
                             + self.console()[-3000:])
        self._buffer += data

    def _read_line(self, deadline):
        while b"\n" not in self._buffer:
            self._receive(deadline)
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def _send_script(self, script):
        data = script.encode()
        self._agent.settimeout(PATIENCE)
        self._agent.sendall(b"run %d\n" % len(data) + data)

    def send(self, script):
        """Start a shell script that may never end, or kills the guest; nothing can be run after it."""
        self._send_script(script)

    def run_raw(self, script, timeout=PATIENCE):
        """Run a shell script in the guest: (exit status, output as bytes)."""
        deadline = time.monotonic() + timeout
        self._send_script(script)
        match = re.fullmatch(rb"done (\d+) (\d+)", self._read_line(deadline))
        if not match:
            raise GuestError("malformed answer of the agent")
        length = int(match.group(2))
        while len(self._buffer) < length:
            self._receive(deadline)
        output, self._buffer = self._buffer[:length], self._buffer[length:]
        return int(match.group(1)), output

    def run(self, script, timeout=PATIENCE):
        """Run a shell script in the guest: (exit status, output)."""
        status, output = self.run_raw(script, timeout)
        return status, output.decode(errors="replace")

    def must(self, script, timeout=PATIENCE):
        """Run a script that must succeed: its output."""
        status, output = self.run(script, timeout)
        if status:
            raise CommandFailed(f"`{script}` in the guest: exit status {status}: {output}")
        return output

    def write(self, path, text):
        """Write a line to a file of the guest: (exit status, the shell's output)."""
        quoted = text.replace("'", "'\\''")
        return self.run(f"echo '{quoted}' > {path}")

    def control(self, query):
        """Write a dyndbg query that must be accepted."""
        status, output = self.write(CONTROL, query)
        if status:
            raise CommandFailed(f"query '{query}': {output}")

    def read(self, path, timeout=PATIENCE):
        """The contents of a file of the guest, as text."""
        # The serial line is slow; such texts compress to a tenth.
        status, output = self.run_raw(f"set -o pipefail; cat {path} | gzip -1", timeout)
        if status:
            raise CommandFailed(f"cannot read {path} in the guest: {output!r}")
        return gzip.decompress(output).decode(errors="replace")

    def flags(self):
        """{(file, line, function): (module, flags)} as the control file shows."""
        found = {}
        for line in self.read(CONTROL).splitlines():
            match = re.match(r"(.+):(\d+) \[(.+)\](\S+) =(\S+) ", line)
            if match:
                found[(match.group(1), int(match.group(2)), match.group(4))] = \
                    (match.group(3), match.group(5))
        return found

    # -- the kernel's log ---------------------------------------------------

    def kmsg(self, timeout=PATIENCE):
        """All records of the kernel's log."""
        # See read().
        status, output = self.run_raw("set -o pipefail; kmsg | gzip -1", timeout)
        if status:
            raise GuestError(f"cannot read the guest's /dev/kmsg: {output!r}")
        records = parse_kmsg(gzip.decompress(output))
        if not records:
            raise GuestError("the guest's /dev/kmsg is empty")
        return records

    def dmesg(self):
        return self.must("dmesg")

    # -- QEMU ---------------------------------------------------------------

    def command(self, command, **arguments):
        """Run a QMP command: its result."""
        return self.qmp.cmd(command, **arguments)

    def counter(self, name):
        """A property of the device."""
        return self.command("qom-get", path="/machine/peripheral/ddebug0", property=name)

    # -- our modules --------------------------------------------------------

    def numbers(self, path):
        """The "name: value" lines of a file of the guest, numbers as numbers."""
        found = {}
        for line in self.must(f"cat {path}").splitlines():
            name, value = line.split(": ", 1)
            found[name] = int(value) if re.fullmatch(r"-?\d+", value) else value
        return found

    def stats(self):
        """The driver's counters."""
        return self.numbers(STATS)

    def committed(self):
        """The number of messages that the driver has put into its rings, all contexts."""
        return sum(value for name, value in self.stats().items() if name.endswith("_committed"))

    def log(self):
        """Its log, which settles once it has all that the driver has committed: for a guest that runs,
        and has not reloaded ddebug_rb without a device since."""
        return Log(self.log_file, self)

    def dropped(self):
        """The number of messages that the driver has dropped."""
        return sum(value for name, value in self.stats().items()
                   if name.endswith(("_recursed", "_torn")) or name == "nostream")

    def start_load(self, request):
        """Start a load of ddebug_test; see ddebug_test.c."""
        status, output = self.write(f"{LOAD}/run", request)
        if status:
            raise CommandFailed(f"load '{request}': {output}")

    def finish_load(self, timeout=PATIENCE):
        """Wait for the load to end: its report."""
        self.must(f"cat {LOAD}/wait > /tmp/report", timeout)
        report = self.numbers("/tmp/report")
        if report["state"] != "done":
            raise CommandFailed(f"the load is {report['state']}: {self.dmesg()[-500:]}")
        return report

    def load(self, request, timeout=PATIENCE):
        self.start_load(request)
        return self.finish_load(timeout)


class Log:
    """A log on the host, read by the tool and, independently, by its format's description."""

    def __init__(self, path, guest=None):
        self.path = path
        self.guest = guest

    def read(self, rings=False):
        return LogFile(self.path, rings)

    def wait_quiet(self, quiet=1.0, timeout=PATIENCE):
        """Wait until nothing was written for a while, and the device has drained everything."""
        deadline = time.monotonic() + timeout
        while time.time() - os.stat(self.path).st_mtime < quiet:
            if time.monotonic() > deadline:
                raise GuestError(f"the log is still being written after {timeout} s")
            time.sleep(0.05)

    def settled(self):
        """The contents of the log once the device has nothing more to write.

        That nothing was written for a while does not prove that nothing is under way: if the guest
        can be asked, wait for what it has committed by now.  If that does not come, return the log
        as it is, for the test to complain.
        """
        wanted = self.guest.committed() if self.guest else 0
        deadline = time.monotonic() + PATIENCE
        while True:
            self.wait_quiet()
            found = self.read()
            if found.committed >= wanted or time.monotonic() > deadline:
                return found
            time.sleep(0.1)

    def tool(self, *options, check=True, timeout=PATIENCE, **more):
        """Run ddebug-host on the log: the completed process, output as bytes."""
        more.setdefault("env", {**os.environ, "LC_ALL": "C"})
        done = subprocess.run([tool(), *options, self.path], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              timeout=timeout, preexec_fn=child_dies_with_us, **more)
        if check and done.returncode:
            raise CommandFailed(f"{' '.join(map(str, done.args))}: exit status {done.returncode}: "
                                f"{done.stderr.decode(errors='replace')}")
        return done

    def info(self):
        """The numbers that --info prints for the whole log: {name: number}."""
        text = self.tool("--info").stdout.decode()
        return {match.group(1): int(match.group(2))
                for match in re.finditer(r"^(\w+): +(\d+)\b", text, re.M)}

    def trace(self, *options):
        """The output of --trace: [Line]."""
        return parse_lines(self.tool("--trace", *options).stdout)

    def start(self, *options, output, wrapper=()):
        """Start the tool in the background, its output in a file."""
        with open(output, "wb") as out:
            return subprocess.Popen([*wrapper, tool(), *options, self.path],
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE,
                                    preexec_fn=child_dies_with_us)

    def stream(self, *options):
        """Start the tool in the background, its output through a pipe."""
        return subprocess.Popen([tool(), *options, self.path], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, preexec_fn=child_dies_with_us)


class Line:
    """A message, or a notice (stamp None), as the tool prints it."""

    def __init__(self, raw):
        match = re.match(rb"\[ *(\d+\.\d{6})\] (.*)$", raw, re.S)
        self.raw = raw
        self.stamp = match.group(1) if match else None
        self.text = match.group(2) if match else raw

    @property
    def micros(self):
        return int(self.stamp.replace(b".", b""))

    def __repr__(self):
        return repr(self.raw)


def parse_lines(output):
    """The messages and notices in the tool's output.  Further lines of a message are indented."""
    return [Line(raw) for raw in re.split(rb"\n(?! )", output)[:-1]]


def shown(text):
    """A text as the tool shows it in the C locale: escaped, further lines indented."""
    out = b""
    for at, byte in enumerate(text):
        if byte == 10:
            out += b"\n" + b" " * 15 if at + 1 < len(text) else b""
        elif byte == 92:
            out += b"\\x5c" if re.match(rb"\\x[0-9a-fA-F]{2}", text[at:]) else b"\\"
        elif 32 <= byte < 127 or byte == 9:
            out += bytes([byte])
        else:
            out += b"\\x%02x" % byte
    return out
