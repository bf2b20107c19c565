/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-ddebug.so, the plugin that users load: determines the version of the
 * QEMU it is in and opens the object built for exactly that one.
 *
 * It uses a single function of QEMU, whose interface has not changed since
 * 0.14, through a weak symbol, so that it can be loaded into any program and
 * report what is wrong.  The object itself could not: a missing symbol ends in
 * an error of the dynamic linker.
 *
 * The function is missing in two kinds of QEMU: user-mode emulators, and those
 * built without modules.  The latter export the plugin interface
 * (qemu_plugin_*) only, so no object can work there, and the device must be
 * built in.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <dlfcn.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

#define OBJECT_PREFIX "virtio-ddebug-"
#define OBJECT_SUFFIX ".so"

/* QEMU reads this before it calls the function below. */
EXPORT extern int qemu_plugin_version;
int qemu_plugin_version;

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc,
                               char **argv);

/* VersionInfo of QAPI, the result of query-version. */
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

/*
 * Introduced with version 2 of the plugin interface, in the release that
 * dropped older versions.  Exported by any QEMU that has it and loads plugins.
 */
extern int qemu_plugin_num_vcpus(void) __attribute__((weak));

/* The start of qemu_info_t, which QEMU passes to plugins, in all versions. */
struct plugin_info {
    const char *target_name;
    struct {
        int min;
        int cur;
    } version;
    bool system_emulation;
};

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

/*
 * QEMU accepts a range of plugin interface versions: from 0 up to QEMU 8.2,
 * from 2 since 9.0.  What is used here is the same in all, so claim one that
 * this QEMU accepts, while it opens the plugin.
 */
__attribute__((constructor))
static void choose_plugin_version(void)
{
    if (qemu_plugin_num_vcpus) {
        qemu_plugin_version = 2;
    }
}

/*
 * "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)" or "7.2.22", as printed by --version.
 * QEMU must export qmp_query_version().
 */
static char *running_version(void)
{
    struct version_info *v = qmp_query_version(NULL);

    return g_strdup_printf("%d.%d.%d%s%s%s", (int)v->qemu->major,
                           (int)v->qemu->minor, (int)v->qemu->micro,
                           *v->package ? " (" : "", v->package,
                           *v->package ? ")" : "");
}

/* A version as part of a file name; must match FILE_VERSION in the Makefile. */
static char *file_version(const char *version)
{
    char *name = g_strdup(version);

    g_strcanon(name, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS ".+~-", '_');
    return name;
}

/* The path of this QEMU's executable, or @unknown. */
static char *running_program(const char *unknown)
{
    char *path = g_file_read_link("/proc/self/exe", NULL);

    return path ? path : g_strdup(unknown);
}

/* The directory of this plugin. */
static char *own_directory(void)
{
    Dl_info info;

    if (!dladdr(&qemu_plugin_version, &info) || !info.dli_fname) {
        return NULL;
    }
    return g_path_get_dirname(info.dli_fname);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The objects in @dir, separated by @indent; "none" if there are none. */
static char *list_built(const char *dir, const char *indent)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    struct dirent *entry;
    DIR *d = opendir(dir);

    while (d && (entry = readdir(d))) {
        if (g_str_has_prefix(entry->d_name, OBJECT_PREFIX) &&
            g_str_has_suffix(entry->d_name, OBJECT_SUFFIX)) {
            g_ptr_array_add(names, g_strdup(entry->d_name));
        }
    }
    if (d) {
        closedir(d);
    }
    if (!names->len) {
        return g_strdup("none");
    }
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    return g_strjoinv(indent, (char **)names->pdata);
}

/* make install puts its manifest into the directory of the plugin. */
static bool is_installed(const char *dir)
{
    g_autofree char *manifest = g_build_filename(dir, "manifest", NULL);

    return g_file_test(manifest, G_FILE_TEST_EXISTS);
}

/*
 * The make command that builds the object for this QEMU.  Intermediate files do
 * not belong in the directory of an installed plugin.
 */
static char *build_command(const char *version, const char *dir)
{
    g_autofree char *program = running_program("<this QEMU>");
    bool installed = is_installed(dir);

    return g_strdup_printf("make -C qemu-device QEMU_SRC=<unpacked source of "
                           "QEMU %s> QEMU_BINARY=%s O=%s%s", version,
                           program,
                           installed ? "../build/qemu-device" : dir,
                           installed ? " && make install" : "");
}

static int install_object(const char *dir, const char *path,
                          const char *version)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    g_autofree char *command = build_command(version, dir);
    g_autofree char *why = NULL;
    char *(*install)(void);

    if (!handle) {
        complain("cannot load the object for this QEMU: %s\n"
                 "Remedy: rebuild the object: %s", dlerror(), command);
        return 1;
    }
    install = (char *(*)(void))dlsym(handle, "virtio_ddebug_install");
    if (!install) {
        complain("%s is not an object of virtio-ddebug: %s\n"
                 "Remedy: rebuild the object: %s", path, dlerror(), command);
        return 1;
    }
    why = install();
    if (why) {
        complain("%s: %s\nThis is QEMU %s\n"
                 "Remedy: rebuild the object from the source package of "
                 "exactly this QEMU: %s", path, why, version, command);
        return 1;
    }
    return 0;
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc,
                               char **argv)
{
    const struct plugin_info *qemu = info;
    g_autofree char *program = running_program("this program");
    g_autofree char *dir = own_directory();
    g_autofree char *version = NULL, *in_name = NULL, *name = NULL;
    g_autofree char *path = NULL, *built = NULL, *command = NULL;

    (void)id;
    (void)argc;
    (void)argv;
    if (!qemu->system_emulation) {
        complain("%s is not a system emulator: use this plugin with "
                 "qemu-system-* only", program);
        return 1;
    }
    if (!qmp_query_version) {
        complain("%s cannot load the device: it was built without modules\n"
                 "Remedy: omit -plugin if the device is built in, as by make "
                 "qemu (see -device virtio-ddebug-pci,help);\n"
                 "        otherwise use a QEMU built with --enable-modules "
                 "--enable-plugins, such as Debian's", program);
        return 1;
    }
    version = running_version();
    if (!dir) {
        complain("cannot determine the directory of this plugin: use its full "
                 "path");
        return 1;
    }
    in_name = file_version(version);
    name = g_strconcat(OBJECT_PREFIX, in_name, OBJECT_SUFFIX, NULL);
    path = g_build_filename(dir, name, NULL);
    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        built = list_built(dir, "\n               ");
        command = build_command(version, dir);
        complain("not built for this QEMU\n"
                 "QEMU version:  %s\n"
                 "Required:      %s\n"
                 "Found:         %s\n"
                 "Remedy:        make build%s, if this QEMU is from Debian 12 "
                 "or its backports; for any QEMU:\n"
                 "               %s",
                 version, path, built,
                 is_installed(dir) ? " && make install" : "", command);
        return 1;
    }
    return install_object(dir, path, version);
}
