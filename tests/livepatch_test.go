package tests

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/kernel"
	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/state/metadata"
	"github.com/openeuler/syscare/tests/vm"
)

// kernelEntity is the entity of the patch of the kernel.
const kernelEntity = "5b0a3f0c-6a51-4c62-9d2e-0c4d3a2b1f00"

// livepatchModules compiles the modules of testdata/livepatch for the kernel of a
// machine, with Debian's headers for it.
func livepatchModules(t *testing.T, v *vm.Machine) (dir string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(v.Root, "lib/modules/*"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	headers := kernelHeaders(t, filepath.Base(found[0]))
	dir = t.TempDir()
	copyTo(t, "testdata/livepatch/by_hand.h", filepath.Join(dir, "by_hand.h"))
	sources, err := filepath.Glob("testdata/livepatch/*.c")
	require.NoError(t, err)
	var objects []string
	for _, path := range sources {
		copyTo(t, path, filepath.Join(dir, filepath.Base(path)))
		objects = append(objects, strings.TrimSuffix(filepath.Base(path), ".c")+".o")
	}
	// That of a patch is called after its entity.
	named := kernel.NameFor(kernelEntity)
	copyTo(t, "testdata/livepatch/cmdline.c", filepath.Join(dir, named+".c"))
	objects = append(objects, named+".o")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Makefile"), []byte("obj-m := "+strings.Join(objects, " ")+"\n"), 0o644))
	tool(t, "make", "-C", headers, "M="+dir, "modules")
	return dir
}

// kernelHeaders gives the directory in which Debian's build of a kernel can be gone on with.
func kernelHeaders(t *testing.T, release string) string {
	t.Helper()
	headers := "/usr/src/linux-headers-" + release
	if _, err := os.Stat(headers); err != nil {
		if os.Getenv("CI") == "" && os.Geteuid() != 0 {
			t.Skip("needs " + headers)
		}
		tool(t, "apt-get", "-q", "update")
		tool(t, "apt-get", "-q", "install", "-y", "--no-install-recommends", "linux-headers-"+release)
	}
	return headers
}

// Modules that were written by hand go into the kernel of a machine and out of it, alone
// and as a patch: all tasks run the new code, or none does.
func TestKernelOfAMachine(t *testing.T) {
	needTools(t, "make", "gcc")
	v := vm.New(t)
	dir := livepatchModules(t, v)
	tool(t, "make", "-C", "..", "install", "DESTDIR="+v.Root)
	v.Enable("syscared.service")
	v.Enable("syscare-restore.service")
	tool(t, "sh", "-c", "cp "+dir+"/*.ko "+v.Root+"/root/ && sed 's/vermagic=6[.]1/vermagic=6.9/' "+dir+"/cmdline.ko > "+v.Root+"/root/other.ko")
	tool(t, "strip", "-g", v.Root+"/root/cmdline.ko")
	v.Boot()
	v.Run("dmesg -C") // what an emulated processor makes it say while it boots
	livepatchModulesGoInAndOut(t, v)
	kernelPatchLives(t, v)
}

// requireQuiet wants nothing alarming in the kernel's log.
func requireQuiet(t *testing.T, v *vm.Machine) {
	t.Helper()
	require.NotRegexp(t, `(?i)\b(warning:|oops|bug:|call trace|lockdep)`, v.Run("dmesg"))
}

func livepatchModulesGoInAndOut(t *testing.T, v *vm.Machine) {
	quiet := func() {
		t.Helper()
		requireQuiet(t, v)
		require.Empty(t, v.Run("ls /sys/kernel/livepatch"))
	}
	original := v.Run("cat /proc/cmdline")
	for range 3 {
		v.Run("syscare apply --object /root/cmdline.ko")
		require.Equal(t, "patched\n", v.Run("cat /proc/cmdline"))
		require.Equal(t, "1\n0\n", v.Run("cd /sys/kernel/livepatch/cmdline; cat enabled transition"))
		v.Run("syscare apply --object /root/cmdline.ko") // it is there
		v.Run("syscare remove --object /root/cmdline.ko")
		require.Equal(t, original, v.Run("cat /proc/cmdline"))
		require.Empty(t, v.Run("grep ^cmdline /proc/modules || :"))
		quiet()
	}

	// A task sleeps in the function that is replaced.
	v.Run("systemd-run --unit=reader python3 -c 'import os; fd = os.eventfd(0); os.eventfd_read(fd)'; sleep 2")
	out, code := v.Try("syscare apply --timeout 4s --object /root/eventfd.ko 2>&1")
	require.Equal(t, 4, code, out)
	require.Regexp(t, `the code to be changed is in use: eventfd: tasks are in code that is being replaced: .*python3 \(\d+\) in .*eventfd_read`, out)
	require.Empty(t, v.Run("grep ^eventfd /proc/modules || :"), "as before")
	quiet()

	// The kernel goes on when we are killed, and whoever comes next finds it on its way.
	v.Run("syscare apply --timeout 60s --object /root/eventfd.ko >/dev/null 2>&1 & sleep 3; kill -9 $!; cat /sys/kernel/livepatch/eventfd/transition | grep 1")
	out, code = v.Try("syscare apply --timeout 1s --object /root/eventfd.ko 2>&1")
	require.Equal(t, 4, code, out)
	v.Run("systemctl stop reader")
	v.Run("syscare apply --object /root/eventfd.ko")
	require.Contains(t, v.Run("python3 -c 'import os; os.eventfd_read(os.eventfd(1))' 2>&1 || :"), "Errno 74")
	v.Run("syscare remove --object /root/eventfd.ko")
	quiet()

	for name, row := range map[string]struct {
		code int
		says string
	}{
		"other.ko":   {5, "the patch is for another kernel: for 6.9"},
		"nowhere.ko": {1, "the kernel refused the patch nowhere: .*a function that it replaces .* is not there.*its log says: .*no_such_function"},
	} {
		out, code := v.Try("syscare apply --object /root/" + name + " 2>&1")
		require.Equal(t, row.code, code, out)
		require.Regexp(t, row.says, out)
		quiet()
	}
	out, code = v.Try("syscare apply --object $(find /lib/modules -name ext4.ko -o -name loop.ko | head -1) 2>&1")
	require.Equal(t, 5, code, out)
	require.Contains(t, out, "not a livepatch module")
}

// kernelPatchLives takes a patch through its life, over a boot.
func kernelPatchLives(t *testing.T, v *vm.Machine) {
	named := kernel.NameFor(kernelEntity)
	notes, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(v.Run("base64 /sys/kernel/notes"), "\n", ""))
	require.NoError(t, err)
	sum := strings.Fields(v.Run("sha256sum /root/" + named + ".ko"))[0]
	p := &metadata.Patch{
		Schema: metadata.SchemaVersion, UUID: "0d4b7a52-3a5c-4f0e-8f43-1d7f3b8c9e00", Name: "HP001", Version: "1", Release: "1", Arch: "x86_64",
		Type: metadata.KernelPatch, License: "GPL-2.0", Description: "by hand",
		Target:   metadata.Package{Name: "kernel", Version: "6.1.0", Release: "1", Arch: "x86_64"},
		Entities: []metadata.Entity{{UUID: kernelEntity, Name: "vmlinux", BuildID: object.BuildIDInNotes(notes, 4), File: kernelEntity, Digest: sum, Functions: []string{"cmdline_proc_show"}}},
		Patches:  []metadata.SourcePatch{{Name: "by-hand.patch", Digest: sum}},
	}
	p.Digest = p.ComputeDigest()
	text, err := p.Encode()
	require.NoError(t, err)
	dir := "/usr/lib/syscare/patches/" + p.UUID
	v.Run("mkdir " + dir + "; cp /root/" + named + ".ko " + dir + "/" + kernelEntity + "; base64 -d >" + dir + "/patch.json <<<" + base64.StdEncoding.EncodeToString(text) + "; chmod 644 " + dir + "/*")

	const name = "kernel-6.1.0-1/HP001-1-1"
	original := v.Run("cat /proc/cmdline")
	move := func(verb, state, line string) {
		t.Helper()
		require.Contains(t, v.Run("syscare --verbose "+verb+" HP001 2>&1"), name+": "+state)
		require.Equal(t, name+": "+state+"\n", v.Run("syscare status HP001"))
		require.Equal(t, line, v.Run("cat /proc/cmdline"))
		requireQuiet(t, v)
	}
	require.Equal(t, name+": NOT-APPLIED\n", v.Run("syscare status HP001"))
	require.Contains(t, v.Run("syscare info HP001"), "type:        KernelPatch")
	for range 2 {
		move("apply", "ACTIVED", "patched\n")
		move("deactive", "DEACTIVED", original)
		move("active", "ACTIVED", "patched\n")
		move("remove", "NOT-APPLIED", original)
	}
	require.Empty(t, v.Run("grep ^syscare_ /proc/modules || :"))
	move("apply", "ACTIVED", "patched\n")
	require.Contains(t, v.Run("syscare --verbose status HP001 2>&1"), "process 0 (kernel), vmlinux: patched")
	v.Run("echo 0 >/sys/kernel/livepatch/" + named + "/enabled; sleep 3; rmmod " + named) // by hand
	require.Equal(t, name+": NOT-APPLIED\n", v.Run("syscare status HP001"), "what status says is what is in the kernel")
	move("apply", "ACTIVED", "patched\n")
	move("accept", "ACCEPTED", "patched\n")

	v.Off()
	v.Boot()
	require.Equal(t, "patched\n", v.Run("cat /proc/cmdline"), "it is back after the boot")
	v.Run("dmesg -C")
	require.Equal(t, name+": ACCEPTED\n", v.Run("syscare status HP001"))
	move("remove", "NOT-APPLIED", original)
}
