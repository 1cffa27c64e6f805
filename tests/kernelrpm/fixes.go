package kernelrpm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/openeuler/syscare/tests/debian"
)

// Fix is what the next kernel of Debian has changed in some source files.
type Fix struct {
	Name  string
	CVE   string
	Files []string
	// Function is one that the fix changes, and Use a script that comes through it.
	Function, Use string
}

// Fixes are fixes of vulnerabilities of Stable, each with all that was changed in its files. What
// they change is races and barriers, which nothing shows.
var Fixes = []Fix{
	{Name: "keys", CVE: "CVE-2026-99040", Files: []string{"security/keys/key.c"}, Function: "key_create_or_update",
		Use: `python3 -c 'import ctypes; c = ctypes.CDLL(None); assert c.syscall(248, b"user", b"a", b"b", 1, -2) > 0'`},
	{Name: "rmap", CVE: "CVE-2026-98507", Files: []string{"mm/rmap.c"}, Function: "__anon_vma_prepare", Use: "for i in 1 2 3 4; do /bin/true; done"},
	{Name: "inode", CVE: "CVE-2026-99080", Files: []string{"fs/inode.c"}, Function: "clear_inode",
		Use: "for i in $(seq 50); do echo text >/tmp/file$i; done; sync; rm /tmp/file*; echo 2 >/proc/sys/vm/drop_caches"},
	{Name: "landlock", CVE: "CVE-2026-97594", Files: []string{"security/landlock/fs.c"}, Function: "current_check_refer_path", Use: "touch /tmp/a; mkdir -p /tmp/d; mv /tmp/a /tmp/d/a"},
	{Name: "selinux", CVE: "CVE-2026-99052", Files: []string{"security/selinux/hooks.c"}, Function: "selinux_set_mnt_opts", Use: "mount -t tmpfs none /mnt; umount /mnt"},
	{Name: "em-text", CVE: "CVE-2026-98969", Files: []string{"net/sched/em_text.c"}, Function: "em_text_change", Use: "modprobe em_text; rmmod em_text; modprobe em_text"},
}

// keepSources keeps the sources of the kernel that are needed in dir/trees/a. Where the
// next ones are in dir/next.tar.xz it makes a patch file of each fix in dir/fixes.
func (k Kernel) keepSources(ctx context.Context, dir, now string, log io.Writer) error {
	files := slices.Clone(sources)
	next := filepath.Join(dir, "next.tar.xz")
	if k.next == "" {
		return k.extract(ctx, dir, "a", now, files, log)
	}
	for _, fix := range Fixes {
		files = append(files, fix.Files...)
	}
	for tree, archive := range map[string]string{"a": now, "b": next} {
		if err := k.extract(ctx, dir, tree, archive, files, log); err != nil {
			return err
		}
	}
	work, fixes := filepath.Join(dir, "trees"), filepath.Join(dir, "fixes")
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
	return errors.Join(os.RemoveAll(filepath.Join(work, "b")), os.Remove(next))
}

// extract puts source files of an archive into dir/trees/tree.
func (k Kernel) extract(ctx context.Context, dir, tree, archive string, files []string, log io.Writer) error {
	to := filepath.Join(dir, "trees", tree)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	args := []string{"-xf", archive, "-C", to, "--strip-components=1"}
	for _, file := range slices.Compact(slices.Sorted(slices.Values(files))) { // tar finds each once
		args = append(args, k.source()+"/"+file)
	}
	return debian.Run(ctx, dir, log, "tar", args...)
}
