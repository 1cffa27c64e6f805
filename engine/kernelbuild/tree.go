package kernelbuild

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/object"
)

// Tree is a kernel's source tree that is ready to compile single files.
type Tree struct {
	Source string // the sources
	Out    string // where the kernel's build writes
	// Module is the directory with the sources of modules that are no part of the kernel,
	// to which the fix belongs; "": it belongs to the kernel.
	Module  string
	Release string // as uname -r says it on the shipped kernel
	// Sizes are those of the structures in the tables beside the code.
	Sizes map[string]int
	CC    string // the compiler
	IBT   bool   // see diff.Kernel
	// ByMake lets the kernel's build compile each file for comparison as well, instead of
	// the command that it notes. That takes longer, and is done by itself where the build
	// runs tools on objects without noting it (before Linux 5.18).
	ByMake bool
	Jobs   int
	Log    io.Writer // gets each command with its output
}

// checkPath refuses names that make or a shell would take apart.
func checkPath(path string) error {
	if strings.ContainsAny(path, " \t\n:;&|<>()$`\\\"'*?[]#%") {
		return fmt.Errorf("%s: the kernel's build cannot be given paths with blanks or colons, or what has a meaning to make or a shell", path)
	}
	return nil
}

// Prepare configures the sources in source as the kernel in vmlinux was, into out. Config
// is the configuration of that kernel.
func Prepare(ctx context.Context, t *Tree, vmlinux *object.File, config []byte) error {
	if err := t.know(vmlinux, config); err != nil {
		return err
	}
	if err := errors.Join(checkPath(t.Source), checkPath(t.Out)); err != nil {
		return err
	}
	if err := os.MkdirAll(t.Out, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(t.Out, ".config"), config, 0o644); err != nil {
		return err
	}
	if err := t.make(ctx, "olddefconfig"); err != nil {
		return fmt.Errorf("configure the kernel: %w", err)
	}
	made, err := os.ReadFile(filepath.Join(t.Out, ".config"))
	if err != nil {
		return err
	}
	if err := sameConfig(config, made); err != nil {
		return err
	}
	exports, err := diff.ReadExports(vmlinux)
	if err != nil {
		return fmt.Errorf("vmlinux: %w", err)
	}
	if err := os.WriteFile(filepath.Join(t.Out, "Module.symvers"), symvers(exports), 0o644); err != nil {
		return err
	}
	if err := t.make(ctx, "modules_prepare"); err != nil {
		return fmt.Errorf("prepare the kernel's sources: %w", err)
	}
	t.Sizes, err = t.readSizes(ctx)
	return err
}

// Open is a tree that Prepare has made before.
func Open(ctx context.Context, t *Tree, vmlinux *object.File) error {
	config, err := os.ReadFile(filepath.Join(t.Out, ".config"))
	if err != nil {
		return err
	}
	if err := t.know(vmlinux, config); err != nil {
		return err
	}
	t.Sizes, err = t.readSizes(ctx)
	return err
}

// know sets what the kernel and its configuration say.
func (t *Tree) know(vmlinux *object.File, config []byte) (err error) {
	if t.Release, err = ReadRelease(vmlinux); err != nil {
		return err
	}
	t.IBT = hasIBT(config)
	t.CC, err = compiler(config)
	return err
}

// fixed is the directory with the sources that the fix is for.
func (t *Tree) fixed() string {
	if t.Module != "" {
		return t.Module
	}
	return t.Source
}

// make runs the kernel's build.
func (t *Tree) make(ctx context.Context, targets ...string) error {
	argv := append([]string{"make", "-C", t.Source, "O=" + t.Out, "CC=" + t.CC, "KERNELRELEASE=" + t.Release, "-j" + strconv.Itoa(t.Jobs)}, targets...)
	return build.RunCommand(ctx, t.Log, t.Out, environment(), argv)
}

// makeModule runs the kernel's build for a module outside its tree.
func (t *Tree) makeModule(ctx context.Context, dir string, targets ...string) error {
	return t.make(ctx, append([]string{"M=" + dir}, targets...)...)
}

// environment leaves nothing to chance that the kernel's build reads from it.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "CFLAGS", "KCFLAGS", "KAFLAGS", "KCPPFLAGS", "LDFLAGS", "ARCH", "SUBARCH", "CROSS_COMPILE", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL",
			"KBUILD_OUTPUT", "KERNELRELEASE", "LOCALVERSION", "KBUILD_EXTMOD", "M", "O", "V", "W", "C", "CF", "CC", "HOSTCC", "LLVM":
			return true
		}
		return strings.HasPrefix(name, "KBUILD_")
	})
	return append(env, "LC_ALL=C", "KBUILD_BUILD_TIMESTAMP=@0", "KBUILD_BUILD_USER=syscare", "KBUILD_BUILD_HOST=syscare")
}

// banner begins with what every kernel says of itself.
var banner = regexp.MustCompile(`Linux version (\S{1,64}) \(`)

// ReadRelease reads from vmlinux what uname -r says on that kernel.
func ReadRelease(vmlinux *object.File) (string, error) {
	for _, s := range vmlinux.Symbols {
		if s.Name != "linux_banner" || s.Section == nil || s.Type != elf.STT_OBJECT {
			continue
		}
		data, err := s.Section.Bytes()
		if err != nil {
			return "", err
		}
		start := s.Value - uint64(s.Section.Address)
		if start > uint64(len(data)) {
			break
		}
		data = data[start:min(start+1024, uint64(len(data)))]
		if m := banner.FindSubmatch(data); m != nil {
			return string(m[1]), nil
		}
	}
	return "", fmt.Errorf("vmlinux does not say which kernel it is (linux_banner): give the debuginfo package of the kernel")
}

var compilerText = regexp.MustCompile(`(?m)^CONFIG_CC_VERSION_TEXT="(\S+)`)

// compiler is the command that the configuration names, if it is here, else gcc.
func compiler(config []byte) (string, error) {
	names := []string{"gcc"}
	if m := compilerText.FindSubmatch(config); m != nil {
		names = []string{filepath.Base(string(m[1])), "gcc"}
	}
	for _, name := range names {
		if strings.HasSuffix(name, "clang") {
			return "", fmt.Errorf("the kernel was compiled by clang: only kernels compiled by gcc can be patched")
		}
		if _, err := exec.LookPath(name); err == nil {
			return name, nil
		}
	}
	return "", fmt.Errorf("no compiler %s; install it", strings.Join(names, " or "))
}

// hasIBT reads from a configuration whether the processor checks indirect branches.
func hasIBT(config []byte) bool { return options(config)["CONFIG_X86_KERNEL_IBT"] == "y" }

// symvers is the file Module.symvers, by which modules are linked: of what the shipped
// kernel itself exports.
func symvers(exports map[string]diff.Export) []byte {
	var names []string
	for name := range exports {
		names = append(names, name)
	}
	slices.Sort(names)
	var out bytes.Buffer
	for _, name := range names {
		e := exports[name]
		kind := "EXPORT_SYMBOL"
		if e.GPL {
			kind += "_GPL"
		}
		fmt.Fprintf(&out, "0x%08x\t%s\tvmlinux\t%s\t%s\n", e.CRC, name, kind, e.Namespace)
	}
	return out.Bytes()
}
