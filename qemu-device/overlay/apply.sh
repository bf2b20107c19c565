#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# apply.sh [--link] TREE
# apply.sh --relink TREE
#
# Puts the device into TREE, the unpacked source of QEMU 7.2: its sources and
# the files beside this script as new ones, patches/ on those that are there.
# All is looked at before anything is changed: a TREE that is refused is left as
# it was.
#
# --link    symbolic links to the files instead of copies, so that building in
#           TREE sees what is changed in them
# --relink  only the links of the device's folder are made anew, after files
#           were added or removed; for a TREE that --link was used on
set -euo pipefail

overlay=$(cd "$(dirname "$0")" && pwd -P)
device=$(dirname "$overlay")
log=$(dirname "$device")/log
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

# add FILE NEW: FILE is to be a new file of the tree
add() {
    files+=("$1")
    news+=("$tree/$2")
}

add_sources() {
    local file

    for file in "$device"/* "$log"/* "$contracts"/*; do
        if is_device "${file##*/}"; then
            add "$file" "hw/virtio/ddebug/${file##*/}"
        fi
    done
    add_files hw/virtio/ddebug
}

# add_files FOLDER: what is in it, below files/
add_files() {
    local file

    while IFS= read -r file; do
        add "$overlay/files/$file" "$file"
    done < <(cd "$overlay/files" && find "$1" -type f | sort)
}

# Nothing is written over, but for links that are made anew.
check_new() {
    local new

    for new in "${news[@]}"; do
        if [ "$what" = relink ] && [ -L "$new" ]; then
            continue
        fi
        if [ -e "$new" ] || [ -L "$new" ]; then
            die "'$new' is there already" "take a fresh copy of QEMU's source"
        fi
    done
}

put_new() {
    local i

    for i in "${!files[@]}"; do
        mkdir -p "$(dirname "${news[i]}")"
        if [ "$link" = yes ]; then
            ln -s "${files[i]}" "${news[i]}"
        else
            cp "${files[i]}" "${news[i]}"
        fi
    done
}

# patch_all [--dry-run]: each fits by itself, so that they can be tried one by one.
# No fuzz: a patch that fits only nearly may end up in the wrong place.
patch_all() {
    local file out

    for file in "$overlay"/patches/*.patch; do
        out=$(patch -d "$tree" -p1 --fuzz=0 --forward --batch --no-backup-if-mismatch \
            --reject-file=- "$@" <"$file" 2>&1) ||
            die "${file##*/} does not fit QEMU $version in '$tree':" "$out" \
                "it is made for QEMU 7.2; make the patch anew for this one"
    done
}

# The page is the last thing that is put, so its link says that all the rest is
# there and is linked.
page=docs/system/devices/virtio-ddebug.rst

apply() {
    add_sources
    add_files "$(dirname "$page")"
    check_new
    patch_all --dry-run
    patch_all
    put_new
}

relink() {
    [ -L "$tree/$page" ] || die "'$tree' has no links to make anew" \
        "put the device into a fresh copy of QEMU's source: apply.sh --link TREE"
    add_sources
    check_new
    mkdir -p "$tree/hw/virtio/ddebug"
    find "$tree/hw/virtio/ddebug" -type l -delete
    put_new
}

link=no
what=apply
case ${1-} in
    --link)
        link=yes
        shift
        ;;
    --relink)
        link=yes
        what=relink
        shift
        ;;
esac
[ $# -eq 1 ] || die "one tree is wanted, not $#" "usage: apply.sh [--link | --relink] TREE"
[ -f "$1/VERSION" ] && [ -d "$1/hw/virtio" ] || die "'$1' is not the source of QEMU"
tree=$(cd "$1" && pwd -P)
version=$(cat "$tree/VERSION")
case $version in
    7.2.*) ;;
    *) die "'$1' is QEMU $version, the patches are made for 7.2" ;;
esac
files=()
news=()
"$what"
