#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kernel.sh NAME...
#
# Build kernels that detect faults themselves from the source of Debian's kernel: for each NAME, with
# common.config and NAME.config.  They are kept in the cache, by version and configuration, with what
# modules are built against; nothing is installed on the machine.  List them in build/debug-kernel.mk
# and build/debug-kernel.json.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"

here=$repo/tests/debug-kernel
top=$cache/debug-kernel
package=linux-source-6.1

resolve_source() {
    apt-cache policy "$package" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9].*\)/\1/p'
}

# Once chosen, a version is used from then on: a new one means an hour of building.
choose_source() {
    version=$(cat "$top/current" 2>/dev/null || true)
    if [ -n "$version" ] && [ -e "$(source_folder)/complete" ]; then
        return
    fi
    version=$(resolve_source)
    if [ -z "$version" ]; then
        apt_update_once
        version=$(resolve_source)
    fi
    [ -n "$version" ] || die "apt has no package $package" \
        "check that Debian's main archive is among the apt sources"
}

source_folder() {
    printf '%s\n' "$top/source-${version//[:~]/_}"
}

download_source() {
    (cd "$1" && run_logged debug-kernel-download apt-get -q download "$package")
}

unpack_source() {
    dpkg-deb --fsys-tarfile "$1"/*.deb | tar -xOf - "./usr/src/$package.tar.xz" |
        tar -xJf - -C "$1" --strip-components=1
}

get_source() {
    local dir tmp

    dir=$(source_folder)
    if ! [ -e "$dir/complete" ]; then
        say "Downloading the source of Debian's kernel $version (unpacked into $cache)"
        rm -rf "$dir"
        tmp=$(mktemp -d "$top/tmp.XXXXXX")
        if ! download_source "$tmp"; then
            apt_update_once && download_source "$tmp" ||
                die "cannot download $package" "see build/logs/debug-kernel-download.log"
        fi
        run_logged debug-kernel-unpack unpack_source "$tmp"
        rm -f "$tmp"/*.deb
        touch "$tmp/complete"
        mv -T "$tmp" "$dir"
    fi
    printf '%s\n' "$version" >"$top/current"
}

# Print the wanted options, one a line.
wanted() {
    grep -hv -e '^#' -e '^$' "$here/common.config" "$here/$1.config"
}

# Kernels that differ in anything have different folders.
kernel_folder() {
    local key

    key=$(wanted "$1" | sha256sum | cut -c 1-12)
    printf '%s\n' "$top/$1-${version//[:~]/_}-$key"
}

kmake() {
    nice -n 19 make -s -C "$(source_folder)" O="$1" \
        KBUILD_BUILD_USER=virtio-ddebug KBUILD_BUILD_HOST=localhost LOCALVERSION="-$2" -j"$(nproc)" "${@:3}"
}

# The dependencies of an option may change from one kernel to the next: it is then dropped silently,
# and a fault would not be found.
check_config() {
    local tree=$1 line lost=()

    while read -r line; do
        grep -qxF "$line" "$tree/.config" || lost+=("$line")
    done < <(wanted "$2")
    [ ${#lost[@]} -eq 0 ] || die "the configuration $2 of kernel $version lacks wanted options:" "${lost[@]}"
}

build_kernel() {
    local name=$1 dir=$2 release

    wanted "$name" >"$dir/wanted.config"
    run_logged "debug-kernel-$name-config" kmake "$dir" "$name" KCONFIG_ALLCONFIG="$dir/wanted.config" allnoconfig
    check_config "$dir" "$name"
    run_logged "debug-kernel-$name" kmake "$dir" "$name" bzImage modules
    release=$(cat "$dir/include/config/kernel.release")
    run_logged "debug-kernel-$name-modules" kmake "$dir" "$name" INSTALL_MOD_PATH="$dir/root" modules_install
    mkdir -p "$dir/root/boot"
    cp "$dir/arch/x86/boot/bzImage" "$dir/root/boot/vmlinuz-$release"
    # modules only need headers and tools of the rest
    find "$dir" \( -path "$dir/scripts" -o -path "$dir/tools" -o -path "$dir/root" \) -prune -o \
        \( -name '*.o' -o -name '*.a' -o -name '.*.cmd' -o -name vmlinux.bin \) -type f -exec rm -f {} +
}

# An interrupted build is resumed.
get_kernel() {
    local name=$1 dir

    dir=$(kernel_folder "$name")
    if ! [ -e "$dir/complete" ]; then
        say "Building the kernel $name from Debian's source $version (some minutes)"
        mkdir -p "$dir"
        build_kernel "$name" "$dir"
        touch "$dir/complete"
    fi
}

write_config() {
    local name dir release json=()

    mkdir -p "$build"
    for name in "$@"; do
        dir=$(kernel_folder "$name")
        release=$(cat "$dir/include/config/kernel.release")
        json+=("\"$name\": {\"release\": \"$release\", \"image\": \"$dir/root/boot/vmlinuz-$release\", \"root\": \"$dir/root\", \"kdir\": \"$dir\"}")
        cat <<END
KERNEL_RELEASE_$name := $release
KERNEL_ROOT_$name := $dir/root
KDIR_$name := $dir
GUEST_MODULES_$name := $here/modules.txt
END
    done >"$build/debug-kernel.mk"
    printf '{%s}\n' "$(IFS=,; echo "${json[*]}")" >"$build/debug-kernel.json"
}

[ $# -gt 0 ] || die "usage: kernel.sh NAME..."
for name in "$@"; do
    [ -e "$here/$name.config" ] || die "there is no configuration $name" "choose one of: $(cd "$here" && echo *.config)"
done
mkdir -p "$top"
# Two runs at once would build in the same place.
exec 9>"$top/lock"
flock 9
choose_source
get_source
for name in "$@"; do
    get_kernel "$name"
done
write_config "$@"
