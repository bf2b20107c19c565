# SPDX-License-Identifier: GPL-2.0-or-later
# Shared by the other scripts: messages, the cache folder, apt.  Sourced by bash; the caller sets -euo
# pipefail.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

# Downloads, unpacked sources and the Python environments go here.  HOME may be unset in continuous
# integration.
default_cache_root() {
    local home=${HOME:-}

    if [ -z "$home" ]; then
        home=$(getent passwd "$(id -u)" | cut -d: -f6)
    fi
    printf '%s\n' "${XDG_CACHE_HOME:-$home/.cache}"
}

cache=$(default_cache_root)/virtio-ddebug
build=$repo/build

say() {
    printf '== %s\n' "$*"
}

die() {
    printf '%s: error: %s\n' "${0##*/}" "$1" >&2
    shift
    [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
    exit 1
}

# run_logged NAME COMMAND...: send the output to build/logs/NAME.log, print a line of progress every
# ten seconds, and on failure the end of the log
run_logged() {
    local log=$build/logs/$1.log start=$SECONDS pid rc=0 waited=0
    shift
    mkdir -p "$build/logs"
    "$@" </dev/null >"$log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        waited=$((SECONDS - start))
        if [ "$waited" -ge "${next_sign:-10}" ]; then
            printf '   ... %d s: %s\n' "$waited" \
                "$(tail -c 300 "$log" | tr '\r' '\n' | tail -n 1 | cut -c 1-100)"
            next_sign=$((waited + 10))
        fi
    done
    unset next_sign
    wait "$pid" || rc=$?
    if [ "$rc" -ne 0 ]; then
        printf '   failed (exit status %d); the end of %s:\n' "$rc" "$log" >&2
        tail -n 30 "$log" >&2
        return "$rc"
    fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "need root to run: $*" "become root, or install sudo"
    fi
}

# Fetch the package lists at most once a run, and only when something was not found.
apt_updated=no
apt_update_once() {
    if [ "$apt_updated" = yes ]; then
        return 1
    fi
    apt_updated=yes
    say "Refreshing the package lists (apt-get update)"
    # An archive that cannot be reached may not be the one we need.
    run_logged apt-update as_root apt-get -q -o DPkg::Lock::Timeout=300 update ||
        say "apt-get update failed in part; continuing with the lists it fetched"
}

pkg_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# apt_install LOG PACKAGE...
apt_install() {
    local log=$1
    shift

    run_logged "$log" as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=300 install "$@"
}

# A private apt, for what the system's does not look at: it uses the system's archives, and keeps
# lists and state in the folder given first.
private_apt_folders() {
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial" "$1/state"
}

run_private_apt() {
    local program=$1 dir=$2
    shift 2

    "$program" -q -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$dir/lists" -o Dir::Cache="$dir/cache" \
        -o Dir::State="$dir/state" -o Dir::State::status=/dev/null \
        -o APT::Sandbox::User="$(id -un)" "$@"
}

private_apt() {
    run_private_apt apt-get "$@"
}

private_apt_cache() {
    run_private_apt apt-cache "$@"
}

# Print "URI suite component codename", one a line.
debian_archives() {
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT) $(CODENAME)' \
        'Identifier: Packages' | sed -n 's/^Debian \(https\?:.*\)/\1/p'
}

# The folder of a version of QEMU's package: its source, or all of QEMU.
qemu_folder() {
    printf '%s\n' "$cache/qemu/${1//[:~]/_}"
}

# Print what was chosen of the backports, if it is complete: the kernel's release, QEMU's version.
backports_kernel() {
    local release

    release=$(cat "$cache/kernel/current-6.12" 2>/dev/null || true)
    if [ -n "$release" ] && [ -e "$cache/kernel/$release/complete" ]; then
        printf '%s\n' "$release"
    fi
}

backports_qemu() {
    local version

    version=$(cat "$cache/qemu/current-10.0" 2>/dev/null || true)
    if [ -n "$version" ] && [ -e "$(qemu_folder "$version")/complete" ]; then
        printf '%s\n' "$version"
    fi
}
