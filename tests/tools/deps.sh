#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Installs what building and testing need and the machine lacks, gets the
# guest's kernel and QEMU's source into the cache, and writes what was chosen
# to build/config.mk and build/config.json.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# package: what it is for
packages='
build-essential: compiler and make
pkg-config: finds the libraries
libglib2.0-dev: library of the tool and of QEMU
libpixman-1-dev: headers that the QEMU device object needs
libfdt-dev: headers that the QEMU device object needs
meson: configures the QEMU headers
ninja-build: generates the QEMU headers
libisal-dev: checksums of the log file
dpkg-dev: unpacks the source of the QEMU package
xz-utils: unpacks packages
ca-certificates: downloads
python3-venv: the environment of the guest tests (Avocado)
qemu-system-x86: runs the guests
busybox-static: user space of the guests
cpio: packs the image of the guests
kmod: finds out which modules need which
e2fsprogs: makes file systems for the guests
squashfs-tools: makes file systems for the guests
man-db: checks of the manual pages
mandoc: checks of the manual pages
strace: shows in tests which system calls the tool makes
'

check_host() {
    [ "$(uname -m)" = x86_64 ] || die "this machine is $(uname -m)" "only x86_64 is supported"
    command -v apt-get >/dev/null || die "there is no apt-get" "use Debian 12"
    if ! grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release; then
        say "Note: this is not Debian 12 (bookworm), for which all this is made"
    fi
}

# The guest's kernel is the one that linux-image-amd64 stands for.  Once chosen
# it stays, as long as its headers are installed: a new one means new downloads.
kernel_file() {
    printf '%s\n' "$cache/kernel/current"
}

kernel_usable() {
    local release=$1

    [ -n "$release" ] && [ -e "$cache/kernel/$release/complete" ] &&
        [ -d "/usr/src/linux-headers-$release" ]
}

# Prints nothing if apt does not know, which it may after an update of its lists.
resolve_kernel() {
    { apt-cache show --no-all-versions linux-image-amd64 2>/dev/null || true; } |
        sed -n 's/^Depends:.*\blinux-image-\([0-9][^ ,]*-amd64\)\b.*/\1/p' | head -n 1
}

choose_kernel() {
    kernel=$(cat "$(kernel_file)" 2>/dev/null || true)
    if kernel_usable "$kernel"; then
        return
    fi
    kernel=$(resolve_kernel)
    if [ -z "$kernel" ]; then
        apt_update_once
        kernel=$(resolve_kernel)
    fi
    [ -n "$kernel" ] || die "apt knows no package linux-image-amd64" \
        "is Debian's main archive among the apt sources?"
}

