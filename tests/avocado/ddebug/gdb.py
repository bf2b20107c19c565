# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests need of QEMU's GDB server: to stop a guest at an address, and to have
one virtual CPU stand still there while the others run."""

import os
import socket
import time

from .guest import PATIENCE


class GdbServer:
    """The remote serial protocol, as far as we use it.  The guest stops when it is connected."""

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
        # that the guest has stopped is said when it has, be it asked or not
        while reply.startswith("T"):
            reply = self._packet()
        if reply != "OK":
            raise RuntimeError(f"QEMU's answer to {command}: {reply!r}")

    def stop_at(self, address):
        """Let the guest run until a virtual CPU comes to the address, first of all; its number, from 0."""
        self.must(f"Z1,{address:x},1")
        self.send("vCont;c")
        reply = self._packet()
        self.must(f"z1,{address:x},1")
        fields = dict(field.split(":") for field in reply[3:].rstrip(";").split(";"))
        return int(fields["thread"].split(".")[-1], 16) - 1

    def run_only(self, *cpus):
        """Let these virtual CPUs run, and no other."""
        self.send("vCont" + "".join(f";c:{cpu + 1:x}" for cpu in cpus))

    def run_all(self, seconds):
        """Let the guest run for a while; then it has stopped."""
        self.send("vCont;c")
        time.sleep(seconds)
        self.stop()

    def stop(self):
        self._socket.sendall(b"\x03")
        self._packet()

    def close(self):
        """All run on, as if nobody had been here."""
        self.request("D")
        self._socket.close()


def connect(path, patience=10):
    """The server, when QEMU has made its socket."""
    deadline = time.monotonic() + patience
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.1)
    return GdbServer(path)
