#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# more-deps.sh TARGET PACKAGE...: install what "make TARGET" needs beyond deps.sh
set -euo pipefail
. "$(dirname "$0")/lib.sh"

target=$1
shift
missing=()
for pkg in "$@"; do
    pkg_installed "$pkg" || missing+=("$pkg")
done
[ ${#missing[@]} -gt 0 ] || exit 0
say "make $target needs ${#missing[@]} more packages; installing with apt-get: ${missing[*]}"
log=apt-install-$target
apt_install "$log" "${missing[@]}" || { apt_update_once && apt_install "$log" "${missing[@]}"; } ||
    die "apt-get cannot install the packages" "see build/logs/$log.log"
