#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# deps.sh PACKAGE...: installs what make fuzz or make coverage alone needs.
set -euo pipefail
. "$(dirname "$0")/../tools/lib.sh"

missing=()
for pkg in "$@"; do
    pkg_installed "$pkg" || missing+=("$pkg")
done
[ ${#missing[@]} -gt 0 ] || exit 0
say "To be installed by apt-get: ${missing[*]}"
apt_install() {
    run_logged apt-install-fuzz as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=300 install "${missing[@]}"
}
apt_install || { apt_update_once && apt_install; } ||
    die "apt-get could not install the packages" "see build/logs/apt-install-fuzz.log"
