package kernelrpm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Edit changes the first place in a source file that has a text. An empty Old is the
// place before the first function-like definition after the last #include.
type Edit struct {
	File, Old, New string
}

// sources are the files that Edits are for.
var sources = []string{
	"fs/proc/cmdline.c", "fs/proc/version.c", "fs/proc/loadavg.c", "fs/proc/uptime.c", "fs/proc/fd.h", "fs/proc/fd.c", "drivers/net/dummy.c",
	"kernel/fork.c", "kernel/sys.c", "kernel/sched/core.c", "net/core/dev.c", "security/selinux/ss/policydb.c", "arch/x86/lib/memset_64.S",
}

// Patch writes a patch file of the edits.
func (p *Packages) Patch(ctx context.Context, path string, edits ...Edit) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), "edited")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var files []string
	texts := map[string]string{}
	for _, e := range edits {
		text, known := texts[e.File]
		if !known {
			data, err := os.ReadFile(filepath.Join(p.Sources, e.File))
			if err != nil {
				return err
			}
			files = append(files, e.File)
			text = string(data)
		}
		if e.Old == "" {
			at := strings.LastIndex(text, "#include")
			e.Old = text[at : at+strings.Index(text[at:], "\n")+1]
			e.New = e.Old + e.New
		}
		if !strings.Contains(text, e.Old) {
			return fmt.Errorf("%s has no %q", e.File, e.Old)
		}
		texts[e.File] = strings.Replace(text, e.Old, e.New, 1)
	}
	var patch []byte
	for _, file := range files {
		for tree, text := range map[string]string{"a": "", "b": texts[file]} {
			to := filepath.Join(dir, tree, file)
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return err
			}
			data := []byte(text)
			if tree == "a" {
				if data, err = os.ReadFile(filepath.Join(p.Sources, file)); err != nil {
					return err
				}
			}
			if err := os.WriteFile(to, data, 0o644); err != nil {
				return err
			}
		}
		one, err := difference(ctx, dir, file)
		if err != nil {
			return err
		}
		patch = append(patch, one...)
	}
	return os.WriteFile(path, patch, 0o644)
}

// difference is the patch between a/file and b/file below dir.
func difference(ctx context.Context, dir, file string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "diff", "-u", "--label", "a/"+file, "--label", "b/"+file, filepath.Join("a", file), filepath.Join("b", file))
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		return nil, fmt.Errorf("%s: no difference: %w", file, err)
	}
	return out, nil
}
