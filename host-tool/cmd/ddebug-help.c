/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of --help. */
#include "ddebug-help.h"

typedef struct
{
  const char *name;
  const char *help;
} HelpLine;

static const HelpLine help_commands[] = {
  { "-t, --trace", "print all messages in the log and exit (default)" },
  { "-f, --follow", "print all messages, then new ones as they arrive" },
  { "-p, --pipe", "like --follow, but consume: each message is printed only once by" },
  { NULL, "all --pipe on this log; the position is stored in FILE.cursor" },
  { "-i, --info", "print what the log contains: boots, and messages received and lost" },
  { "    --list-boots", "list the boots in the log and how they ended" },
  { "    --last-words", "print how the VM and its guest ended: the last messages of each CPU" },
  { NULL, "and, after an oops or a panic, the end of the kernel log" },
  { "    --size", "print the size of the log" },
  { "    --size=N[K|M|G|T]", "set the size, 1M to 1024G; also while the VM is running" },
  { "    --clear", "hide all messages now in the log" },
  { "-h, --help", "print this help and exit" },
  { "-V, --version", "print the version and exit" },
};

static const HelpLine help_domains[] = {
  { "    --list", "list domains with a log: state, size, boots, last message" },
  { "-a, --all", "show all domains, each line with its VM's name, as VMs come and go" },
  { "    --attach DOMAIN", "add the device to a domain; shows the change and asks first" },
  { "    --detach DOMAIN", "remove it again; the log is not deleted" },
  { "-c, --connect=URI", "libvirt URI, as for virsh: qemu:///system, qemu:///session" },
  { "    --log=FILE", "with --attach: the log file; default: in a directory of QEMU's user" },
  { "    --log-size=N[K|M|G|T]", "with --attach: the size of the log" },
  { "    --plugin=FILE", "with --attach: the device, if it is not built into QEMU" },
  { "-y, --yes", "with --attach and --detach: do not ask" },
};

static const HelpLine help_filters[] = {
  { "-b, --boot[=BOOT]", "one boot: 0 or nothing for the newest, -1 for the one before it, 1 for" },
  { NULL, "the oldest, or an ID from --list-boots, ID-1, ID+1; also --last-words" },
  { "-S, --since=TIME", "read by the host at TIME or later: \"2026-11-24 10:00\", 10:00:05.123," },
  { NULL, "yesterday, today, now, -1h, \"5min ago\", @1700000000; also --list-boots" },
  { "-U, --until=TIME", "read by the host at TIME or earlier; --follow then exits" },
  { "    --cpu=LIST", "only these CPUs: 0-3,7" },
  { "-g, --grep=PATTERN", "only messages that match the regular expression PATTERN; case is" },
  { NULL, "ignored if PATTERN has no capital letters" },
  { "    --case-sensitive[=no]", "whether --grep is case-sensitive, for any PATTERN" },
  { "    --query=QUERY", "only these callsites, as in the guest's dynamic_debug/control:" },
  { NULL, "'module nfsd func svc_* line 10-20 format \"READ\"; file hub.c'" },
};

static const HelpLine help_options[] = {
  { "-w, --wait", "wait until the log exists; --follow and --pipe also wait for a VM" },
  { "-C, --callsite", "print module:function:line: before each message; also --last-words" },
  { "-o, --output=FORMAT", "text, or json: one object per line; also --list-boots and --list" },
  { "    --raw", "print messages byte for byte, without escapes; not to a terminal" },
  { "-q, --quiet", "print only messages, no notices of losses, boots and damage" },
};

static const HelpLine help_status[] = {
  { "0", "success; also if the reader of the output exits early" },
  { "1", "reading or writing failed, or libvirt failed" },
  { "2", "invalid usage" },
  { "3", "not a log, or one that is empty, of another version, or too damaged to read" },
  { "4", "no such file, not a regular file, no permission, or no such domain" },
  { "5", "a request was refused or not answered, or FILE.cursor is another log's" },
  { "6", "no such boot in the log" },
  { "130, 143, 129", "ended by SIGINT (Ctrl-C), SIGTERM, SIGHUP; --pipe has stored its position" },
};

static const HelpLine help_examples[] = {
  { "ddebug-host --wait --follow vm.ddl", "start before the VM and miss nothing" },
  { "ddebug-host --pipe vm.ddl | logger", "forward each message once" },
  { "ddebug-host --boot=-1 vm.ddl", "show what the guest did before it rebooted" },
  { "ddebug-host --since=-5min vm.ddl", "show the last five minutes" },
  { "ddebug-host --callsite --grep=timeout vm.ddl", "search, and show source locations" },
  { "ddebug-host --query='module nfsd' vm.ddl", "show the messages of one module" },
  { "ddebug-host --size=256M vm.ddl", "make the log larger" },
  { "ddebug-host --attach debian", "add the device to the libvirt domain debian" },
  { "ddebug-host --follow debian", "show its messages" },
  { "ddebug-host --all --pipe | logger", "forward the messages of all domains" },
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
  g_string_append (out, "Usage: ddebug-host [OPTIONS] SOURCE...\n"
                        "       ddebug-host [OPTIONS] --all | --list\n"
                        "       ddebug-host [OPTIONS] --attach | --detach DOMAIN\n\n"
                        "Print the dynamic debug log of a virtual machine: the pr_debug() and dev_dbg()\n"
                        "messages of a guest whose callsites have the dynamic debug flag 'r', as the QEMU\n"
                        "device virtio-ddebug logs them.  SOURCE is the log file, or a libvirt domain (name,\n"
                        "id or UUID); write domain:NAME if a file has the same name.  A log to be read can also\n"
                        "be a pipe, standard input (-), or compressed by gzip.  Several SOURCEs are merged,\n"
                        "each line prefixed with its SOURCE.\n");
  add_help (out, "Commands", help_commands, G_N_ELEMENTS (help_commands), 21);
  add_help (out, "libvirt domains", help_domains, G_N_ELEMENTS (help_domains), 25);
  add_help (out, "Filters for --trace, --follow and --pipe", help_filters, G_N_ELEMENTS (help_filters), 25);
  add_help (out, "Options", help_options, G_N_ELEMENTS (help_options), 20);
  add_help (out, "Exit status", help_status, G_N_ELEMENTS (help_status), 20);
  add_help (out, "Examples", help_examples, G_N_ELEMENTS (help_examples), 44);
  g_string_append (out, "\nSee ddebug-host(1) for details.\n");
}
