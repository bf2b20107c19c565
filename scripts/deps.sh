#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# deps.sh [backports] [overlay]
#
# Install the packages that building and testing need, download the guest's kernel and QEMU's source
# into the cache, and write what was chosen to build/config.mk and build/config.json.
#
# backports  also get the kernel 6.12 and QEMU 10.0, unpacked into the cache
# overlay    also install what building QEMU itself needs
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# package: purpose
packages='
build-essential: compiler and make
pkg-config: finds the libraries
libglib2.0-dev: library used by the tool and by QEMU
libpixman-1-dev: headers for the device object
libfdt-dev: headers for the device object
meson: configures the QEMU headers
ninja-build: generates the QEMU headers
libjson-glib-dev: JSON output of the tool
libvirt-dev: headers for the libvirt support of the tool
libisal-dev: checksums of the log file
dpkg-dev: unpacks the source of the QEMU package
xz-utils: unpacks packages
zstd: unpacks kernels
ca-certificates: downloads over https
python3-venv: Python environment of the guest tests (Avocado)
qemu-system-x86: runs the guests
busybox-static: user space of the guests
cpio: packs the guest image
kmod: resolves module dependencies
e2fsprogs: makes file systems for the guests
squashfs-tools: makes file systems for the guests
man-db: checks the manual pages
mandoc: checks the manual pages
strace: traces system calls of the tool in tests
spin: checks the models of the memory barriers
libfuse3-dev: failing file system for tests
'

# Needed for "make qemu" only.
overlay_packages='
patch: adds the device to the QEMU source
libslirp-dev: user networking in our QEMU
libattr1-dev: shared folders (virtfs) in our QEMU
libcap-ng-dev: shared folders (virtfs) in our QEMU
libaio-dev: linux-aio in our QEMU
libseccomp-dev: -sandbox in our QEMU
'

check_host() {
    [ "$(uname -m)" = x86_64 ] || die "this machine is $(uname -m)" "only x86_64 is supported"
    command -v apt-get >/dev/null || die "apt-get not found" "use Debian 12"
    if ! grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release; then
        say "Note: this is not Debian 12 (bookworm), the only supported build host"
    fi
}

# The guest's kernel is the one that linux-image-amd64 depends on.  Once chosen, it is used as long as
# its headers are installed: a new one means new downloads.
kernel_file() {
    printf '%s\n' "$cache/kernel/current"
}

kernel_usable() {
    local release=$1

    [ -n "$release" ] && [ -e "$cache/kernel/$release/complete" ] &&
        [ -d "/usr/src/linux-headers-$release" ]
}

# Print nothing if apt does not know it; it may after updating its lists.
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
    [ -n "$kernel" ] || die "apt has no package linux-image-amd64" \
        "check that Debian's main archive is among the apt sources"
}

