package diff

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
)

// Whatever the bytes of a kernel's object, comparing it ends.
func FuzzLivepatch(f *testing.F) {
	type kernel struct {
		KernelTarget
		units []KernelUnit
	}
	var kernels [2]kernel
	for i, k := range []Kernel{{Sizes: kernelSizes}, ibtKernel} {
		dir := f.TempDir()
		kernels[i].KernelTarget, kernels[i].units = compiledKernelFor(f, dir, k, kernelUnit{name: "a.c", text: specialFunctions})
		patched, err := os.ReadFile(filepath.Join(dir, "a.c.patched.o"))
		require.NoError(f, err)
		f.Add(patched, byte(i), uint32(0), byte(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, table byte, at uint32, value byte) {
		file, err := object.Read(newReader(data))
		if err != nil {
			return
		}
		// Most changes of a whole object miss what this is about: one more in a table.
		if s := file.Section(specialSections[int(table/2)%len(specialSections)].name); s != nil && s.Size > 0 {
			contents, err := s.Bytes()
			if i := bytes.Index(data, contents); err == nil && i >= 0 && len(contents) > 0 {
				data = bytes.Clone(data)
				data[i+int(at)%len(contents)] = value
				if file, err = object.Read(newReader(data)); err != nil {
					return
				}
			}
		}
		k := kernels[table%2]
		unit := k.units[0]
		unit.Patched = file
		_, _ = BuildLivepatch(k.KernelTarget, []KernelUnit{unit}, Options{})
	})
}

// Whatever the bytes of a vmlinux, reading what it exports ends.
func FuzzExports(f *testing.F) {
	dir := f.TempDir()
	compiledKernel(f, dir, kernelUnit{name: "a.c", text: specialFunctions})
	kernel, err := os.ReadFile(filepath.Join(dir, "vmlinux"))
	require.NoError(f, err)
	f.Add(kernel)
	f.Fuzz(func(t *testing.T, data []byte) {
		if file, err := object.Read(newReader(data)); err == nil {
			_, _ = ReadExports(file)
		}
	})
}