list_missing() {
    local line pkg

    missing=()
    while IFS= read -r line; do
        pkg=${line%%:*}
        if [ -n "$pkg" ] && ! pkg_installed "$pkg"; then
            [ ${#missing[@]} -gt 0 ] || say "To be installed by apt-get:"
            printf '   %-28s %s\n' "$pkg" "${line#*: }"
            missing+=("$pkg")
        fi
    done <<<"$packages
linux-headers-$kernel: builds the guest's modules"
}

apt_install() {
    run_logged apt-install as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=300 install "${missing[@]}"
}

install_missing() {
    list_missing
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing ${#missing[@]} packages"
    # A list that is too old names files that the archive no longer has.
    if apt_install; then
        return 0
    fi
    apt_update_once || die "apt-get could not install the packages" "see build/logs/apt-install.log"
    choose_kernel
    list_missing
    apt_install || die "apt-get could not install the packages" "see build/logs/apt-install.log"
}

download_kernel() {
    local dir=$1

    (cd "$dir" && rm -f ./*.deb &&
        run_logged kernel-download apt-get -q download "linux-image-$kernel")
}

# Unpacked only, never installed: the machine's own kernel is left alone.
get_kernel() {
    local dir=$cache/kernel/$kernel tmp

    if ! [ -e "$dir/complete" ]; then
        say "Getting the guest's kernel $kernel (unpacked into the cache, not installed)"
        rm -rf "$dir"
        mkdir -p "$cache/kernel"
        tmp=$(mktemp -d "$cache/kernel/tmp.XXXXXX")
        if ! download_kernel "$tmp"; then
            apt_update_once && download_kernel "$tmp" ||
                die "cannot download linux-image-$kernel" "see build/logs/kernel-download.log"
        fi
        run_logged kernel-unpack dpkg-deb -x "$tmp"/linux-image-*.deb "$tmp"
        rm -f "$tmp"/*.deb
        run_logged kernel-depmod "$(command -v depmod || echo /sbin/depmod)" -b "$tmp" "$kernel"
        touch "$tmp/complete"
        mv -T "$tmp" "$dir"
    fi
    printf '%s\n' "$kernel" >"$(kernel_file)"
}

# An apt of our own, since a system rarely has deb-src lines: the archives are
# those of the system, lists and state lie in the cache.
private_apt() {
    local dir=$cache/apt

    apt-get -q -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$dir/lists" -o Dir::Cache="$dir/cache" \
        -o Dir::State="$dir/state" -o Dir::State::status=/var/lib/dpkg/status \
        -o APT::Sandbox::User="$(id -un)" "$@"
}

private_apt_sources() {
    local dir=$cache/apt

    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/state"
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
        awk '$1 == "Debian" && $2 ~ /^https?:/ { print "deb-src", $2, $3, $4 }' |
        sort -u >"$dir/sources.list"
    [ -s "$dir/sources.list" ] || die "apt knows no archive of Debian over http or https" \
        "name one in /etc/apt/sources.list, then apt-get update"
}

download_qemu() {
    (cd "$1" && run_logged qemu-download private_apt -d source "qemu=$2")
}

# The source must be that of the very package that is installed.
choose_qemu() {
    qemu_package=$(dpkg-query -W -f '${Version}' qemu-system-x86)
    qemu_version=$(dpkg-query -W -f '${source:Version}' qemu-system-x86)
    qemu_dir=$cache/qemu/${qemu_version//[:~]/_}
}

get_qemu_source() {
    local tmp

    if [ -e "$qemu_dir/complete" ]; then
        return
    fi
    say "Getting the source of QEMU's package, version $qemu_version"
    rm -rf "$qemu_dir"
    mkdir -p "$cache/qemu"
    tmp=$(mktemp -d "$cache/qemu/tmp.XXXXXX")
    private_apt_sources
    run_logged qemu-lists private_apt update
    download_qemu "$tmp" "$qemu_version" || die "the archive has no source of qemu $qemu_version" \
        "bring the package qemu-system-x86 up to date: apt-get update && apt-get install qemu-system-x86"
    run_logged qemu-unpack dpkg-source --no-check -x "$tmp"/qemu_*.dsc "$tmp/source"
    rm -f "$tmp"/qemu_*
    touch "$tmp/complete"
    mv -T "$tmp" "$qemu_dir"
}

# Both mostly wait for the network and the disk.
get_both() {
    local kernel_job qemu_job rc=0

    (get_kernel) &
    kernel_job=$!
    (get_qemu_source) &
    qemu_job=$!
    wait "$qemu_job" || rc=$?
    wait "$kernel_job" || rc=$?
    return "$rc"
}

write_config() {
    local kdir=$cache/kernel/$kernel

    mkdir -p "$build"
    cat >"$build/config.mk.new" <<END
KERNEL_RELEASE := $kernel
KERNEL_IMAGE := $kdir/boot/vmlinuz-$kernel
KERNEL_ROOT := $kdir
KDIR := /usr/src/linux-headers-$kernel
QEMU_BINARY := /usr/bin/qemu-system-x86_64
QEMU_PACKAGE := $qemu_package
QEMU_SRC := $qemu_dir/source
CACHE := $cache
END
    cmp -s "$build/config.mk.new" "$build/config.mk" || cp "$build/config.mk.new" "$build/config.mk"
    rm -f "$build/config.mk.new"
    cat >"$build/config.json" <<END
{
  "kernel_release": "$kernel",
  "kernel_image": "$kdir/boot/vmlinuz-$kernel",
  "qemu": "/usr/bin/qemu-system-x86_64",
  "qemu_package": "$qemu_package",
  "build": "$build"
}
END
}

check_host
# Two at once would unpack to the same place.
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
choose_kernel
install_missing
choose_qemu
# A function in a condition would go on after an error in it, so not "get_both ||".
get_both
write_config
say "All there: kernel $kernel, QEMU $qemu_package"
