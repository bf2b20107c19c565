/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The XML of libvirt domains: the log is found however the device is written; what is added
 * is all that is changed, and what is removed leaves the bytes that were there before.
 */
#include <string.h>

#include "ddebug-domain-xml.h"
#include "ddebug-error.h"

#define ROOT "<domain type='kvm'>\n"
#define ROOT_QEMU "<domain type='kvm' xmlns:qemu='" DDEBUG_DOMAIN_NAMESPACE "'>\n"

/* A text that looks like a command line, where only it may stand; an arg that is none of QEMU. */
#define BODY(controller) \
  "  <name>vm</name>\n" \
  "  <metadata>\n" \
  "    <app:x xmlns:app='urn:x'><!--\n" \
  "  <qemu:commandline>\n" \
  "    <qemu:arg value='-device'/>\n" \
  "    <qemu:arg value='virtio-ddebug,file=/no'/>\n" \
  "  </qemu:commandline>\n" \
  "</domain>\n" \
  "--><emulator>/no</emulator></app:x>\n" \
  "  </metadata>\n" \
  "  <os>\n" \
  "    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n" \
  "  </os>\n" \
  "  <devices>\n" \
  "    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n" \
  controller \
  "    <memballoon model='virtio'>\n" \
  "      <address type='pci' domain='0x0000' bus='0x00' slot='0x1f' function='0x0'/>\n" \
  "    </memballoon>\n" \
  "  </devices>\n"

#define Q35 "    <controller type='pci' index='0' model='pcie-root'/>\n"
#define PC "    <controller type='pci' index='0' model='pci-root'/>\n"

#define ARG(value) "    <qemu:arg value='" value "'/>\n"
#define BEGIN "  <qemu:commandline>\n"
#define END "  </qemu:commandline>\n"

#define OURS ARG ("-plugin") ARG ("/usr/lib/virtio-ddebug.so") ARG ("-device") ARG ("virtio-ddebug-pci,file=/l.ddl")

static DdebugDomain *
parse (const char *xml)
{
  g_autoptr (GError) error = NULL;
  DdebugDomain *domain = ddebug_domain_parse (xml, &error);

  g_assert_no_error (error);
  return domain;
}

