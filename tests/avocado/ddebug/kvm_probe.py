# SPDX-License-Identifier: GPL-2.0-or-later
"""python3 -m ddebug.kvm_probe FOLDER SECONDS: check whether a guest of the stock kernel, without
anything of ours, boots under KVM; the output of QEMU and guest goes to FOLDER."""

import sys

from .guest import Guest, GuestError


def main():
    folder, seconds = sys.argv[1], int(sys.argv[2])
    guest = Guest(folder, log=None, modules=(), accel="kvm", life=seconds)
    try:
        guest.launch()
        guest.wait_ready(seconds)
    except GuestError as error:
        print(error)
        return 1
    finally:
        guest.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
