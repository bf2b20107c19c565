/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of --help. */
#include "ddebug-help.h"

typedef struct
{
  const char *name;
  const char *help;
} HelpLine;

static const HelpLine help_commands[] = {
  { "-t, --trace", "print all messages that are in the log, and end (default)" },
  { "-f, --follow", "print all messages, then new ones as they come" },
  { "-p, --pipe", "as --follow, and consume: each message is printed once," },
  { NULL, "by one of all --pipe on this log; the place is kept in FILE.cursor" },
  { "-i, --info", "say what the log is, what is in it, received, lost and damaged" },
  { "    --list-boots", "list the boots that are in the log, and how they ended" },
  { "    --last-words", "say how the VM and its guest ended: the last messages of each CPU," },
  { NULL, "and the end of the kernel's log if it oopsed or panicked" },
  { "    --size", "print the size of the log" },
  { "    --size=N[K|M|G|T]", "change it, 1M to 1024G; while the VM runs, too" },
  { "    --clear", "hide all messages that are in the log" },
  { "-h, --help", "print this and end" },
  { "-V, --version", "print the version and end" },
};

static const HelpLine help_domains[] = {
  { "    --list", "list the domains that have a log: state, size, boots, last message" },
  { "-a, --all", "show all domains, each line with its VM's name, while VMs come and go" },
  { "    --attach DOMAIN", "give a domain the device: shows what would be changed, and asks" },
  { "    --detach DOMAIN", "take it away again; the log stays" },
  { "-c, --connect=URI", "of libvirt, as for virsh: qemu:///system, qemu:///session" },
  { "    --log=FILE", "with --attach: the log; without it, in a folder of libvirt's user" },
  { "    --log-size=N[K|M|G|T]", "with --attach: its size" },
  { "    --plugin=FILE", "with --attach: the device, if QEMU has it not inside" },
  { "-y, --yes", "with --attach and --detach: do not ask" },
};

static const HelpLine help_filters[] = {
  { "-b, --boot[=BOOT]", "of one boot: 0 or nothing is the newest, -1 the one before, 1 the" },
  { NULL, "oldest, or an id of --list-boots, or ID-1, ID+1; also --last-words" },
  { "-S, --since=TIME", "taken by the host at TIME or later: \"2026-11-24 10:00\", 10:00:05.123," },
  { NULL, "yesterday, today, now, -1h, \"5min ago\", @1700000000; also --list-boots" },
  { "-U, --until=TIME", "or earlier; --follow ends then" },
  { "    --cpu=LIST", "of these CPUs: 0-3,7" },
  { "-g, --grep=PATTERN", "in whose text PATTERN is found, a regular expression; if it has no" },
  { NULL, "capital letters, A and a are the same in it" },
  { "    --case-sensitive[=no]", "they differ, or are the same, in any PATTERN" },
  { "    --query=QUERY", "of callsites, as in the guest's dynamic_debug/control:" },
  { NULL, "'module nfsd func svc_* line 10-20 format \"READ\"; file hub.c'" },
};

static const HelpLine help_options[] = {
  { "-w, --wait", "wait for the log to be there, and --follow and --pipe for a VM to use it" },
  { "-C, --callsite", "print module:function:line: before each message; also --last-words" },
  { "-o, --output=FORMAT", "text, or json: an object a line, for programs; also --list-boots" },
  { "    --raw", "print messages byte for byte, nothing escaped; not to a terminal" },
  { "-q, --quiet", "print messages only, no notices of losses, boots and damage" },
};

static const HelpLine help_status[] = {
  { "0", "all is well; also when the reader of the output has gone" },
  { "1", "reading or writing failed, or libvirt did" },
  { "2", "wrong usage" },
  { "3", "the log is none, empty, of another version, or too damaged to be read" },
  { "4", "it is missing, not a regular file, or not accessible; there is no such domain" },
  { "5", "a request was refused or not answered; FILE.cursor is another log's" },
  { "6", "the log has no such boot" },
  { "130, 143, 129", "ended by SIGINT (Ctrl-C), SIGTERM, SIGHUP; --pipe has kept its place" },
};

static const HelpLine help_examples[] = {
  { "ddebug-host --wait --follow vm.ddl", "start before the VM, see all" },
  { "ddebug-host --pipe vm.ddl | logger", "hand each message on once" },
  { "ddebug-host --boot=-1 vm.ddl", "see what the guest did before it rebooted" },
  { "ddebug-host --since=-5min vm.ddl", "see the last five minutes" },
  { "ddebug-host --callsite --grep=timeout vm.ddl", "search, with places in the source" },
  { "ddebug-host --query='module nfsd' vm.ddl", "see the messages of a module" },
  { "ddebug-host --size=256M vm.ddl", "keep more" },
  { "ddebug-host --attach debian", "log the libvirt domain debian" },
  { "ddebug-host --follow debian", "see its messages" },
  { "ddebug-host --all --pipe | logger", "hand on the messages of all domains" },
};

static void
add_help (GString *out, const char *title, const HelpLine *lines, guint n, int width)
{
  g_string_append_printf (out, "\n%s:\n", title);
  for (guint i = 0; i < n; i++)
    g_string_append_printf (out, " %-*s  %s\n", width, lines[i].name ? lines[i].name : "", lines[i].help);
}

void
ddebug_help_append (GString *out)
{
  g_string_append (out, "Usage: ddebug-host [OPTIONS] SOURCE...\n\n"
                        "Reads a log of the device virtio-ddebug: the pr_debug() and dev_dbg() messages of a\n"
                        "guest whose callsites have the dynamic debug flag 'r'.  SOURCE is the log's file, or\n"
                        "the libvirt domain: its name, id or UUID; domain:NAME where there is a file of that\n"
                        "name.  Several are shown as one, each line with its SOURCE.\n");
  add_help (out, "Commands", help_commands, G_N_ELEMENTS (help_commands), 21);
  add_help (out, "Domains of libvirt", help_domains, G_N_ELEMENTS (help_domains), 25);
  add_help (out, "What is shown by --trace, --follow and --pipe", help_filters, G_N_ELEMENTS (help_filters), 25);
  add_help (out, "Options", help_options, G_N_ELEMENTS (help_options), 20);
  add_help (out, "Exit status", help_status, G_N_ELEMENTS (help_status), 20);
  add_help (out, "Examples", help_examples, G_N_ELEMENTS (help_examples), 44);
  g_string_append (out, "\nMore: man ddebug-host\n");
}
