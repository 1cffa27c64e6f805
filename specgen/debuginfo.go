package specgen

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/specgen/rpmfile"
)

// DebugFile is the debug information of one installed ELF file.
type DebugFile struct {
	Path       string // unpacked
	TargetPath string // where the ELF file is installed
	BuildID    object.BuildID
}

// debugRoot is where distributions install debug information.
const debugRoot = "usr/lib/debug/"

// hostArchs are RPM's names of the processors that patches can be built on.
var hostArchs = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64"}

// ExtractDebuginfo unpacks the debuginfo package at file into dir, after
// checking that it belongs to the source package. Files with the same build ID
// count once.
func ExtractDebuginfo(ctx context.Context, file string, source *rpmfile.Package, dir string) ([]DebugFile, error) {
	p, err := openBuiltFrom(file, source)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot unpack %q: %w", file, err)
	}
	entries, err := p.Extract(ctx, dir, rpmfile.ExtractOptions{Filter: func(e rpmfile.Entry) bool {
		return e.Mode.IsRegular() && strings.HasPrefix(e.Name, debugRoot) &&
			(strings.HasSuffix(e.Name, ".debug") || path.Base(e.Name) == "vmlinux")
	}})
	if err != nil {
		return nil, err
	}
	var files []DebugFile
	seen := map[object.BuildID]bool{}
	for _, e := range entries {
		d := DebugFile{Path: filepath.Join(dir, e.Name), TargetPath: targetPath(e.Name, p)}
		f, err := object.Open(d.Path)
		if err != nil {
			return nil, fmt.Errorf("package %q: debug file: %w", file, err)
		}
		d.BuildID = f.BuildID
		if err := f.Close(); err != nil {
			return nil, err
		}
		if d.BuildID != "" && !seen[d.BuildID] {
			seen[d.BuildID] = true
			files = append(files, d)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("package %q: %w", file, ErrNoDebugFiles)
	}
	return files, nil
}

// openBuiltFrom opens a package for this machine that was built from a source package.
func openBuiltFrom(file string, source *rpmfile.Package) (*rpmfile.Package, error) {
	p, err := rpmfile.Open(file)
	if err != nil {
		return nil, err
	}
	if err := p.WantBinary(hostArchs[runtime.GOARCH]); err != nil {
		return nil, err
	}
	if want := source.FullName() + ".src.rpm"; p.SourceRPM != want && p.SourceRPM != source.FullName()+".nosrc.rpm" {
		return nil, fmt.Errorf("package %q: %w: it was built from %s, the source package is %s", file, ErrOtherBuild, p.SourceRPM, want)
	}
	return p, nil
}

// targetPath derives the installed path from that of a debug file:
// /usr/lib/debug/usr/bin/x-<version>-<release>.<arch>.debug, or x.debug.
func targetPath(name string, p *rpmfile.Package) string {
	target := strings.TrimSuffix(strings.TrimPrefix(name, debugRoot), ".debug")
	target = strings.TrimSuffix(target, "-"+p.Version+"-"+p.Release+"."+p.Arch)
	return path.Clean("/" + target)
}
