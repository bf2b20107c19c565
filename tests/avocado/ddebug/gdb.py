# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of QEMU's GDB server: stop a guest at an address, and keep one virtual CPU stopped while
the others run."""

import os
import socket
import time

from .guest import PATIENCE


class GdbServer:
    """The remote serial protocol, as far as needed.  Connecting stops the guest."""

    def __init__(self, path, timeout=PATIENCE):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        self._socket.connect(path)
        self._buffer = b""

    @staticmethod
    def option(path):
        """The arguments for QEMU."""
        return ["-gdb", f"unix:{path},server=on,wait=off"]

    def _receive(self):
        data = self._socket.recv(4096)
        if not data:
            raise ConnectionError("QEMU closed the connection")
        self._buffer += data

    def _packet(self):
        while True:
            begin, end = self._buffer.find(b"$"), self._buffer.find(b"#")
            if 0 <= begin < end and len(self._buffer) >= end + 3:
                packet, self._buffer = self._buffer[begin + 1:end], self._buffer[end + 3:]
                self._socket.sendall(b"+")
                return packet.decode()
            self._receive()

    def send(self, command):
        data = command.encode()
        self._socket.sendall(b"$%s#%02x" % (data, sum(data) & 0xff))

    def request(self, command):
        self.send(command)
        return self._packet()

    def must(self, command):
        reply = self.request(command)
        # the guest reports a stop when it has stopped, whether asked or not
        while reply.startswith("T"):
            reply = self._packet()
        if reply != "OK":
            raise RuntimeError(f"QEMU's answer to {command}: {reply!r}")

    def stop_at(self, address):
        """Run the guest until a virtual CPU reaches the address for the first time: its number, from 0."""
        self.must(f"Z1,{address:x},1")
        self.send("vCont;c")
        reply = self._packet()
        self.must(f"z1,{address:x},1")
        fields = dict(field.split(":") for field in reply[3:].rstrip(";").split(";"))
        return int(fields["thread"].split(".")[-1], 16) - 1

    def run_only(self, *cpus):
        """Run these virtual CPUs only."""
        self.send("vCont" + "".join(f";c:{cpu + 1:x}" for cpu in cpus))

    def run_all(self, seconds):
        """Run the guest for a while, then stop it."""
        self.send("vCont;c")
        time.sleep(seconds)
        self.stop()

    def stop(self):
        self._socket.sendall(b"\x03")
        self._packet()

    def close(self):
        """Detach: all CPUs run on."""
        self.request("D")
        self._socket.close()


def connect(path, patience=10):
    """Connect to the server once QEMU has created its socket."""
    deadline = time.monotonic() + patience
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.1)
    return GdbServer(path)
