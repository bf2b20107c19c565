#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Remove everything built and downloaded.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

rm -rf "$build" "$cache"
say "Removed $build and $cache"