list_missing() {
    local line pkg

    missing=()
    while IFS= read -r line; do
        pkg=${line%%:*}
        if [ -n "$pkg" ] && ! pkg_installed "$pkg"; then
            [ ${#missing[@]} -gt 0 ] || say "Missing packages, to be installed with apt-get:"
            printf '   %-28s %s\n' "$pkg" "${line#*: }"
            missing+=("$pkg")
        fi
    done <<<"$packages
linux-headers-$kernel: for building the guest's modules"
}

install_missing() {
    list_missing
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing ${#missing[@]} packages"
    # Outdated lists name files that the archive no longer has.
    if apt_install apt-install "${missing[@]}"; then
        return 0
    fi
    apt_update_once || die "apt-get cannot install the packages" "see build/logs/apt-install.log"
    choose_kernel
    list_missing
    apt_install apt-install "${missing[@]}" || die "apt-get cannot install the packages" "see build/logs/apt-install.log"
}

download_kernel() {
    local dir=$1

    (cd "$dir" && rm -f ./*.deb &&
        run_logged kernel-download apt-get -q download "linux-image-$kernel")
}

# Unpack only, never install: the machine's own kernel is left alone.
get_kernel() {
    local dir=$cache/kernel/$kernel tmp

    if ! [ -e "$dir/complete" ]; then
        say "Downloading the guest's kernel $kernel (unpacked into $cache, not installed)"
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

private_apt_sources() {
    local dir=$cache/apt

    private_apt_folders "$dir"
    debian_archives | awk '{ print "deb-src", $1, $2, $3 }' | sort -u >"$dir/sources.list"
    [ -s "$dir/sources.list" ] || die "apt has no http or https archive of Debian" \
        "add one to /etc/apt/sources.list, then run apt-get update"
}

download_qemu() {
    (cd "$1" && run_logged qemu-download private_apt "$cache/apt" -d source "qemu=$2")
}

# The source must be that of exactly the installed package.
choose_qemu() {
    qemu_package=$(dpkg-query -W -f '${Version}' qemu-system-x86)
    qemu_version=$(dpkg-query -W -f '${source:Version}' qemu-system-x86)
    qemu_dir=$(qemu_folder "$qemu_version")
}

get_qemu_source() {
    local tmp

    if [ -e "$qemu_dir/complete" ]; then
        return
    fi
    say "Downloading the source of QEMU $qemu_version"
    rm -rf "$qemu_dir"
    mkdir -p "$cache/qemu"
    tmp=$(mktemp -d "$cache/qemu/tmp.XXXXXX")
    private_apt_sources
    run_logged qemu-lists private_apt "$cache/apt" update
    download_qemu "$tmp" "$qemu_version" || die "the archive has no source of qemu $qemu_version" \
        "upgrade qemu-system-x86: apt-get update && apt-get install qemu-system-x86"
    run_logged qemu-unpack dpkg-source --no-check -x "$tmp"/qemu_*.dsc "$tmp/source"
    rm -f "$tmp"/qemu_*
    touch "$tmp/complete"
    mv -T "$tmp" "$qemu_dir"
}

# get_backport WHAT: a failure is no error, as the rest builds and is tested without it; the reason is
# kept for the tests that need it.
get_backport() {
    local errors=$build/logs/backports-$1.err

    mkdir -p "$build/logs"
    if "$repo/scripts/backports.sh" "$1" 2>"$errors"; then
        rm -f "$errors"
    else
        cat "$errors" >&2
    fi
}

why_absent() {
    local reason

    reason=$(sed -n 's/^[^ ]*: error: //p' "$build/logs/backports-$1.err" 2>/dev/null | tail -n 1 | tr -d '"\\')
    printf '%s\n' "${reason:-not downloaded yet: run make deps}"
}

get_backports() {
    get_backport kernel
    get_backport qemu
}

# In parallel: they mostly wait for the network and the disk.
get_all() {
    local job jobs=() rc=0

    (get_kernel) &
    jobs+=($!)
    (get_qemu_source) &
    jobs+=($!)
    if [ "$want_backports" = yes ]; then
        (get_backports) &
        jobs+=($!)
    fi
    for job in "${jobs[@]}"; do
        wait "$job" || rc=$?
    done
    return "$rc"
}

# The variants, by the names that make and the tests use; the default comes first.
kernel_mk() {
    local name=$1 release=$2 kdir=$3

    cat <<END
KERNELS += $name
KERNEL_RELEASE_$name := $release
KERNEL_ROOT_$name := $cache/kernel/$release
KDIR_$name := $kdir
END
}

kernel_json() {
    local name=$1 release=$2 kdir=$3 root=$cache/kernel/$2

    cat <<END
    "$name": {"release": "$release", "image": "$root/boot/vmlinuz-$release", "root": "$root", "kdir": "$kdir"}
END
}

qemu_mk() {
    local name=$1 binary=$2 package=$3 source=$4

    cat <<END
LOADABLES += $name
QEMU_BINARY_$name := $binary
QEMU_PACKAGE_$name := $package
QEMU_SRC_$name := $source
END
}

# qemu_json NAME BINARY PACKAGE PLUGIN THREADS ARGS ENV: the last three as JSON
qemu_json() {
    cat <<END
    "$1": {"binary": "$2", "package": "$3", "plugin": $4, "threads": "$5", "args": $6, "env": $7}
END
}

write_config() {
    local plugin="\"$build/qemu-device/virtio-ddebug.so\"" kernels qemus absent=() root release package
    local mk=$build/config.mk

    kernel_names=("$kernel")
    qemu_names=("$qemu_package")
    mkdir -p "$build"
    {
        echo "CACHE := $cache"
        kernel_mk 6.1 "$kernel" "/usr/src/linux-headers-$kernel"
        qemu_mk loadable-7.2 /usr/bin/qemu-system-x86_64 "$qemu_package" "$qemu_dir/source"
    } >"$mk.new"
    kernels=$(kernel_json 6.1 "$kernel" "/usr/src/linux-headers-$kernel")
    # With thread=multi, 7.2's vCPUs may keep seeing a breakpoint that the guest has removed (fixed in
    # 8.1): a guest that patches its text can hang.
    qemus=$(qemu_json loadable-7.2 /usr/bin/qemu-system-x86_64 "$qemu_package" "$plugin" single '[]' '{}')
    qemus+=,$'\n'$(qemu_json overlay-7.2 "$build/qemu/qemu-system-x86_64" "$qemu_package" null single '[]' '{}')

    release=$(backports_kernel)
    if [ -n "$release" ]; then
        kernel_names+=("$release")
        root=$cache/kernel/$release
        kernel_mk 6.12 "$release" "$root/usr/src/linux-headers-$release" >>"$mk.new"
        kernels+=,$'\n'$(kernel_json 6.12 "$release" "$root/usr/src/linux-headers-$release")
    else
        absent+=("\"6.12\": \"$(why_absent kernel)\"")
    fi
    package=$(backports_qemu)
    if [ -n "$package" ]; then
        qemu_names+=("$package")
        root=$(qemu_folder "$package")/root/usr
        qemu_mk loadable-10.0 "$root/bin/qemu-system-x86_64" "$package" "${root%/root/usr}/source" >>"$mk.new"
        qemus+=,$'\n'$(qemu_json loadable-10.0 "$root/bin/qemu-system-x86_64" "$package" "$plugin" multi \
            "[\"-L\", \"$root/share/qemu\", \"-L\", \"$root/share/seabios\"]" \
            "{\"QEMU_MODULE_DIR\": \"$root/lib/x86_64-linux-gnu/qemu\"}")
    else
        absent+=("\"loadable-10.0\": \"$(why_absent qemu)\"")
    fi

    cmp -s "$mk.new" "$mk" || cp "$mk.new" "$mk"
    rm -f "$mk.new"
    cat >"$build/config.json" <<END
{
  "build": "$build",
  "kernels": {
$kernels
  },
  "qemus": {
$qemus
  },
  "absent": {$(IFS=,; echo "${absent[*]-}")}
}
END
}

want_backports=no
for arg in "$@"; do
    case $arg in
        backports) want_backports=yes ;;
        overlay) packages+=$overlay_packages ;;
        *) die "unknown argument $arg" "usage: deps.sh [backports] [overlay]" ;;
    esac
done
check_host
# Two runs at once would unpack to the same place.
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
choose_kernel
install_missing
choose_qemu
# Not "get_all ||": within a condition, set -e does not end a function on an error.
get_all
write_config
say "Using kernel ${kernel_names[*]}; QEMU ${qemu_names[*]}"
