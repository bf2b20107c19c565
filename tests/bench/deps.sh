#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Installs what the bench alone needs: the instrument, and the peers.
set -euo pipefail
. "$(dirname "$0")/../tools/lib.sh"

missing=()
for pkg in valgrind binutils trace-cmd babeltrace2 lttng-tools liblttng-ust-dev; do
    pkg_installed "$pkg" || missing+=("$pkg")
done
[ ${#missing[@]} -gt 0 ] || exit 0
say "To be installed by apt-get for the bench: ${missing[*]}"
apt_install() {
    run_logged apt-install-bench as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=300 install "${missing[@]}"
}
apt_install || { apt_update_once && apt_install; } ||
    die "apt-get could not install the packages" "see build/logs/apt-install-bench.log"
