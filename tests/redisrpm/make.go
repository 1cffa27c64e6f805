package redisrpm

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/openeuler/syscare/tests/debian"
)

// Target is the package that the fixes are for.
const Target = "redis-7.0.15-1"

//go:embed redis.spec
var spec []byte

// Packages says where the packages and patch files lie. They are in a cache
// that others read: copy what is to be changed.
type Packages struct {
	SourceRPM    string
	RPM          string
	DebuginfoRPM string
	// Patches is the directory of Debian's patch files.
	Patches string
}

// PatchFile returns the patch file that delivers the named fix, for instance
// CVE-2025-32023. Every name in Fixes and Refused is known.
func (p *Packages) PatchFile(name string) (string, error) {
	found, err := filepath.Glob(filepath.Join(p.Patches, "*"+name+".patch"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("found %d patch files for %q in %s, want 1", len(found), name, p.Patches)
	}
	return found[0], nil
}

// Tools names the programs that Make needs and does not find here.
func Tools() (missing []string) {
	for _, tool := range []string{"rpmbuild", "find-debuginfo", "debugedit", "eu-strip", "file", "gcc", "make", "patch", "tar", "xz", "apt-get"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	return missing
}

// Make returns the packages, from the cache if they are there; what it does
// otherwise is written to log and takes a minute or two.
func Make(ctx context.Context, log io.Writer) (*Packages, error) {
	if missing := Tools(); len(missing) > 0 {
		return nil, fmt.Errorf("cannot make the packages without %s: run `make setup`", strings.Join(missing, ", "))
	}
	cache, err := debian.Cache()
	if err != nil {
		return nil, err
	}
	unlock, err := debian.Lock(filepath.Join(cache, "redis.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()

	source := filepath.Join(cache, "redis-7.0.15-source")
	if err := debian.Entry(source, func(dir string) error { return fetch(ctx, dir, log) }); err != nil {
		return nil, err
	}
	key, err := buildKey(ctx)
	if err != nil {
		return nil, err
	}
	built := filepath.Join(cache, Target+"-"+key)
	if err := debian.Entry(built, func(dir string) error { return build(ctx, dir, source, log) }); err != nil {
		return nil, err
	}
	return &Packages{
		SourceRPM:    filepath.Join(built, Target+".src.rpm"),
		RPM:          filepath.Join(built, Target+".x86_64.rpm"),
		DebuginfoRPM: filepath.Join(built, "redis-debuginfo-7.0.15-1.x86_64.rpm"),
		Patches:      filepath.Join(source, "debian", "patches"),
	}, nil
}

// buildKey names everything that the packages depend on besides the source.
func buildKey(ctx context.Context) (string, error) {
	h := sha256.New()
	h.Write(spec)
	for _, tool := range [][]string{{"gcc", "-v"}, {"ld", "-v"}, {"rpmbuild", "--version"}, {"eu-strip", "--version"}, {"rpm", "--eval", "%optflags %dist"}} {
		out, err := exec.CommandContext(ctx, tool[0], tool[1:]...).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%s: %w", tool[0], err)
		}
		h.Write(out)
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// build makes the three packages in dir, and checks that each fix applies to
// the tree from which they were built.
func build(ctx context.Context, dir, source string, log io.Writer) error {
	top := filepath.Join(dir, "rpmbuild")
	sources := filepath.Join(top, "SOURCES")
	if err := os.MkdirAll(sources, 0o755); err != nil {
		return err
	}
	specFile := filepath.Join(top, "redis.spec")
	if err := os.WriteFile(specFile, spec, 0o644); err != nil {
		return err
	}
	if err := os.Link(filepath.Join(source, origTarball), filepath.Join(sources, "redis-7.0.15.tar.gz")); err != nil {
		return err
	}
	for line := range strings.SplitSeq(string(spec), "\n") {
		if tag, name, ok := strings.Cut(line, ":"); ok && strings.HasPrefix(tag, "Patch") {
			name = strings.TrimSpace(name)
			if err := os.Link(filepath.Join(source, "debian", "patches", name), filepath.Join(sources, name)); err != nil {
				return err
			}
		}
	}
	// The rpm database of a Debian machine is empty: no dependency can be met.
	// A package must not depend on the name of the machine or on who built it.
	rpmbuild := func(stage string) error {
		return debian.Run(ctx, dir, log, "rpmbuild", stage, "--nodeps",
			"--define", "_topdir "+top, "--define", "dist %{nil}", "--define", "_buildhost localhost",
			"--define", "use_source_date_epoch_as_buildtime 1", "--define", "clamp_mtime_to_source_date_epoch 1",
			specFile)
	}
	if err := rpmbuild("-ba"); err != nil {
		return err
	}

	// rpmbuild removed the tree that it built from; prepare it again.
	if err := rpmbuild("-bp"); err != nil {
		return err
	}
	tree := filepath.Join(top, "BUILD", "redis-7.0.15")
	for _, fix := range append(Fixes(), Refused()...) {
		file, err := (&Packages{Patches: filepath.Join(source, "debian", "patches")}).PatchFile(fix.Name)
		if err != nil {
			return err
		}
		if err := debian.Run(ctx, tree, io.Discard, "patch", "-p1", "-F0", "--dry-run", "-f", "-i", file); err != nil {
			return fmt.Errorf("%s does not apply to the prepared tree: %w", fix.Name, err)
		}
	}

	for _, name := range []string{
		"SRPMS/" + Target + ".src.rpm", "RPMS/x86_64/" + Target + ".x86_64.rpm",
		"RPMS/x86_64/redis-debuginfo-7.0.15-1.x86_64.rpm",
	} {
		if err := os.Rename(filepath.Join(top, name), filepath.Join(dir, filepath.Base(name))); err != nil {
			return err
		}
	}
	return os.RemoveAll(top)
}
