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
// place after the last #include.
type Edit struct {
	File, Old, New string
}

// sources are the files that Edits are for.
var sources = []string{
	"fs/proc/cmdline.c", "fs/proc/version.c", "fs/proc/loadavg.c", "fs/proc/uptime.c", "fs/proc/fd.h", "fs/proc/fd.c", "drivers/net/dummy.c",
	"kernel/fork.c", "kernel/sys.c", "kernel/time/timekeeping.c", "fs/inode.c", "fs/readdir.c", "net/core/dev.c", "security/selinux/ss/policydb.c", "arch/x86/lib/memset_64.S",
}

// Patch writes a patch file of the edits, for sources in which those of base were made.
func (p *Packages) Patch(ctx context.Context, path string, base, edits []Edit) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), "edited")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var patch []byte
	done := map[string]bool{}
	for _, e := range edits {
		if done[e.File] {
			continue
		}
		done[e.File] = true
		data, err := os.ReadFile(filepath.Join(p.Sources, e.File))
		if err != nil {
			return err
		}
		before, err := edit(string(data), e.File, base)
		if err != nil {
			return err
		}
		after, err := edit(before, e.File, edits)
		if err != nil {
			return err
		}
		for tree, text := range map[string]string{"a": before, "b": after} {
			to := filepath.Join(dir, tree, e.File)
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
				return err
			}
		}
		one, err := difference(ctx, dir, e.File)
		if err != nil {
			return err
		}
		patch = append(patch, one...)
	}
	return os.WriteFile(path, patch, 0o644)
}

// edit makes those edits in a text that are for its file.
func edit(text, file string, edits []Edit) (string, error) {
	for _, e := range edits {
		if e.File != file {
			continue
		}
		if e.Old == "" {
			at := strings.LastIndex(text, "#include")
			e.Old = text[at : at+strings.Index(text[at:], "\n")+1]
			e.New = e.Old + e.New
		}
		if !strings.Contains(text, e.Old) {
			return "", fmt.Errorf("%s has no %q", file, e.Old)
		}
		text = strings.Replace(text, e.Old, e.New, 1)
	}
	return text, nil
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