static void
test_log (void)
{
  static const struct
  {
    const char *args;
    const char *log;
    guint devices;
  } cases[] = {
    { "", NULL, 0 },
    { OURS, "/l.ddl", 1 },
    { ARG ("-device") ARG ("virtio-ddebug,size=4M,file=/a/b.ddl"), "/a/b.ddl", 1 },
    { ARG ("-device") ARG ("driver=virtio-ddebug-pci,file=/a,,b&amp;&apos;c.ddl,size=1M"), "/a,b&'c.ddl", 1 },
    { ARG ("-device") ARG ("virtio-ddebug-pci,file=rel.ddl"), "/rel.ddl", 1 },
    { ARG ("-device") ARG ("virtio-ddebug-pci"), NULL, 1 },
    { ARG ("-device") ARG ("virtio-ddebug-pci,x-file=/no"), NULL, 1 },
    { ARG ("-device") ARG ("virtio-rng-pci,file=/no"), NULL, 0 },
    { ARG ("-device") ARG ("virtio-ddebug-pcix,file=/no"), NULL, 0 },
    { ARG ("virtio-ddebug-pci,file=/no"), NULL, 0 },
    { ARG ("-device"), NULL, 0 },
    { ARG ("-device") ARG ("{&quot;driver&quot;:&quot;virtio-ddebug-pci&quot;,&quot;file&quot;:&quot;/j.ddl&quot;}"), "/j.ddl", 1 },
    { ARG ("-device") ARG ("{&quot;driver&quot;:&quot;virtio-ddebug-pci&quot;,&quot;file&quot;:7}"), NULL, 1 },
    { ARG ("-device") ARG ("{&quot;driver&quot;:[]}"), NULL, 0 },
    { ARG ("-device") ARG ("{"), NULL, 0 },
    { ARG ("-device") ARG ("virtio-ddebug,file=/1") ARG ("-device") ARG ("virtio-ddebug,file=/2"), "/1", 2 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *xml = g_strconcat (ROOT_QEMU BODY (Q35) BEGIN, cases[i].args, END "</domain>\n", NULL);
      g_autoptr (DdebugDomain) domain = parse (xml);

      g_assert_cmpstr (domain->log, ==, cases[i].log);
      g_assert_cmpuint (domain->devices, ==, cases[i].devices);
    }
}

static void
test_facts (void)
{
  g_autoptr (DdebugDomain) q35 = parse (ROOT BODY (Q35) "</domain>\n");
  g_autoptr (DdebugDomain) pc = parse ("<domain type='qemu'>\n" BODY (PC)
                                       "  <seclabel type='static' model='selinux'><label>a:b:c</label></seclabel>\n"
                                       "  <seclabel type='static' model='dac'><label>+1:+2</label></seclabel>\n</domain>\n");
  g_autoptr (DdebugDomain) isa = parse (ROOT BODY ("") "</domain>\n");
  g_autoptr (GError) error = NULL;
  g_autofree char *on_q35 = ddebug_domain_device (q35, "/a,b", 4 << 20, &error);
  g_autofree char *on_pc = ddebug_domain_device (pc, "/l", 0, &error);

  g_assert_cmpstr (q35->type, ==, "kvm");
  g_assert_cmpstr (q35->arch, ==, "x86_64");
  g_assert_cmpstr (q35->emulator, ==, "/usr/bin/qemu-system-x86_64");
  g_assert_null (q35->dac_label);
  g_assert_cmpstr (pc->type, ==, "qemu");
  g_assert_cmpstr (pc->dac_label, ==, "+1:+2");
  g_assert_cmpstr (on_q35, ==, "{\"driver\":\"virtio-ddebug-pci\",\"file\":\"/a,b\",\"size\":4194304,\"bus\":\"pcie.0\"}");
  /* the last slot is the balloon's */
  g_assert_cmpstr (on_pc, ==, "{\"driver\":\"virtio-ddebug-pci\",\"file\":\"/l\",\"bus\":\"pci.0\",\"addr\":\"0x1e\"}");
  g_assert_null (ddebug_domain_device (isa, "/l", 0, &error));
  g_assert_error (error, DDEBUG_ERROR, DDEBUG_ERROR_REFUSED);
  g_clear_error (&error);
  pc->slots = 0xfffffffe;
  g_assert_null (ddebug_domain_device (pc, "/l", 0, &error));
  g_assert_error (error, DDEBUG_ERROR, DDEBUG_ERROR_REFUSED);
  /* the first is the host bridge's */
  pc->slots = 0xfffffffc;
  g_assert_cmpint (ddebug_domain_free_slot (pc), ==, 1);
}

/* What is added and removed again leaves every byte as it was. */
static void
test_round (void)
{
  static const struct
  {
    const char *before;
    const char *after;
  } cases[] = {
    { ROOT BODY (Q35) "</domain>\n", ROOT_QEMU BODY (Q35) BEGIN OURS END "</domain>\n" },
    { ROOT_QEMU BODY (Q35) BEGIN ARG ("-s") END "</domain>\n", ROOT_QEMU BODY (Q35) BEGIN ARG ("-s") OURS END "</domain>\n" },
    { ROOT_QEMU BODY (Q35) BEGIN ARG ("a&amp;&lt;&gt;&quot;&apos;&#10;b")
      "    <qemu:env name='N' value='v'/>\n    <qemu:env name='E'/>\n" END
      "  <qemu:capabilities>\n    <qemu:del capability='x'/>\n  </qemu:capabilities>\n</domain>\n",
      ROOT_QEMU BODY (Q35) BEGIN ARG ("a&amp;&lt;&gt;&quot;&apos;&#10;b") OURS
      "    <qemu:env name='N' value='v'/>\n    <qemu:env name='E'/>\n" END
      "  <qemu:capabilities>\n    <qemu:del capability='x'/>\n  </qemu:capabilities>\n</domain>\n" },
    { ROOT_QEMU BODY (Q35) BEGIN "    <qemu:env name='N' value='v'/>\n" END "</domain>\n",
      ROOT_QEMU BODY (Q35) BEGIN OURS "    <qemu:env name='N' value='v'/>\n" END "</domain>\n" },
    { ROOT_QEMU BODY (Q35) "  <qemu:capabilities/>\n</domain>\n", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (DdebugDomain) before = parse (cases[i].before);
      g_autofree char *added = ddebug_domain_add (cases[i].before, before, "/usr/lib/virtio-ddebug.so",
                                                  "virtio-ddebug-pci,file=/l.ddl", &error);
      g_autoptr (DdebugDomain) after = NULL;
      g_autofree char *removed = NULL;

      g_assert_no_error (error);
      if (cases[i].after)
        g_assert_cmpstr (added, ==, cases[i].after);
      after = parse (added);
      g_assert_cmpstr (after->log, ==, "/l.ddl");
      removed = ddebug_domain_remove (added, after, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (removed, ==, cases[i].before);
    }
}

/* All of ours go, of whatever form; what only looks like it stays. */
static void
test_remove (void)
{
  static const char kept[] = ROOT_QEMU BODY (PC) BEGIN ARG ("-plugin") ARG ("/x/virtio-ddebug-other.so") ARG ("-device")
    ARG ("virtio-rng-pci") END "</domain>\n";
  static const char all[] = ROOT_QEMU BODY (PC) BEGIN ARG ("-plugin") ARG ("file=/x/virtio-ddebug.so,a=b") ARG ("-plugin")
    ARG ("/x/virtio-ddebug-other.so") ARG ("--device") ARG ("virtio-ddebug,file=/1") ARG ("-device") ARG ("virtio-rng-pci")
    ARG ("-device") ARG ("{&quot;driver&quot;:&quot;virtio-ddebug&quot;}") END "</domain>\n";
  g_autoptr (DdebugDomain) domain = parse (all);
  g_autoptr (GError) error = NULL;
  g_autofree char *removed = ddebug_domain_remove (all, domain, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (removed, ==, kept);
}

/* What is not as libvirt writes it is refused, not guessed at. */
static void
test_refused (void)
{
  static const char *const bad[] = {
    "<domain type='kvm'><qemu:commandline><qemu:arg value='a'/></qemu:commandline></domain>\n",
    ROOT_QEMU BEGIN ARG ("a") "</qemu:commandline>\n</domain>\n",
    ROOT "</domain>",
    "<?xml version='1.0'?>\n" ROOT "</domain>\n",
    "<domain>\n</domain>\n",
  };
  static const char *const no_domains[] = { "", "<network/>", "<domain", "no XML", "<domain></network>" };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (DdebugDomain) domain = parse (bad[i]);
      g_autoptr (GError) error = NULL;

      g_assert_null (ddebug_domain_add (bad[i], domain, NULL, "virtio-ddebug", &error));
      g_assert_error (error, DDEBUG_ERROR, DDEBUG_ERROR_FORMAT);
    }
  for (guint i = 0; i < G_N_ELEMENTS (no_domains); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (ddebug_domain_parse (no_domains[i], &error));
      g_assert_error (error, DDEBUG_ERROR, DDEBUG_ERROR_FORMAT);
    }
}

static void
assert_diff (const char *before, const char *after, const char *expected)
{
  g_autoptr (GString) out = g_string_new (NULL);

  ddebug_domain_diff (out, before, after);
  g_assert_cmpstr (out->str, ==, expected);
}

/* As diff -u has it, but for the names of files. */
static void
test_diff (void)
{
  assert_diff ("r\n1\n2\n3\n4\n5\n6\n7\n8\ne\n", "R\n1\n2\n3\n4\n5\n6\n7\n8\nx\ny\ne\n",
               "@@ -1,4 +1,4 @@\n-r\n+R\n 1\n 2\n 3\n@@ -7,4 +7,6 @@\n 6\n 7\n 8\n+x\n+y\n e\n");
  assert_diff ("r\n1\n2\n3\na\nb\ne\n", "r\n1\n2\n3\nb\ne\n", "@@ -2,6 +2,5 @@\n 1\n 2\n 3\n-a\n b\n e\n");
  assert_diff ("r\na\na\ne\n", "r\na\na\na\ne\n", "@@ -1,4 +1,5 @@\n r\n a\n a\n+a\n e\n");
  assert_diff ("r\n", "r\n", "");
  assert_diff ("r\n", "R\n", "@@ -1,1 +1,1 @@\n-r\n+R\n");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/domain/the log is found", test_log);
  g_test_add_func ("/domain/what the device needs to know", test_facts);
  g_test_add_func ("/domain/added and removed leaves every byte", test_round);
  g_test_add_func ("/domain/all that is ours goes, and no more", test_remove);
  g_test_add_func ("/domain/what libvirt has not written is refused", test_refused);
  g_test_add_func ("/domain/differences", test_diff);
  return g_test_run ();
}
