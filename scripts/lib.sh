# SPDX-License-Identifier: GPL-2.0-or-later
# What the other scripts share: messages, the cache folder, apt.
# To be sourced by bash, with -euo pipefail set by the caller.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

# Where downloads, unpacked sources and the Python environment are kept.
# Continuous integration may run without HOME.
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

# run_logged NAME COMMAND...: the output goes to build/logs/NAME.log; every
# ten seconds a line says that it still runs; on failure the end of the log is
# shown.
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

# Lists are fetched at most once a run, and only when something was not found.
apt_updated=no
apt_update_once() {
    if [ "$apt_updated" = yes ]; then
        return 1
    fi
    apt_updated=yes
    say "Refreshing the package lists (apt-get update)"
    # One archive out of reach need not be the one that is needed.
    run_logged apt-update as_root apt-get -q -o DPkg::Lock::Timeout=300 update ||
        say "apt-get update had errors; going on with what it got"
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

# An apt of our own, for what the system's does not look at: the archives are
# those of the system, lists and state lie in the folder that is named first.
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

# "URI suite component codename" a line.
debian_archives() {
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT) $(CODENAME)' \
        'Identifier: Packages' | sed -n 's/^Debian \(https\?:.*\)/\1/p'
}

# Where the source of this version of QEMU's package lies, or the whole QEMU.
qemu_folder() {
    printf '%s\n' "$cache/qemu/${1//[:~]/_}"
}

# What was chosen of the backports, if it is there: the kernel's release, QEMU's version.
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
