package tests

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/kernel"
	"github.com/openeuler/syscare/engine/kernelbuild"
	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/specgen"
	"github.com/openeuler/syscare/specgen/rpmfile"
	"github.com/openeuler/syscare/state/metadata"
	"github.com/openeuler/syscare/tests/kernelrpm"
	"github.com/openeuler/syscare/tests/vm"
)

// kernelFix is a fix of the kernel, and how it is seen from user space.
type kernelFix struct {
	name  string
	edits []kernelrpm.Edit // "": it is one of kernelrpm.Fixes
	on    string           // the fix that it comes on top of, in one patch with it
	of    string           // the target's name, version and release, if it is not the kernel

	packages      string // of: rpmbuild's directory with its packages
	see           string // a script, whose output shows whether the fix is there
	before, after string // regular expressions of it
}

// byNobody runs a command as a user whom some of the fixes treat badly.
const byNobody = "setpriv --reuid 65534 --clear-groups "

// kernelFixes are of different kinds: what they do is nothing but visible.
var kernelFixes = []kernelFix{
	{name: "body", edits: []kernelrpm.Edit{ // a static function, with new static data
		{File: "fs/proc/cmdline.c", Old: "{\n\tseq_puts(m, saved", New: "{\n\tstatic int reads;\n\n\tseq_printf(m, \"read %d \", ++reads);\n\tseq_puts(m, saved"},
	}, see: "cat /proc/cmdline", before: `^root=`, after: `^read \d+ root=`},

	{name: "replacing", on: "body", edits: []kernelrpm.Edit{ // takes the place of the only one, in one transition
		{File: "fs/proc/cmdline.c", Old: "\tseq_putc(m, '\\n');", New: "\tseq_puts(m, \" and all\\n\");"},
	}, see: "cat /proc/cmdline; dmesg | grep -c 'starting unpatching' || :; dmesg -C", before: `^read \d+ root=.*\w\n`, after: `^read \d+ root=.* and all\n0\n`},

	{name: "files", edits: []kernelrpm.Edit{ // two files, with a new variable and a new function that both know
		{File: "fs/proc/version.c", New: "\nunsigned int versions_read;\nunsigned int count_version(void);\nunsigned int count_version(void)\n{\n\treturn ++versions_read;\n}\n"},
		{File: "fs/proc/version.c", Old: "\tseq_printf(m, linux_proc_banner", New: "\tcount_version();\n\tseq_printf(m, linux_proc_banner"},
		{File: "fs/proc/loadavg.c", New: "\nextern unsigned int versions_read;\nunsigned int count_version(void);\n"},
		{File: "fs/proc/loadavg.c", Old: "\tseq_printf(m, \"%lu.%02lu", New: "\tseq_printf(m, \"seen %u \", versions_read + 0 * count_version());\n\tseq_printf(m, \"%lu.%02lu"},
	}, see: "cat /proc/version >/dev/null; cat /proc/loadavg", before: `^\d+\.`, after: `^seen [1-9]\d* `},

	{name: "header", edits: []kernelrpm.Edit{ // an inline function in a header that two files include
		{File: "fs/proc/fd.h", Old: "{\n\treturn PROC_I(inode)->fd;", New: "{\n\tif (from_kuid(&init_user_ns, current_uid()) == 65534)\n\t\treturn 0;\n\treturn PROC_I(inode)->fd;"},
	}, see: byNobody + "sh -c 'exec </dev/null 9>/dev/null; exec cat /proc/self/fdinfo/9'", before: `flags:\s+0100001`, after: `flags:\s+0100000`},

	{name: "module", edits: []kernelrpm.Edit{ // a module, not the kernel itself
		{File: "drivers/net/dummy.c", Old: "{\n\tif (new_carrier)", New: "{\n\tif (!new_carrier && dev->mtu == 1234)\n\t\treturn -EDOM;\n\tif (new_carrier)"},
	}, see: "modprobe dummy numdummies=1; cd /sys/class/net/dummy0; echo 1234 >mtu; " +
		"python3 -c 'import socket,fcntl,struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack(\"16sh14x\", b\"dummy0\", 1))'; { echo 0 >carrier && echo taken; } 2>&1; echo 1 >carrier", before: `taken`, after: `out of domain`},

	{name: "clone", edits: []kernelrpm.Edit{ // jump labels, static calls, BUG, alternatives, a trace point
		{File: "kernel/fork.c", Old: "\tint trace = 0;\n\tpid_t nr;\n", New: "\tint trace = 0;\n\tpid_t nr;\n\n\tWARN_ON_ONCE(args->exit_signal < 0);\n\tif (from_kuid(&init_user_ns, current_uid()) == 65534) {\n\t\tpr_info_once(\"nobody multiplies\\n\");\n\t\treturn -EAGAIN;\n\t}\n"},
		{File: "kernel/fork.c", New: "\nstatic unsigned long copies;\n"},
		{File: "kernel/fork.c", Old: "\tstruct multiprocess_signals delayed;\n", New: "\tstruct multiprocess_signals delayed;\n\n\tWARN_ONCE(++copies == 0, \"%lu\", copies);\n"},
	}, see: "for i in 1 2 3 4 5 6 7 8; do /bin/true; done; " + byNobody + "sh -c 'if (exit 0); then echo made; fi' 2>&1; :", before: `^made`, after: `[Ff]ork`},

	{name: "syscall", edits: []kernelrpm.Edit{ // the body of a system call, which is declared inline
		{File: "kernel/sys.c", Old: "SYSCALL_DEFINE1(newuname, struct new_utsname __user *, name)\n{\n\tstruct new_utsname tmp;\n", New: "SYSCALL_DEFINE1(newuname, struct new_utsname __user *, name)\n{\n\tstruct new_utsname tmp;\n\n\tif (from_kuid(&init_user_ns, current_uid()) == 65534)\n\t\treturn -EDOM;\n"},
	}, see: "uname; " + byNobody + "uname 2>&1; :", before: `^Linux\nLinux\n$`, after: `^Linux\n.*out of domain`},

	{name: "hooks", edits: []kernelrpm.Edit{ // functions that run around a change, and shadow variables
		{File: "fs/proc/uptime.c", New: "#include <linux/livepatch.h>\n#include <linux/panic.h>\n#include \"kpatch-macros.h\"\n\n" +
			"static int add(struct klp_object *object)\n{\n\tpanic_timeout += 7;\n\treturn 0;\n}\nSYSCARE_PRE_APPLY(add);\n\n" +
			"static void take_off(patch_object *object)\n{\n\tpanic_timeout -= 7;\n\tklp_shadow_free_all(4711, NULL);\n}\nKPATCH_POST_UNPATCH_CALLBACK(take_off);\n"},
		{File: "fs/proc/uptime.c", Old: "\tint i;\n", New: "\tint i;\n\tint *reads = klp_shadow_get_or_alloc(current, 4711, sizeof(*reads), GFP_KERNEL, NULL, NULL);\n\n\tif (reads)\n\t\tseq_printf(m, \"%d \", ++*reads);\n"},
	}, see: "for i in 1 2 3; do read line </proc/uptime; echo \"$line\"; done; cat /proc/sys/kernel/panic", before: `\A(\d+\.\d+ \d+\.\d+\n){3}-1\n\z`, after: `\A1 .*\n2 .*\n3 .*\n6\n\z`},

	{name: "statics", edits: []kernelrpm.Edit{ // a function with a variable of its own, whose state stays
		{File: "fs/inode.c", Old: "{\n\tunsigned int *p = &get_cpu_var(last_ino);", New: "{\n\tunsigned int *p = &get_cpu_var(last_ino);\n\n\tpr_info_once(\"inode numbers go on\\n\");"},
	}, see: "for i in 1 2 3; do readlink /proc/self/fd/0 </dev/zero | cat; done; readlink /proc/self/fd/0 < <(:); ls /sys/kernel/livepatch/*/vmlinux 2>/dev/null | grep -c '^get_next_ino,1$' || :", before: `pipe:\[\d{4,}\]\n0`, after: `pipe:\[\d{4,}\]\n1`},

	{name: "faults", edits: []kernelrpm.Edit{ // code that may fault, and says where to go on then
		{File: "fs/readdir.c", Old: "static bool filldir64(struct dir_context *ctx, const char *name, int namlen,\n\t\t     loff_t offset, u64 ino, unsigned int d_type)\n{\n", New: "static bool filldir64(struct dir_context *ctx, const char *name, int namlen,\n\t\t     loff_t offset, u64 ino, unsigned int d_type)\n{\n\tpr_info_once(\"names are listed\\n\");\n\n"},
	}, see: "dmesg -C; python3 -c '" + badBuffer + "'; ls / | wc -l; dmesg | grep -c 'names are listed' || :", before: `\A14\n\d\d+\n0\n`, after: `\A14\n\d\d+\n[01]\n`},

	{name: "exported", edits: []kernelrpm.Edit{ // a function that modules call
		{File: "net/core/dev.c", Old: "int dev_set_mtu(struct net_device *dev, int new_mtu)\n{\n", New: "int dev_set_mtu(struct net_device *dev, int new_mtu)\n{\n\tif (new_mtu == 1234 && !strcmp(dev->name, \"lo\"))\n\t\treturn -EDOM;\n\n"},
	}, see: "cd /sys/class/net/lo; (echo 1234 >mtu) 2>&1; cat mtu; echo 65536 >mtu", before: `^1234\n`, after: `out of domain\n65536`},

	{name: "twice", edits: []kernelrpm.Edit{ // a static function, of whose name another one is global: security/keys has it
		{File: "security/selinux/ss/policydb.c", Old: "static int user_read(struct policydb *p, struct symtab *s, void *fp)\n{\n", New: "static int user_read(struct policydb *p, struct symtab *s, void *fp)\n{\n\tpr_info(\"a user is read\\n\");\n"},
	}, see: "ls /sys/kernel/livepatch/*/vmlinux; python3 -c '" + userKey + "'", before: `hello`, after: `user_read,2\n(?s:.*)hello`},

	{name: "cumulative", on: "files", edits: []kernelrpm.Edit{ // takes the place of an earlier one, while others are in force
		{File: "fs/proc/version.c", Old: "\tcount_version();", New: "\tseq_puts(m, \"It is \");\n\tcount_version();"},
	}, see: "cat /proc/version; cat /proc/loadavg", before: `^Linux.*\nseen `, after: `^It is Linux.*\nseen `},
}

