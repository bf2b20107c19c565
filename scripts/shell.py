#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""shell.py [FOLDER]: boot a guest with the device and a root shell on this terminal

The log is FOLDER/vm.ddl, by default build/shell/vm.ddl; it is kept from one guest to the next.
DDEBUG_QEMU, DDEBUG_KERNEL and DDEBUG_ACCEL choose the variant.
"""

import os
import shutil
import subprocess
import sys
import termios

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(REPO, "tests", "avocado"))

from ddebug import workload                                                                     # noqa: E402
from ddebug.guest import (BUILD, CONTROL, QEMU, Guest, child_dies_with_us, chosen_kernel,       # noqa: E402
                          qemu_environment, tool)

# Something that logs with the module that is suggested.
MODULE = "e1000e"
WORK = "ip link set eth0 up"


class ShellGuest(Guest):
    """A guest whose console, with a shell, is this terminal; Ctrl-A X ends QEMU."""

    def channels(self):
        return ["-serial", "mon:stdio"]

    def kernel_command_line(self):
        # The kernel hands both to init as environment variables.
        columns, rows = shutil.get_terminal_size()
        return (f"console=ttyS0 loglevel=4 panic=-1 {self.clock_parameters()}"
                f"ddebug_shell={columns}x{rows} TERM={os.environ.get('TERM', 'linux')}")


def main():
    if not os.isatty(0) or not os.isatty(1):
        print("shell: error: standard input and output must be a terminal\n"
              "  make demo runs a guest without one", file=sys.stderr)
        return 1
    folder = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(BUILD, "shell"))
    os.makedirs(folder, exist_ok=True)
    guest = ShellGuest(os.path.dirname(folder), os.path.basename(folder), args=workload.network_card(),
                       log=os.path.join(folder, "vm.ddl"))
    log = os.path.relpath(guest.log_file)
    print(f"""\
== Booting kernel {chosen_kernel()['release']} in QEMU {QEMU} with the virtio-ddebug device
   Follow the log, in a second terminal:  {os.path.relpath(tool())} --wait --follow {log}
   Get messages, in this guest:           echo 'module {MODULE} +r' > {CONTROL}
                                          {WORK}
   Leave:                                 poweroff -f, or Ctrl-A X""", flush=True)
    terminal = termios.tcgetattr(0)
    try:
        return subprocess.run(guest.command_line(), env=qemu_environment(), check=False,
                              preexec_fn=child_dies_with_us).returncode
    except KeyboardInterrupt:
        return 130
    finally:
        termios.tcsetattr(0, termios.TCSANOW, terminal)


if __name__ == "__main__":
    sys.exit(main())
