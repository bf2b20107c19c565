#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# apply.sh [--link] TREE
# apply.sh --relink TREE
#
# Puts the device into TREE, the unpacked source of QEMU 7.2: its sources and
# the files beside this script as new ones, patches/ on those that are there.
# It stops at the first thing that is not as expected, and then TREE is left
# half done: use a copy.
#
# --link    symbolic links to the files instead of copies, so that building in
#           TREE sees what is changed in them
# --relink  only the links of the device's folder are made anew, after files
#           were added or removed; the patches are in TREE already
set -euo pipefail

overlay=$(cd "$(dirname "$0")" && pwd -P)
device=$(dirname "$overlay")
contracts=$(dirname "$device")/include

# All of qemu-device/ is the device, but for what makes it loadable.
is_device() {
    case $1 in
        ddebug-loader.c | ddebug-object.c) return 1 ;;
        *.c | *.h | trace-events) return 0 ;;
    esac
    return 1
}

die() {
    printf 'apply.sh: error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
    exit 1
}

# put FILE NEW: FILE as a new file of the tree
put() {
    local new=$tree/$2

    if [ -e "$new" ] || [ -L "$new" ]; then
        die "'$new' is there already" "take a fresh copy of QEMU's source"
    fi
    mkdir -p "$(dirname "$new")"
    if [ "$link" = yes ]; then
        ln -s "$1" "$new"
    else
        cp "$1" "$new"
    fi
}

put_sources() {
    local file

    if [ "$again" = yes ]; then
        rm -rf "$tree/hw/virtio/ddebug"
    fi
    for file in "$device"/* "$contracts"/*; do
        if is_device "${file##*/}"; then
            put "$file" "hw/virtio/ddebug/${file##*/}"
        fi
    done
}

# put_files FOLDER: what is in it, below files/
put_files() {
    local file

    while IFS= read -r file; do
        put "$overlay/files/$file" "$file"
    done < <(cd "$overlay/files" && find "$1" -type f | sort)
}

# No fuzz: a patch that fits only nearly may end up in the wrong place.
apply_patches() {
    local file out

    for file in "$overlay"/patches/*.patch; do
        out=$(patch -d "$tree" -p1 --fuzz=0 --forward --batch --no-backup-if-mismatch \
            --reject-file=- <"$file" 2>&1) ||
            die "${file##*/} does not fit QEMU $version:" "$out" \
                "it is made for QEMU 7.2; make the patch anew for this one"
    done
}

link=no
again=no
case ${1-} in
    --link)
        link=yes
        shift
        ;;
    --relink)
        link=yes
        again=yes
        shift
        ;;
esac
[ $# -eq 1 ] || die "one tree is wanted" "usage: apply.sh [--link | --relink] TREE"
[ -f "$1/VERSION" ] && [ -d "$1/hw/virtio" ] || die "'$1' is not the source of QEMU"
tree=$(cd "$1" && pwd -P)
version=$(cat "$tree/VERSION")
case $version in
    7.2.*) ;;
    *) die "'$1' is QEMU $version, the patches are made for 7.2" ;;
esac
put_sources
put_files hw/virtio/ddebug
if [ "$again" = no ]; then
    put_files docs
    apply_patches
fi