// badBuffer lists a directory into memory that is not there.
const badBuffer = `import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
assert c.syscall(217, os.open("/", os.O_RDONLY), 4096, 4096) == -1
print(ctypes.get_errno())`

// userKey writes a key of the kind "user" and reads it.
const userKey = `import ctypes
c = ctypes.CDLL(None)
key = c.syscall(248, b"user", b"name", b"hello", 5, -2)
text = ctypes.create_string_buffer(5)
assert c.syscall(250, 11, key, text, 5) == 5
print(text.raw.decode())`

// kernelTarget is the package of a kernel.
func kernelTarget(k kernelrpm.Kernel) string { return "kernel-" + k.Version() + "-1" }

// modulePackages makes the packages of a module of its own for the kernel. It gives
// rpmbuild's directory, in which the installed module lies as well.
func modulePackages(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	copyTo(t, "testdata/kmod/greeting.c", filepath.Join(top, "SOURCES/greeting.c"))
	tool(t, "rpmbuild", "-ba", "--nodeps", "--define", "_topdir "+top, "--define", "dist %{nil}", "--define", "kernel_build "+kernelHeaders(t, kernelrpm.Stable.Release),
		"--define", "kernel_release "+kernelrpm.Stable.Release, "testdata/kmod/greeting.spec")
	tool(t, "sh", "-c", "cd "+top+" && rpm2cpio RPMS/x86_64/greeting-1.0-1.x86_64.rpm | cpio -idm")
	return top
}

