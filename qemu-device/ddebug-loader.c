/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-ddebug.so, the plugin that users name: finds out which QEMU it is in
 * and opens the object that was built for exactly that one.
 *
 * It uses nothing of QEMU but a function whose interface has not changed since
 * QEMU 0.14, and that weakly, so that it can be loaded into any program and
 * say what is wrong.  The object itself could not: a symbol that is missing
 * ends in a message of the dynamic linker.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <dlfcn.h>
#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

#define OBJECT_PREFIX "virtio-ddebug-"
#define OBJECT_SUFFIX ".so"

/* The lowest version of the plugin interface: all have what is used here. */
EXPORT extern int qemu_plugin_version;
int qemu_plugin_version;

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc,
                               char **argv);

/* What QEMU's monitor answers to query-version. */
struct version_triple {
    int64_t major;
    int64_t minor;
    int64_t micro;
};

struct version_info {
    struct version_triple *qemu;
    char *package;
};

extern struct version_info *qmp_query_version(void *error)
    __attribute__((weak));

static void complain(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

static void complain(const char *fmt, ...)
{
    va_list ap;

    fputs("virtio-ddebug: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* What to do, whether it lies where it was built or was installed. */
static void complain_remedy(const char *dir)
{
    fprintf(stderr,
            "Remedy:        in the source tree of virtio-ddebug: make build, "
            "then, if it is\n"
            "               installed, make install.  For a QEMU that is not "
            "a package:\n"
            "               make -C qemu-device QEMU_SRC=<its source> "
            "QEMU_BINARY=<it> O=<folder>,\n"
            "               and copy virtio-ddebug-*.so from there to %s\n",
            dir);
}

/* "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", as --version has it. */
static char *running_version(void)
{
    struct version_info *v;

    if (!qmp_query_version) {
        return NULL;
    }
    v = qmp_query_version(NULL);
    return g_strdup_printf("%d.%d.%d (%s)", (int)v->qemu->major,
                           (int)v->qemu->minor, (int)v->qemu->micro,
                           v->package);
}

/* What a version is called in a file name; the Makefile does the same. */
static char *file_version(const char *version)
{
    char *name = g_strdup(version);

    g_strcanon(name, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS ".+~-", '_');
    return name;
}

/* Where this very object lies. */
static char *own_directory(void)
{
    Dl_info info;

    if (!dladdr(&qemu_plugin_version, &info) || !info.dli_fname) {
        return NULL;
    }
    return g_path_get_dirname(info.dli_fname);
}

static char *list_built(const char *dir)
{
    g_autoptr(GString) list = g_string_new(NULL);
    struct dirent *entry;
    DIR *d = opendir(dir);

    while (d && (entry = readdir(d))) {
        if (g_str_has_prefix(entry->d_name, OBJECT_PREFIX) &&
            g_str_has_suffix(entry->d_name, OBJECT_SUFFIX)) {
            g_string_append_printf(list, "%s%s", list->len ? ", " : "",
                                   entry->d_name);
        }
    }
    if (d) {
        closedir(d);
    }
    if (!list->len) {
        g_string_append(list, "none");
    }
    return g_string_free(g_steal_pointer(&list), FALSE);
}

static int install_object(const char *dir, const char *path,
                          const char *version)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    g_autofree char *why = NULL;
    char *(*install)(void);

    if (!handle) {
        complain("cannot load the object for this QEMU: %s", dlerror());
        complain_remedy(dir);
        return 1;
    }
    install = (char *(*)(void))dlsym(handle, "virtio_ddebug_install");
    if (!install) {
        complain("%s is not an object of virtio-ddebug: %s", path, dlerror());
        return 1;
    }
    why = install();
    if (why) {
        complain("%s: %s\nThis is QEMU:  %s", path, why, version);
        complain_remedy(dir);
        return 1;
    }
    return 0;
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc,
                               char **argv)
{
    g_autofree char *version = running_version();
    g_autofree char *dir = own_directory();
    g_autofree char *in_name = NULL, *name = NULL, *path = NULL, *built = NULL;

    (void)id;
    (void)info;
    (void)argc;
    (void)argv;
    if (!version) {
        complain("this program is not a qemu-system-*: name the plugin to one "
                 "that emulates a machine");
        return 1;
    }
    if (!dir) {
        complain("cannot find out where this plugin lies: name it by its full "
                 "path");
        return 1;
    }
    in_name = file_version(version);
    name = g_strconcat(OBJECT_PREFIX, in_name, OBJECT_SUFFIX, NULL);
    path = g_build_filename(dir, name, NULL);
    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        built = list_built(dir);
        complain("it was not built for this QEMU\n"
                 "This is QEMU:  %s\n"
                 "Wanted:        %s\n"
                 "Built for:     %s",
                 version, path, built);
        complain_remedy(dir);
        return 1;
    }
    return install_object(dir, path, version);
}
