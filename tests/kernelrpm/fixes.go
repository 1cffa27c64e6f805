package kernelrpm

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/openeuler/syscare/tests/debian"
)

// Fix is what the next kernel of Debian has changed in some source files.
type Fix struct {
	Name  string
	CVE   string
	Files []string
}

// Fixes are fixes of vulnerabilities, each with all that was changed in its files.
var Fixes = []Fix{}

// makeFixes makes a patch file of each fix in dir/fixes, and keeps the sources of this
// kernel that are needed in dir/trees/a.
func makeFixes(ctx context.Context, dir, now, next string, log io.Writer) error {
	work := filepath.Join(dir, "trees")
	fixes := filepath.Join(dir, "fixes")
	for tree, archive := range map[string]string{"a": now, "b": next} {
		args := []string{"-xf", archive, "-C", filepath.Join(work, tree), "--strip-components=1"}
		for _, file := range sources {
			args = append(args, "linux-source-6.1/"+file)
		}
		for _, fix := range Fixes {
			for _, file := range fix.Files {
				args = append(args, "linux-source-6.1/"+file)
			}
		}
		if err := os.MkdirAll(filepath.Join(work, tree), 0o755); err != nil {
			return err
		}
		if err := debian.Run(ctx, dir, log, "tar", args...); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(fixes, 0o755); err != nil {
		return err
	}
	for _, fix := range Fixes {
		var patch []byte
		for _, file := range fix.Files {
			one, err := difference(ctx, work, file)
			if err != nil {
				return fmt.Errorf("fix %s: %w", fix.Name, err)
			}
			patch = append(patch, one...)
		}
		if err := os.WriteFile(filepath.Join(fixes, fix.Name+".patch"), patch, 0o644); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(work, "b"))
}
