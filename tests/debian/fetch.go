package debian

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// listAge is how long the lists of packages are good for.
const listAge = 12 * time.Hour

// apt gives the options with which apt-get works below dir, with source
// packages from the machine's mirrors.
func apt(ctx context.Context, dir string, log io.Writer) ([]string, error) {
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	list := filepath.Join(dir, "debian.sources")
	if err := os.WriteFile(list, []byte(sourceList("/etc/apt")), 0o644); err != nil {
		return nil, err
	}
	options := []string{
		"-q", "-o", "Dir::Etc::sourcelist=" + list, "-o", "Dir::Etc::sourceparts=-",
		"-o", "Dir::State::lists=" + filepath.Join(dir, "lists"),
		"-o", "Dir::Cache=" + filepath.Join(dir, "cache"),
		"-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3",
	}
	stamp := filepath.Join(dir, "updated")
	if info, err := os.Stat(stamp); err == nil && time.Since(info.ModTime()) < listAge {
		return options, nil
	}
	// A mirror without source packages fails the update of its own list only;
	// whether what is needed is there shows in the next step.
	_ = Run(ctx, dir, log, "apt-get", append(slices.Clone(options), "update")...)
	return options, os.WriteFile(stamp, nil, 0o644)
}

// Fetch puts the files of the newest source package of that name and version
// (a prefix; "" for any) which the mirrors really have into dir: a mirror may
// list what it does not hold yet or any more.
func Fetch(ctx context.Context, dir string, log io.Writer, name, version string) error {
	cache, err := Cache()
	if err != nil {
		return err
	}
	unlock, err := Lock(filepath.Join(cache, "apt.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	options, err := apt(ctx, filepath.Join(cache, "apt"), log)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "apt-cache", append(slices.Clone(options), "showsrc", "--only-source", name)...).Output()
	if err != nil {
		return fmt.Errorf("look for the source package %s: %w", name, err)
	}
	last := fmt.Errorf("no source package %s %s in Debian", name, version)
	for _, v := range versions(out) {
		upstream := v // without the epoch
		if _, rest, found := strings.Cut(v, ":"); found {
			upstream = rest
		}
		if !strings.HasPrefix(upstream, version) {
			continue
		}
		if last = Run(ctx, dir, log, "apt-get", append(slices.Clone(options), "source", "--download-only", name+"="+v)...); last == nil {
			return nil
		}
	}
	return fmt.Errorf("fetch the source of %s: %w", name, last)
}

// versions lists the versions in the output of apt-cache showsrc, newest first:
// those of one upstream release differ in their last number.
func versions(text []byte) []string {
	var found []string
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "Version: "); ok && !slices.Contains(found, v) {
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b string) int { return compareVersions(b, a) })
	return found
}

var digits = regexp.MustCompile(`\d+|\D+`)

// compareVersions orders versions well enough to try the newest first.
func compareVersions(a, b string) int {
	as, bs := digits.FindAllString(a, -1), digits.FindAllString(b, -1)
	for i := range min(len(as), len(bs)) {
		x, y := as[i], bs[i]
		if x[0] >= '0' && x[0] <= '9' && y[0] >= '0' && y[0] <= '9' && len(x) != len(y) {
			return len(x) - len(y)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
	return len(as) - len(bs)
}

// Source is an unpacked source package without Debian's patches applied.
type Source struct {
	Tree   string   // upstream's sources with the directory debian
	Series []string // paths of Debian's patches, in order
}

// Unpack fetches a source package and unpacks it below dir.
func Unpack(ctx context.Context, dir string, log io.Writer, name, version string) (Source, error) {
	if err := Fetch(ctx, dir, log, name, version); err != nil {
		return Source{}, err
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.dsc"))
	if err != nil || len(found) != 1 {
		return Source{}, fmt.Errorf("found %d source packages of %s, want 1", len(found), name)
	}
	s := Source{Tree: filepath.Join(dir, "tree")}
	if err := Run(ctx, dir, log, "dpkg-source", "--no-check", "--skip-patches", "-x", found[0], s.Tree); err != nil {
		return Source{}, err
	}
	s.Series, err = Series(s.Tree)
	return s, err
}

// Series lists the paths of Debian's patches of a source tree, in order.
func Series(tree string) (patches []string, err error) {
	dir := filepath.Join(tree, "debian", "patches")
	series, err := os.ReadFile(filepath.Join(dir, "series"))
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(string(series), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 0 {
			patches = append(patches, filepath.Join(dir, fields[0]))
		}
	}
	return patches, nil
}
