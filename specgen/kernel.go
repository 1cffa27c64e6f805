package specgen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/openeuler/syscare/engine/kernelbuild"
	"github.com/openeuler/syscare/specgen/rpmfile"
)

// Kernel is what the packages of a kernel have for building patches of it, unpacked.
type Kernel struct {
	Vmlinux    string
	TargetPath string // where its debuginfo was made from
	Modules    []kernelbuild.ModuleFile
	// Config is a file with the kernel's configuration, "" if no package has one.
	Config string
}

// modulePlace matches the files of modules: /usr/lib/debug/lib/modules/RELEASE/kernel/PLACE.ko.debug.
var modulePlace = regexp.MustCompile(`/lib/modules/[^/]+/(?:kernel|extra|updates)/(.+)\.ko(?:\.debug)?$`)

// IsKernel reports whether a package has the debug information of a kernel.
func IsKernel(p *rpmfile.Package) bool {
	return slices.ContainsFunc(p.Files, func(name string) bool { return isVmlinux(strings.TrimPrefix(name, "/")) })
}

func isVmlinux(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(name, debugRoot) && (base == "vmlinux" || base == "vmlinux.debug" || strings.HasPrefix(base, "vmlinux-"))
}

// isConfig recognises the configuration, which packages of kernels and of their headers
// have.
func isConfig(name string) bool {
	base, dir := path.Base(name), path.Dir(name)
	return dir == "boot" && strings.HasPrefix(base, "config-") || base == "config" && strings.HasPrefix(dir, "lib/modules/") && strings.Count(dir, "/") == 2 ||
		base == ".config" && strings.HasPrefix(dir, "usr/src/")
}

// ExtractKernel unpacks what is needed of the packages of one kernel into dir, after
// checking that they belong to the source package.
func ExtractKernel(ctx context.Context, files []string, source *rpmfile.Package, dir string) (*Kernel, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, file := range files {
		p, err := openBuiltFrom(file, source)
		if err != nil {
			return nil, err
		}
		if _, err := p.Extract(ctx, dir, rpmfile.ExtractOptions{Filter: func(e rpmfile.Entry) bool {
			return e.Mode.IsRegular() && (isVmlinux(e.Name) || isConfig(e.Name) || strings.HasPrefix(e.Name, debugRoot) && modulePlace.MatchString(e.Name))
		}}); err != nil {
			return nil, err
		}
	}
	return OpenKernel(dir)
}

// ExtractModules unpacks the debug information of the modules in packages that belong to
// another source package than the kernel's.
func ExtractModules(ctx context.Context, files []string, source *rpmfile.Package, dir string) ([]kernelbuild.ModuleFile, error) {
	var modules []kernelbuild.ModuleFile
	for i, file := range files {
		p, err := openBuiltFrom(file, source)
		if err != nil {
			return nil, err
		}
		into := filepath.Join(dir, strconv.Itoa(i))
		if err := os.MkdirAll(into, 0o755); err != nil {
			return nil, err
		}
		entries, err := p.Extract(ctx, into, rpmfile.ExtractOptions{Filter: func(e rpmfile.Entry) bool {
			return e.Mode.IsRegular() && modulePlace.MatchString(e.Name)
		}})
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			modules = append(modules, kernelbuild.ModuleFile{Path: filepath.Join(into, e.Name), Place: modulePlace.FindStringSubmatch(e.Name)[1]})
		}
	}
	if len(modules) == 0 {
		return nil, fmt.Errorf("the packages %s have no kernel module: %w", strings.Join(files, ", "), ErrNoDebugFiles)
	}
	return modules, nil
}

// ModuleSources is the directory in the prepared sources that the kernel's build is to be
// called for: the one with the file that says what modules there are.
func (t *Tree) ModuleSources() (string, error) {
	var found []string
	root := filepath.Join(t.Topdir, "BUILD")
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() != "Kbuild" && d.Name() != "Makefile" {
			return err
		}
		text, err := os.ReadFile(file)
		if dir := filepath.Dir(file); err == nil && modulesListed.Match(text) && !slices.Contains(found, dir) {
			found = append(found, dir)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	// One that the others are below is the one that leads to them.
	for _, dir := range found {
		if !slices.ContainsFunc(found, func(other string) bool { return other != dir && !strings.HasPrefix(other, dir+"/") }) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%d directories of its prepared sources say which kernel modules there are (obj-m), and none leads to all: one is needed", len(found))
}

var modulesListed = regexp.MustCompile(`(?m)^\s*obj-(?:m|\$\(\S+\))\s*[:+]?=`)

// OpenKernel finds what ExtractKernel has unpacked.
func OpenKernel(dir string) (*Kernel, error) {
	k := &Kernel{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		m := modulePlace.FindStringSubmatch(name)
		switch {
		case isVmlinux(name) && k.Vmlinux != "":
			return fmt.Errorf("the packages have several kernels: %s and %s; give those of one", k.Vmlinux, file)
		case isVmlinux(name):
			k.Vmlinux, k.TargetPath = file, path.Clean("/"+strings.TrimSuffix(strings.TrimPrefix(name, debugRoot), ".debug"))
		case m != nil:
			k.Modules = append(k.Modules, kernelbuild.ModuleFile{Path: file, Place: m[1]})
		case isConfig(name):
			k.Config = file
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if k.Vmlinux == "" {
		return nil, fmt.Errorf("the packages have no vmlinux: %w", ErrNoDebugFiles)
	}
	return k, nil
}

// ErrNoKernelSources says that a source package has no kernel in it.
var ErrNoKernelSources = errors.New("its preparation made no source tree of a kernel")

// KernelSources is the directory with the prepared sources of a kernel, of which the
// package may hold others beside.
func (t *Tree) KernelSources() (string, error) {
	found := ""
	root := filepath.Join(t.Topdir, "BUILD")
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil || !d.IsDir() {
			return err
		}
		if isKernelTree(file) {
			if found != "" {
				return fmt.Errorf("%w: several: %s and %s", ErrNoKernelSources, found, file)
			}
			found = file
			return fs.SkipDir
		}
		if strings.Count(name, "/") >= 3 {
			return fs.SkipDir
		}
		return nil
	})
	if err == nil && found == "" {
		err = ErrNoKernelSources
	}
	return found, err
}

func isKernelTree(dir string) bool {
	for _, name := range []string{"Kbuild", "Kconfig", "kernel/fork.c", "scripts/Kbuild.include"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// KernelConfig gives the configuration that the packages or the prepared sources have; nil
// if there is none.
func (t *Tree) KernelConfig(k *Kernel, sources, release, arch string) ([]byte, error) {
	candidates := []string{filepath.Join(sources, ".config")}
	if k.Config != "" {
		candidates = append([]string{k.Config}, candidates...)
	}
	for _, pattern := range []string{"configs/kernel-*" + arch + ".config", "../configs/kernel-*" + arch + ".config"} { // Fedora's
		found, err := filepath.Glob(filepath.Join(sources, pattern))
		if err != nil {
			return nil, err
		}
		if len(found) == 1 {
			candidates = append(candidates, found[0])
		}
	}
	for _, name := range []string{"config-" + release, "kernel-" + arch + ".config", "config-" + arch, ".config"} {
		candidates = append(candidates, filepath.Join(t.Topdir, "SOURCES", name))
	}
	for _, file := range candidates {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return data, err
	}
	return nil, nil
}
