package specgen

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/kernelbuild"
)

// What the packages of a kernel have is found by where distributions put it.
func TestOpenKernel(t *testing.T) {
	dir := t.TempDir()
	_, err := OpenKernel(dir)
	require.ErrorIs(t, err, ErrNoDebugFiles)
	const debug = "usr/lib/debug/lib/modules/5.10.0/"
	put(t, filepath.Join(dir, debug, "vmlinux"), "")
	put(t, filepath.Join(dir, debug, "kernel/fs/xfs/xfs.ko.debug"), "")
	put(t, filepath.Join(dir, "lib/modules/5.10.0/config"), "")
	k, err := OpenKernel(dir)
	require.NoError(t, err)
	assert.Equal(t, &Kernel{
		Vmlinux: filepath.Join(dir, debug, "vmlinux"), TargetPath: "/lib/modules/5.10.0/vmlinux", Config: filepath.Join(dir, "lib/modules/5.10.0/config"),
		Modules: []kernelbuild.ModuleFile{{Path: filepath.Join(dir, debug, "kernel/fs/xfs/xfs.ko.debug"), Place: "fs/xfs/xfs"}},
	}, k)
	put(t, filepath.Join(dir, "usr/lib/debug/boot/vmlinux-5.10.1"), "")
	_, err = OpenKernel(dir)
	require.ErrorContains(t, err, "several kernels")
}

// The configuration comes from a package of the kernel, else from its sources.
func TestKernelConfig(t *testing.T) {
	tree := &Tree{Topdir: t.TempDir()}
	sources := filepath.Join(tree.Topdir, "BUILD/kernel/linux")
	config := func(k *Kernel) string {
		t.Helper()
		data, err := tree.KernelConfig(k, sources, "5.10.0", "x86_64")
		require.NoError(t, err)
		return string(data)
	}
	assert.Empty(t, config(&Kernel{}))
	for _, path := range []string{"SOURCES/kernel-x86_64.config", "BUILD/kernel/configs/kernel-5.10.0-x86_64.config", "BUILD/kernel/linux/.config", "packaged"} {
		put(t, filepath.Join(tree.Topdir, path), path)
		k := &Kernel{}
		if path == "packaged" {
			k.Config = filepath.Join(tree.Topdir, path)
		}
		assert.Equal(t, path, config(k))
	}
}

func TestSourcesOfKernelsAndModules(t *testing.T) {
	tree := &Tree{Topdir: t.TempDir()}
	build := filepath.Join(tree.Topdir, "BUILD")
	require.NoError(t, os.MkdirAll(build, 0o755))
	_, err := tree.KernelSources()
	require.ErrorIs(t, err, ErrNoKernelSources)
	for _, name := range []string{"Kbuild", "Kconfig", "kernel/fork.c", "scripts/Kbuild.include"} {
		put(t, filepath.Join(build, "kernel-5.10.0/linux-5.10.0", name), "")
	}
	found, err := tree.KernelSources()
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(build, "kernel-5.10.0/linux-5.10.0"), found)

	_, err = tree.ModuleSources()
	require.ErrorContains(t, err, "0 directories")
	put(t, filepath.Join(build, "driver/src/Makefile"), "obj-$(CONFIG_DRIVER) += driver/\n")
	put(t, filepath.Join(build, "driver/src/driver/Kbuild"), "obj-m := driver.o\n")
	found, err = tree.ModuleSources()
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(build, "driver/src"), found)
	put(t, filepath.Join(build, "driver/other/Makefile"), "obj-m := other.o\n")
	_, err = tree.ModuleSources()
	require.ErrorContains(t, err, "3 directories")
}
