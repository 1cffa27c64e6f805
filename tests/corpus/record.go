package corpus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/tests/debian"
)

// A Package is a source package of Debian 12.
type Package struct {
	Name    string // of the source package
	Version string // of upstream, "" for any
	Kind    string // daemon, tool, library
	Build   string // by which its build is driven: make, autotools, cmake, meson
	Needs   []string
	// Script builds it in its source tree, in bash; CFLAGS, CXXFLAGS, CPPFLAGS
	// and LDFLAGS are Debian's.
	Script string
	// Targets are the linked files to patch, as patterns of their paths below
	// the tree.
	Targets []string
	// Live is the command that runs the first target, in a directory of its
	// own, with {tree} for the source tree; a library is preloaded into a
	// program that waits if it is empty.
	Live string
	// Driver are the arguments of gcc that make a program of testdata/NAME.c,
	// which does with a library what the fixes are about.
	Driver string
	Fast   bool // one of those that every run of the tests looks at
	Fixes  []Fix
}

// A Fix is one of Debian's patches of a package.
type Fix struct {
	Patch string // file name, below debian/patches
	// Refused is contained in the reason for which the fix cannot be a live
	// patch; "" if it can.
	Refused string
	// Idle says that the fix changes no code of the targets.
	Idle bool
	// Shows is how the fix can be seen from outside, nil if it cannot.
	Shows *Behaviour
	// Better says what an engine would need that takes a refused fix after all.
	Better string
}

// Recorded is a package that was built behind the compiler front.
type Recorded struct {
	*Package
	Tree      string
	Series    []string // paths of all of Debian's patches, in order
	Recording *build.Recording
	Seconds   float64 // that the build took
	work      string
	front     string
}

// Record builds the package, or takes what an earlier run left in the cache.
// Front is the path of syscare-cc.
func (p *Package) Record(ctx context.Context, front string, log io.Writer) (*Recorded, error) {
	cache, err := debian.Cache()
	if err != nil {
		return nil, err
	}
	key, err := p.key(ctx, front)
	if err != nil {
		return nil, err
	}
	// Recorded commands name absolute paths, so it is made where it stays.
	dir := filepath.Join(cache, "corpus", p.Name+"-"+key)
	unlock, err := p.lock(cache)
	if err != nil {
		return nil, err
	}
	defer unlock()
	// Builds remember the path of their compiler, which leads to the front: it
	// has to stay as long as the recording.
	own := filepath.Join(dir, "syscare-cc")
	r := &Recorded{Package: p, Tree: filepath.Join(dir, "tree"), work: dir, front: own}
	whole := filepath.Join(dir, "whole")
	if _, err := os.Stat(whole); err != nil {
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		if err := copyProgram(front, own); err != nil {
			return nil, err
		}
		if err := p.build(ctx, dir, own, log); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		if err := os.WriteFile(whole, nil, 0o644); err != nil {
			return nil, err
		}
	}
	if r.Series, err = debian.Series(r.Tree); err != nil {
		return nil, err
	}
	if seconds, err := os.ReadFile(filepath.Join(dir, "seconds")); err == nil {
		r.Seconds, _ = strconv.ParseFloat(string(seconds), 64)
	}
	r.Recording, err = build.OpenRecording(dir)
	return r, err
}

func copyProgram(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

func (p *Package) lock(cache string) (func(), error) {
	if err := os.MkdirAll(filepath.Join(cache, "corpus"), 0o755); err != nil {
		return nil, err
	}
	return debian.Lock(filepath.Join(cache, "corpus", p.Name+".lock"))
}

// key names what the recording depends on besides the source.
func (p *Package) key(ctx context.Context, front string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, "form 2", p.Script, p.Version, p.first(), flags())
	out, err := exec.CommandContext(ctx, "gcc", "-v").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("gcc: %w", err)
	}
	h.Write(out)
	program, err := os.ReadFile(front)
	if err != nil {
		return "", err
	}
	h.Write(program)
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

// first is the first fix of the table in Debian's order; the tree has
// everything before it.
func (p *Package) first() string {
	if len(p.Fixes) == 0 {
		return ""
	}
	return p.Fixes[0].Patch
}

// flags are Debian's compiler flags as variables of the environment.
func flags() []string {
	var env []string
	for _, name := range []string{"CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS"} {
		out, err := exec.Command("dpkg-buildflags", "--get", name).Output()
		if err == nil {
			// The map of paths would name another directory on each machine.
			words := slices.DeleteFunc(strings.Fields(string(out)), func(w string) bool { return strings.HasPrefix(w, "-ffile-prefix-map=") })
			env = append(env, name+"="+strings.Join(words, " "))
		}
	}
	return env
}

func (p *Package) build(ctx context.Context, dir, front string, log io.Writer) error {
	source, err := debian.Unpack(ctx, dir, log, p.Name, p.Version)
	if err != nil {
		return err
	}
	found := false
	for _, patch := range source.Series {
		if found = strings.HasSuffix(patch, "/"+p.first()); found {
			break
		}
		if err := debian.Run(ctx, source.Tree, log, "patch", "-p1", "-N", "-i", patch); err != nil {
			return err
		}
	}
	if !found && p.first() != "" {
		return fmt.Errorf("no patch %s in the version of Debian", p.first())
	}
	began := time.Now()
	_, err = build.Record(ctx, build.Options{WorkDir: dir, Front: front}, func(ctx context.Context, env []string) error {
		return p.run(ctx, source.Tree, env, log)
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "seconds"), []byte(fmt.Sprintf("%.1f", time.Since(began).Seconds())), 0o644)
}

// run runs the package's script in its tree.
func (p *Package) run(ctx context.Context, tree string, env []string, log io.Writer) error {
	cmd := exec.CommandContext(ctx, "nice", "-n", "5", "bash", "-e", "-o", "pipefail", "-c", p.Script)
	cmd.Dir = tree
	cmd.Env = append(env, append(flags(), "LC_ALL=C.UTF-8", "SOURCE_DATE_EPOCH=1700000000", "MAKEFLAGS=-j2")...)
	cmd.Stdout, cmd.Stderr = log, log
	return cmd.Run()
}