var (
	kernelFixNames = flag.String("kernel-fixes", "", "names of the fixes of the kernel to test, with commas between; all if empty")
	kernelName     = flag.String("kernel", "stable", "which kernel TestKernelPatchPackages patches, one of the names in kernels")
	kernels        = map[string]kernelrpm.Kernel{"stable": kernelrpm.Stable, "backport": kernelrpm.Backport}
)

// builtKernelPatch is what a build has made.
type builtKernelPatch struct {
	kernelFix
	rpm []byte
	err error
}

// buildKernelPatches builds patches in their order. It sends each as it is ready.
func buildKernelPatches(t *testing.T, p *kernelrpm.Packages, fixes []kernelFix) <-chan builtKernelPatch {
	out := make(chan builtKernelPatch, len(fixes))
	dir := t.TempDir()
	go func() {
		defer close(out)
		for _, fix := range fixes {
			b := builtKernelPatch{kernelFix: fix}
			b.rpm, b.err = buildKernelPatch(t, p, dir, fix)
			out <- b
			if b.err != nil {
				return
			}
		}
	}()
	return out
}

func buildKernelPatch(t testing.TB, p *kernelrpm.Packages, dir string, fix kernelFix, options ...string) ([]byte, error) {
	patch := filepath.Join(p.Fixes, fix.name+".patch")
	if fix.of != "" {
		patch = "testdata/kmod/" + fix.name + ".patch"
	}
	if fix.edits != nil {
		patch = filepath.Join(dir, fix.name+".patch")
		var base []kernelrpm.Edit
		for _, f := range kernelFixes {
			if f.name == fix.on {
				base = f.edits
			}
		}
		if err := p.Patch(t.Context(), patch, base, fix.edits); err != nil {
			return nil, err
		}
	}
	source, name := p.SourceRPM, "HP-"+fix.name
	if fix.on != "" {
		name = "HP-" + fix.on
		found, err := filepath.Glob(filepath.Join(dir, fix.on, "*.src.rpm"))
		if err != nil || len(found) != 1 {
			return nil, fmt.Errorf("%d source packages of %s: %w", len(found), fix.on, err)
		}
		source = found[0]
	}
	output := filepath.Join(dir, fix.name)
	args := []string{"build", "--patch_name", name, "--source", source, "--debuginfo", p.DebuginfoRPM, "--workdir", dir, "--output", output, "--patch", patch}
	if fix.of != "" {
		args = append(args, "--source", filepath.Join(fix.packages, "SRPMS", fix.of+".src.rpm"), "--debuginfo", filepath.Join(fix.packages, "RPMS/x86_64", strings.Replace(fix.of, "-", "-debuginfo-", 1)+".x86_64.rpm"))
	}
	out, err := command(t, append(args, options...)...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", fix.name, err, out)
	}
	found, err := filepath.Glob(filepath.Join(output, "patch-*.rpm"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("%d patch packages of %s: %w", len(found), fix.name, err)
	}
	return os.ReadFile(found[0])
}

// putFile writes a file of the running machine.
func putFile(v *vm.Machine, path string, data []byte) {
	v.Run("base64 -d >" + path + " <<'END'\n" + base64.StdEncoding.EncodeToString(data) + "\nEND")
}

// Fixes of the kernel are built from its packages, installed, and seen from user space
// through the life of a patch, over a boot, until they are removed.
func TestKernelPatchPackages(t *testing.T) {
	needTools(t, "make", "gcc", "pahole", "flex", "bison", "bc")
	k, known := kernels[*kernelName]
	require.True(t, known, *kernelName)
	packages, err := kernelrpm.Make(t.Context(), k, writerFunc(func(p []byte) (int, error) { return len(p), nil }))
	require.NoError(t, err)
	fixes, module := slices.Clone(kernelFixes), ""
	if k == kernelrpm.Stable {
		for _, f := range kernelrpm.Fixes {
			see := f.Use + "; ls /sys/kernel/livepatch/*/* | grep -c '^" + f.Function + ",1$' || :"
			fixes = append(fixes, kernelFix{name: f.Name, see: see, before: "^0$", after: "^1$"})
		}
		module = modulePackages(t)
		fixes = append(fixes, kernelFix{name: "greeting", of: "greeting-1.0-1", packages: module, see: "modprobe greeting; cat /proc/greeting; rmmod greeting; modprobe greeting; cat /proc/greeting",
			before: `\Ahello \d+\nhello 1\n\z`, after: `\Agood day \d+\ngood day 1\n\z`})
	}
	fixes = slices.DeleteFunc(fixes, func(f kernelFix) bool {
		return *kernelFixNames != "" && !slices.Contains(strings.Split(*kernelFixNames, ","), f.name)
	})
	built := buildKernelPatches(t, packages, fixes)
	v := vm.WithKernel(t, k)
	tool(t, "make", "-C", "..", "install", "DESTDIR="+v.Root)
	if module != "" {
		tool(t, "cp", "-a", filepath.Join(module, "lib/modules", k.Release, "extra"), filepath.Join(v.Root, "lib/modules", k.Release))
		tool(t, "depmod", "-b", v.Root, k.Release)
	}
	v.Enable("syscared.service")
	v.Enable("syscare-restore.service")
	v.Boot()
	v.Run("dmesg -C")

	seen := func(fix kernelFix, want string) {
		t.Helper()
		out := v.Run(fix.see)
		require.Regexp(t, "(?m)"+want, out, fix.name)
	}
	for fix := range built {
		require.NoError(t, fix.err)
		requireWhole(t, fix.rpm)
		putFile(v, "/root/patch.rpm", fix.rpm)
		id := "HP-" + fix.name
		status := func(want string) {
			t.Helper()
			require.Equal(t, cmp.Or(fix.of, kernelTarget(k))+"/"+id+"-"+want+"\n", v.Run("syscare status "+id))
			requireQuiet(t, v)
		}
		seen(fix.kernelFix, fix.before)
		v.Run("rpm -U --nodeps /root/patch.rpm")
		if fix.on != "" { // it comes in the place of an accepted one
			id = "HP-" + fix.on
			status("2-1: ACCEPTED")
			seen(fix.kernelFix, fix.after)
			continue
		}
		status("1-1: NOT-APPLIED")
		v.Run("syscare apply " + id)
		status("1-1: ACTIVED")
		seen(fix.kernelFix, fix.after)
		if fix.edits != nil { // the life of each kind
			v.Run("syscare deactive " + id)
			status("1-1: DEACTIVED")
			seen(fix.kernelFix, fix.before)
			v.Run("syscare active " + id)
			status("1-1: ACTIVED")
		}
		v.Run("syscare accept " + id)
		status("1-1: ACCEPTED")
		seen(fix.kernelFix, fix.after)
	}

	v.Off()
	v.Boot()
	v.Run("dmesg -C")
	last := map[string]kernelFix{} // what is in force of each patch
	for _, fix := range fixes {
		last[cmp.Or(fix.on, fix.name)] = fix
	}
	for _, fix := range fixes {
		if fix.on == "" {
			seen(last[fix.name], last[fix.name].after)
			require.Contains(t, v.Run("syscare status HP-"+fix.name), ": ACCEPTED\n")
		}
	}
	for _, fix := range fixes {
		if fix.on == "" {
			v.Run("syscare remove HP-" + fix.name)
			seen(fix, fix.before)
			v.Run("rpm -e patch-" + cmp.Or(fix.of, kernelTarget(k)) + "-HP-" + fix.name)
			seen(fix, fix.before)
			requireQuiet(t, v)
		}
	}
	require.Empty(t, v.Run("ls /sys/kernel/livepatch; grep ^syscare_ /proc/modules || :"))
}

// The same input gives the same packages, wherever they are made; with a key the module is
// signed.
func TestKernelPatchIsReproducible(t *testing.T) {
	needTools(t, "make", "gcc", "pahole", "flex", "bison", "bc")
	packages, err := kernelrpm.Make(t.Context(), kernelrpm.Stable, writerFunc(func(p []byte) (int, error) { return len(p), nil }))
	require.NoError(t, err)
	one, err := buildKernelPatch(t, packages, t.TempDir(), kernelFixes[0])
	require.NoError(t, err)
	two, err := buildKernelPatch(t, packages, t.TempDir(), kernelFixes[0])
	require.NoError(t, err)
	require.Equal(t, one, two)

	installed := installedModule(t, one)
	m, err := kernel.Read(installed)
	require.NoError(t, err)
	require.Equal(t, installed, moduleByMake(t, packages, m.Name), "whichever way the file is compiled")

	keys := t.TempDir()
	key, certificate := filepath.Join(keys, "key.pem"), filepath.Join(keys, "certificate.pem")
	tool(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=SysCare Test", "-keyout", key, "-out", certificate)
	signed, err := buildKernelPatch(t, packages, keys, kernelFixes[0], "--module_key", key, "--module-certificate", certificate)
	require.NoError(t, err)
	module := filepath.Join(keys, "signed.ko")
	require.NoError(t, os.WriteFile(module, installedModule(t, signed), 0o644))
	require.Equal(t, "SysCare Test\n", tool(t, "modinfo", "-F", "signer", module))
}

// requireWhole wants no part of a function elsewhere, where the kernel would not look for tasks.
func requireWhole(t *testing.T, rpm []byte) {
	t.Helper()
	f, err := object.Read(bytes.NewReader(installedModule(t, rpm)))
	require.NoError(t, err)
	for _, s := range f.Symbols {
		require.NotContains(t, s.Name, ".cold")
	}
}

// installedModule is the livepatch module in a patch package.
func installedModule(t *testing.T, rpm []byte) []byte {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "patch.rpm")
	require.NoError(t, os.WriteFile(path, rpm, 0o644))
	p, err := rpmfile.Open(path)
	require.NoError(t, err)
	entries, err := p.Extract(t.Context(), dir, rpmfile.ExtractOptions{})
	require.NoError(t, err)
	for _, e := range entries {
		if e.Mode.IsRegular() && filepath.Base(e.Name) != metadata.FileName {
			data, err := os.ReadFile(filepath.Join(dir, e.Name))
			require.NoError(t, err)
			return data
		}
	}
	require.Fail(t, "no module in the package")
	return nil
}

// moduleByMake builds the first fix in the sources that an earlier build has prepared, and
// lets the kernel's build compile all of it.
func moduleByMake(t *testing.T, p *kernelrpm.Packages, name string) []byte {
	t.Helper()
	prepared, err := filepath.Glob(filepath.Join(bin, "cache/syscare/builds/*/out"))
	require.NoError(t, err)
	require.Len(t, prepared, 1)
	dir := filepath.Dir(prepared[0])
	k, err := specgen.OpenKernel(filepath.Join(dir, "debuginfo"))
	require.NoError(t, err)
	vmlinux, err := object.Open(k.Vmlinux)
	require.NoError(t, err)
	defer vmlinux.Close()
	tree := &kernelbuild.Tree{Source: filepath.Join(dir, "topdir/BUILD/linux-source-6.1"), Out: prepared[0], ByMake: true, Jobs: 2}
	require.NoError(t, kernelbuild.Open(t.Context(), tree, vmlinux))
	work := t.TempDir()
	patch := filepath.Join(work, "fix.patch")
	require.NoError(t, p.Patch(t.Context(), patch, nil, kernelFixes[0].edits))
	made, err := kernelbuild.Build(t.Context(), kernelbuild.Request{Tree: tree, Vmlinux: k.Vmlinux, Modules: k.Modules, WorkDir: work, Patches: []string{patch}, Strip: 1, Name: name})
	require.NoError(t, err)
	return made.Module
}

// Packages that do not go together are told before anything is done.
func TestKernelPackagesThatDoNotFit(t *testing.T) {
	needTools(t, "make", "gcc")
	packages, err := kernelrpm.Make(t.Context(), kernelrpm.Stable, writerFunc(func(p []byte) (int, error) { return len(p), nil }))
	require.NoError(t, err)
	module := modulePackages(t)
	source, debuginfo := filepath.Join(module, "SRPMS/greeting-1.0-1.src.rpm"), filepath.Join(module, "RPMS/x86_64/greeting-debuginfo-1.0-1.x86_64.rpm")
	for name, row := range map[string]struct {
		args []string
		says string
	}{
		"two programs":                   {[]string{"--source", source, "--source", packages.SourceRPM, "--debuginfo", debuginfo}, "2 source packages: give one, or that of a module and that of the kernel"},
		"no debuginfo of the module":     {[]string{"--source", source, "--source", packages.SourceRPM, "--debuginfo", packages.DebuginfoRPM}, "--debuginfo: that of the module is missing"},
		"another kernel's source":        {[]string{"--source", source, "--source", source, "--debuginfo", debuginfo, "--debuginfo", packages.DebuginfoRPM}, "none of the packages is kernel-6.1.190-1.src.rpm"},
		"a module's source as the first": {[]string{"--source", source, "--debuginfo", packages.DebuginfoRPM}, "it was built from kernel-6.1.190-1.src.rpm, the source package is greeting-1.0-1.src.rpm"},
		"two kernels":                    {[]string{"--source", packages.SourceRPM, "--debuginfo", packages.DebuginfoRPM, "--debuginfo", packages.DebuginfoRPM}, "are both of kernels"},
		"a key without its certificate":  {[]string{"--source", packages.SourceRPM, "--debuginfo", packages.DebuginfoRPM, "--module-key", source}, "--module_key and --module_certificate go together"},
	} {
		t.Run(name, func(t *testing.T) {
			r := syscare(t, append([]string{"build", "--patch_name", "HP001", "--workdir", t.TempDir(), "--output", t.TempDir(), "--patch", "testdata/kmod/greeting.patch"}, row.args...)...)
			require.NotZero(t, r.code)
			require.Contains(t, r.stderr, row.says)
		})
	}
}

// What cannot be patched is refused, with the reason, the function and the file.
func TestKernelFixesThatAreRefused(t *testing.T) {
	needTools(t, "make", "gcc", "pahole", "flex", "bison", "bc")
	packages, err := kernelrpm.Make(t.Context(), kernelrpm.Stable, writerFunc(func(p []byte) (int, error) { return len(p), nil }))
	require.NoError(t, err)
	dir := t.TempDir()
	for name, row := range map[string]struct {
		edit kernelrpm.Edit
		says string
	}{
		"data": {kernelrpm.Edit{File: "kernel/fork.c", Old: "int max_threads;", New: "int max_threads = 7;"},
			`kernel/fork\.c: max_threads: the initial value of existing data changed`},
		"init": {kernelrpm.Edit{File: "kernel/fork.c", Old: "void __init fork_init(void)\n{\n", New: "void __init fork_init(void)\n{\n\tpr_info(\"more\\n\");\n"},
			`kernel/fork\.c: fork_init: it is an __init function`},
		"static key": {kernelrpm.Edit{File: "net/core/dev.c", Old: "static DEFINE_STATIC_KEY_FALSE(ingress_needed_key);", New: "static DEFINE_STATIC_KEY_TRUE(ingress_needed_key);"},
			`net/core/dev\.c: ingress_needed_key: .*static key`},
		"assembler": {kernelrpm.Edit{File: "arch/x86/lib/memset_64.S", Old: "\tRET\n", New: "\tnop\n\tRET\n"},
			`arch/x86/lib/memset_64\.S: a changed file in assembler`},
		"notrace": {kernelrpm.Edit{File: "kernel/time/timekeeping.c", Old: "\treturn __ktime_get_fast_ns(&tk_fast_mono);", New: "\treturn __ktime_get_fast_ns(&tk_fast_mono) + 1;"},
			`kernel/time/timekeeping\.c: ktime_get_mono_fast_ns: it is not for tracing \(notrace\)`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := buildKernelPatch(t, packages, dir, kernelFix{name: strings.ReplaceAll(name, " ", "-"), edits: []kernelrpm.Edit{row.edit}})
			require.Error(t, err)
			require.Regexp(t, row.says, err.Error())
		})
	}
}
