#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# install.sh install|uninstall|install-guest|uninstall-guest: called by make, which sets VERSION and
# the folders (install.mk).  Nothing is built here, so root builds nothing.
#
# LIBDIR/virtio-ddebug/manifest lists what was installed on the host, one a line without DESTDIR: "d"
# and a folder that was created, "f" and a file.  Uninstalling, or installing another version, removes
# exactly that.
set -euo pipefail
shopt -s inherit_errexit
. "$(dirname "$0")/lib.sh"
build=$BUILD

build_first="run make build first, as the user who shall own build/"

# Print "MODE SOURCE TARGET", one a line, separated by tabs.
add() {
    local mode=$1 target=$2 file
    shift 2
    for file; do
        if [ ! -f "$file" ]; then
            die "${file#"$repo/"} not found" "$build_first"
        fi
        case $target in
        */) printf '%s\t%s\t%s\n' "$mode" "$file" "$target${file##*/}" ;;
        *) printf '%s\t%s\t%s\n' "$mode" "$file" "$target" ;;
        esac
    done
}

list_files() {
    cd "$repo"
    add 755 "$BINDIR/" "$build/host-tool/ddebug-host"
    add 644 "$pkglib/" "$build/qemu-device/virtio-ddebug.so" "$build"/qemu-device/virtio-ddebug-*.so
    add 644 "$MANDIR/man1/" host-tool/ddebug-host.1
    add 644 "$MANDIR/man4/" guest-driver/ddebug-rb.4
    add 644 "$MANDIR/man7/" qemu-device/virtio-ddebug.7
    add 644 "$apparmor/abstractions/virtio-ddebug" qemu-device/virtio-ddebug.apparmor
    add 644 "$COMPLETIONDIR/ddebug-host" host-tool/ddebug-host.bash-completion
    add 644 "$INCLUDEDIR/virtio-ddebug/" include/*.h
    # in the repository's layout: they link to each other
    add 644 "$DOCDIR/" README.md CONTRIBUTING.md CHANGELOG.md COPYING
    add 644 "$DOCDIR/docs/" docs/*.md docs/*.json docs/*.svg
    add 644 "$DOCDIR/docs/spec/" docs/spec/*.md
    add 644 "$DOCDIR/docs/licenses/" docs/licenses/*.txt

    add 644 "$source_tree/" guest-driver/Kbuild guest-driver/*.[ch] COPYING
    add 644 "$source_tree/dkms.conf" guest-driver/dkms.conf.in
    add 644 "$source_tree/include/" include/*.h
    add 644 "$source_tree/docs/licenses/" docs/licenses/*.txt
}

# Print the missing folders above a file, outermost first.
list_missing_folders() {
    local folder=$1

    [ ! -d "$DESTDIR$folder" ] || return 0
    list_missing_folders "$(dirname "$folder")"
    printf '%s\n' "$folder"
}

make_folders() {
    local mode file target folder

    while IFS=$'\t' read -r mode file target; do
        while IFS= read -r folder; do
            [ -n "$folder" ] || continue
            mkdir -m 755 "$DESTDIR$folder" || die "cannot create $DESTDIR$folder" \
                "become root, or give a PREFIX or DESTDIR that you can write to"
            printf 'd %s\n' "$folder"
        done <<<"$(list_missing_folders "$(dirname "$target")")"
    done
}

# install(1) replaces files and never writes into them: a QEMU that runs keeps
# the object that it has mapped.
put() {
    local mode=$1 file=$2 target=$3 text

    case $target in
    */dkms.conf | *.[147])
        text=$(cat "$file")
        text=${text//@VERSION@/"$VERSION"}
        # the pages name the folders by their defaults, hyphens escaped
        text=${text//\/usr\/local\/lib\//"${LIBDIR//-/\\-}/"}
        text=${text//\/usr\/local\/src\//"${SRCDIR//-/\\-}/"}
        install -m "$mode" /dev/null "$DESTDIR$target"
        printf '%s\n' "$text" >"$DESTDIR$target"
        ;;
    "$apparmor"/*)
        text=$(cat "$file")
        install -m "$mode" /dev/null "$DESTDIR$target"
        printf '%s\n' "${text//\/usr\/local\/lib\//"$LIBDIR/"}" >"$DESTDIR$target"
        ;;
    *)
        install -m "$mode" "$file" "$DESTDIR$target"
        ;;
    esac
}

listed() {
    sed -n "s/^$1 //p" "$DESTDIR$manifest" 2>/dev/null || true
}

# Remove what an older version installed and this one does not; $1 lists this one's files.
remove_stale() {
    local target

    while IFS= read -r target; do
        if [ "$target" != "$manifest" ] && ! cut -f 3 <<<"$1" | grep -Fxq -- "$target"; then
            rm -f -- "$DESTDIR$target"
        fi
    done < <(listed f)
    remove_empty_folders "$(listed d)"
}

# Remove the given folders, listed outermost first; others' files in them keep them.
remove_empty_folders() {
    local folder

    while IFS= read -r folder; do
        [ -z "$folder" ] || rmdir -- "$DESTDIR$folder" 2>/dev/null || true
    done < <(tac <<<"$1")
}

# The file with a site's additions to libvirt's profiles belongs to the machine, so it is left alone
# with DESTDIR.  The line has no effect while the file it includes is missing.
rules='include if exists <abstractions/virtio-ddebug>'

add_rules() {
    local site=$apparmor/local/abstractions/libvirt-qemu

    if [ -z "$DESTDIR" ] && [ -f "$site" ] && ! grep -Fxq -- "$rules" "$site"; then
        printf '%s\n' "$rules" >>"$site"
        say "Added to $site: $rules"
    fi
}

remove_rules() {
    local site=$apparmor/local/abstractions/libvirt-qemu

    if [ -z "$DESTDIR" ] && [ -f "$site" ]; then
        sed -i "\\|^$rules\$|d" "$site"
    fi
}

do_install() {
    local files before folder folders mode file target

    # first, as it fails if something is not built
    files=$(list_files)
    [ -z "$DESTDIR" ] || mkdir -p "$DESTDIR"
    remove_stale "$files"
    before=$(listed d | while IFS= read -r folder; do
        [ ! -d "$DESTDIR$folder" ] || printf 'd %s\n' "$folder"
    done)
    folders=$(make_folders <<<"$files")
    # written before the files, so that an interrupted install can be undone
    {
        printf '%s\n' "$before" "$folders" | sed '/^$/d'
        cut -f 3 <<<"$files" | sed 's/^/f /'
    } >"$DESTDIR$manifest.new"
    chmod 644 "$DESTDIR$manifest.new"
    mv "$DESTDIR$manifest.new" "$DESTDIR$manifest"
    while IFS=$'\t' read -r mode file target; do
        put "$mode" "$file" "$target"
    done <<<"$files"
    add_rules
    say "Installed $(wc -l <<<"$files") files, listed in $DESTDIR$manifest"
}

do_uninstall() {
    local count=0 folders target

    [ -f "$DESTDIR$manifest" ] || die "nothing is installed: $DESTDIR$manifest not found" \
        "use the PREFIX, DESTDIR and folders of make install"
    while IFS= read -r target; do
        rm -f -- "$DESTDIR$target"
        count=$((count + 1))
    done < <(listed f)
    remove_rules
    # read first: the manifest's folder is among them
    folders=$(listed d)
    rm -f -- "$DESTDIR$manifest"
    remove_empty_folders "$folders"
    say "Removed $count files"
}

# -- the guest's modules ------------------------------------------------------

guest_modules=(ddebug_rb virtio_ddebug)

# Update the dependencies and device aliases that modprobe and udev use.
run_depmod() {
    "$(command -v depmod || echo /sbin/depmod)" ${DESTDIR:+-b "$DESTDIR"} "$KERNEL_RELEASE"
}

# Use the kernel's own makefile, which signs and compresses as that kernel wants it, on a folder
# without the modules for tests.
do_install_guest() {
    local built=$build/guest-driver/$KERNEL module folder log key sign=()

    for module in "${guest_modules[@]}"; do
        [ -f "$built/$module.ko" ] || die "${built#"$repo/"}/$module.ko not found" "$build_first"
    done
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    for module in "${guest_modules[@]}"; do
        ln -s "$built/$module.ko" "$scratch/"
        # .ko until 6.1, then .o
        sed -n "s|^$built/\($module\.k\?o\)$|$scratch/\1|p" "$built/modules.order"
    done >"$scratch/modules.order"
    # distributions do not publish their signing keys
    key=$(sed -n 's/^CONFIG_MODULE_SIG_KEY="\(.*\)"$/\1/p' "$KDIR/.config" 2>/dev/null || true)
    case $key in
    pkcs11:* | /*) ;;
    *) [ -e "$KDIR/$key" ] && [ -n "$key" ] || sign=(CONFIG_MODULE_SIG_ALL=) ;;
    esac
    log=$scratch/log
    make -s -C "$KDIR" M="$scratch" INSTALL_MOD_PATH="$DESTDIR" INSTALL_MOD_DIR=updates \
        INSTALL_MOD_STRIP="$INSTALL_MOD_STRIP" "${sign[@]}" modules_install >"$log" 2>&1 || {
        cat "$log" >&2
        die "cannot install the modules" "become root, or give a DESTDIR that you can write to"
    }
    # the headers package has no System.map; depmod is run below
    grep -v "missing 'System.map'" "$log" || true
    folder=$DESTDIR/lib/modules/$KERNEL_RELEASE
    say "Installed ${guest_modules[*]} in $folder/updates"
    if [ -e "$folder/modules.order" ]; then
        run_depmod
    else
        say "No kernel in $folder: run depmod $KERNEL_RELEASE on the system that has it"
    fi
}

do_uninstall_guest() {
    local folder=$DESTDIR/lib/modules/$KERNEL_RELEASE module

    for module in "${guest_modules[@]}"; do
        rm -f "$folder/updates/$module".ko*
    done
    if [ -e "$folder/modules.order" ]; then
        run_depmod
    fi
    [ ! -d "$folder/updates" ] ||
        (cd "$DESTDIR/" && rmdir -p --ignore-fail-on-non-empty "lib/modules/$KERNEL_RELEASE/updates")
}

check_folders() {
    local name

    for name in BINDIR LIBDIR INCLUDEDIR MANDIR DOCDIR COMPLETIONDIR SRCDIR SYSCONFDIR; do
        case ${!name} in
        /*) ;;
        *) die "$name=${!name} is not an absolute path" "example: PREFIX=/usr/local" ;;
        esac
    done
    pkglib=$LIBDIR/virtio-ddebug
    manifest=$pkglib/manifest
    apparmor=$SYSCONFDIR/apparmor.d
    source_tree=$SRCDIR/virtio-ddebug-$VERSION
}

case ${1-} in
install | uninstall)
    check_folders
    "do_$1"
    ;;
install-guest | uninstall-guest)
    [ -n "$KERNEL_RELEASE" ] || die "nothing is built for KERNEL=$KERNEL" "$build_first" \
        "or choose another KERNEL, see make help"
    "do_${1/-/_}"
    ;;
*)
    die "usage: install.sh install|uninstall|install-guest|uninstall-guest"
    ;;
esac
