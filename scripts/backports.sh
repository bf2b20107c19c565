#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# backports.sh kernel|qemu
#
# Download from Debian's backports the kernel 6.12 with its headers, or QEMU 10.0 with its source.
# All is unpacked into the cache, nothing is installed.  Called by deps.sh, which holds the lock.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

lists=$cache/apt-backports

# The system's archives serve the backports as well.
write_sources() {
    private_apt_folders "$lists"
    debian_archives |
        awk '$4 !~ /-/ { print "deb", $1, $4 "-backports", $3; print "deb-src", $1, $4 "-backports", $3 }' |
        sort -u >"$lists/sources.list"
    [ -s "$lists/sources.list" ] || die "apt has no http or https archive of Debian" \
        "add one to /etc/apt/sources.list, then run apt-get update"
}

# Without Error-Mode, lists that cannot be fetched are only a warning.
refreshed=no
refresh() {
    refreshed=yes
    run_logged backports-lists private_apt "$lists" -o APT::Update::Error-Mode=any update ||
        die "cannot reach Debian's backports" \
            "check the network; see build/logs/backports-lists.log"
}

# field PACKAGE FIELD: print nothing if the lists do not have it
field() {
    { private_apt_cache "$lists" show --no-all-versions "$1" 2>/dev/null || true; } |
        sed -n "s/^$2: //p" | head -n 1
}

# dependency PACKAGE EXPRESSION: print the first dependency that matches
dependency() {
    field "$1" Depends | tr ',|' '\n\n' | sed -n "s/^ *\($2\)\( .*\)\?\$/\1/p" | head -n 1
}

megabytes() {
    local pkg sum=0

    for pkg in "$@"; do
        sum=$((sum + $(field "${pkg%%=*}" Size)))
    done
    echo $((sum / 1000000 + 1))
}

# obtain NAME WHAT RESOLVE: download into the current folder the packages that the function RESOLVE
# prints as "name=version" (none if the lists lack one)
obtain() {
    local name=$1 what=$2 resolve=$3

    write_sources
    mapfile -t packages < <("$resolve")
    if [ ${#packages[@]} -eq 0 ]; then
        refresh
        mapfile -t packages < <("$resolve")
        [ ${#packages[@]} -gt 0 ] || die "Debian's backports do not have $what" \
            "its tests cannot be run"
    fi
    say "Downloading $what from Debian's backports, ${packages[0]#*=}: $(megabytes "${packages[@]}") MB (unpacked into $cache, not installed)"
    if run_logged "$name" private_apt "$lists" download "${packages[@]}"; then
        return 0
    fi
    # Outdated lists name files that the archive no longer has.
    if [ "$refreshed" = no ]; then
        refresh
        mapfile -t packages < <("$resolve")
        rm -f ./*.deb
        if [ ${#packages[@]} -gt 0 ] && run_logged "$name" private_apt "$lists" download "${packages[@]}"; then
            return 0
        fi
    fi
    die "cannot download $what from Debian's backports" "see build/logs/$name.log"
}

unpack() {
    local deb

    for deb in ./*.deb; do
        dpkg-deb -x "$deb" "$1"
        rm -f "$deb"
    done
}

# Work in a temporary folder; keep() makes it the result.
enter_scratch() {
    mkdir -p "$1"
    scratch=$(mktemp -d "$1/tmp.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    chmod 755 "$scratch"
    cd "$scratch"
}

# keep FOLDER: move the result into place; last, so that it is complete or absent
keep() {
    touch complete
    rm -rf "$1"
    mv -T "$scratch" "$1"
}

# -- kernel --------------------------------------------------------------------

resolve_kernel() {
    local image version headers common kbuild

    image=$(dependency linux-image-amd64 'linux-image-6\.12\.[^ ]*-amd64')
    [ -n "$image" ] || return 0
    version=$(field "$image" Version)
    headers=linux-headers-${image#linux-image-}
    common=$(dependency "$headers" 'linux-headers-[^ ]*-common')
    kbuild=$(dependency "$headers" 'linux-kbuild-[^ ]*')
    if [ -n "$version" ] && [ -n "$common" ] && [ -n "$kbuild" ]; then
        printf '%s\n' "$image=$version" "$headers=$version" "$common=$version" "$kbuild=$version"
    fi
}

get_kernel() {
    local release

    [ -z "$(backports_kernel)" ] || return 0
    enter_scratch "$cache/kernel"
    obtain backports-kernel "the kernel 6.12" resolve_kernel
    release=${packages[0]%%=*}
    release=${release#linux-image-}
    run_logged backports-kernel-unpack unpack .
    # It includes the common headers by their installed path; kbuild's folders are relative links.
    sed -i "s|^include /usr/src/|include $cache/kernel/$release/usr/src/|" \
        "usr/src/linux-headers-$release/Makefile"
    run_logged backports-kernel-depmod "$(command -v depmod || echo /sbin/depmod)" -b . "$release"
    keep "$cache/kernel/$release"
    printf '%s\n' "$release" >"$cache/kernel/current-6.12"
}

# -- QEMU ----------------------------------------------------------------------

resolve_qemu() {
    local pkg version found=()

    for pkg in qemu-system-x86 qemu-system-common qemu-system-data seabios; do
        version=$(field "$pkg" Version)
        [ -n "$version" ] || return 0
        found+=("$pkg=$version")
    done
    if [[ ${found[0]} == *=1:10.0.* ]]; then
        printf '%s\n' "${found[@]}"
    fi
}

# Of a source package that has been superseded, the archive keeps the upstream part at most.  The
# structures that the device uses are the same in it; the build compares QEMU's own version.
get_qemu_source() {
    local version=$1

    if run_logged backports-qemu-source private_apt "$lists" -d source "qemu=$version" 2>/dev/null; then
        run_logged backports-qemu-unpack dpkg-source --no-check -x qemu_*.dsc source
    elif run_logged backports-qemu-source private_apt "$lists" --tar-only -d source "qemu=$version"; then
        say "The archive only has the upstream source of QEMU $version: using it without Debian's changes"
        mkdir source
        run_logged backports-qemu-unpack tar -x --strip-components=1 -C source -f qemu_*.orig.tar.xz
    else
        die "the archive has no source of QEMU $version" "see build/logs/backports-qemu-source.log"
    fi
    rm -f qemu_*
}

get_qemu() {
    local version lacking

    [ -z "$(backports_qemu)" ] || return 0
    enter_scratch "$cache/qemu"
    obtain backports-qemu "QEMU 10.0" resolve_qemu
    version=${packages[0]#*=}
    run_logged backports-qemu-unpack unpack root
    # The release's QEMU depends on the same libraries.
    lacking=$(ldd root/usr/bin/qemu-system-x86_64 | sed -n 's/^\s*\(.*\) => not found.*/\1/p' | paste -sd ' ')
    [ -z "$lacking" ] || die "QEMU $version needs libraries that are missing: $lacking" "install their packages"
    get_qemu_source "$version"
    keep "$(qemu_folder "$version")"
    printf '%s\n' "$version" >"$cache/qemu/current-10.0"
}

case ${1-} in
    kernel) get_kernel ;;
    qemu) get_qemu ;;
    *) die "usage: backports.sh kernel|qemu" ;;
esac
