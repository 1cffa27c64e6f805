package build

import (
	"bytes"
	"context"
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
)

// Change is one file of the source tree that the patches change.
type Change struct {
	Path string // relative to the tree
	Old  []byte // nil for a new file
	New  []byte // nil for a removed file
	Mode os.FileMode
}

// Plan is a series of patches that was found to fit a source tree. Planning
// writes nothing to the tree.
type Plan struct {
	Tree    string
	Changes []Change
	Notes   []string // for people
}

// ApplyPatches applies the patch files in order to copies of what they touch
// and returns what would change. A patch is applied with strip leading
// directories taken off its names; where only another number of 0 to 2 fits,
// that one is used and noted. Nothing is applied by guesswork: fuzz is 0.
func ApplyPatches(ctx context.Context, tree, work string, files []string, strip int) (*Plan, error) {
	tree, err := filepath.EvalSymlinks(tree)
	if err != nil {
		return nil, err
	}
	shadow, err := os.MkdirTemp(work, "patched")
	if err != nil {
		return nil, err
	}
	s := &shadowTree{tree: tree, dir: shadow, copied: map[string]bool{}}
	plan := &Plan{Tree: tree}
	err = plan.apply(ctx, s, files, strip)
	return plan, errors.Join(err, os.RemoveAll(shadow))
}

func (p *Plan) apply(ctx context.Context, s *shadowTree, files []string, strip int) error {
	for _, file := range files {
		note, err := s.patch(ctx, file, strip)
		if err != nil {
			return err
		}
		if note != "" {
			p.Notes = append(p.Notes, note)
		}
	}
	var err error
	p.Changes, err = s.changes()
	return err
}

// Apply writes the changed files into the tree. Contents given in instead
// replace the patched ones.
func (p *Plan) Apply(instead map[string][]byte) error {
	for _, c := range p.Changes {
		path := filepath.Join(p.Tree, c.Path)
		if c.New == nil {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("apply patches: %w", err)
			}
			continue
		}
		data := c.New
		if other, known := instead[c.Path]; known {
			data = other
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("apply patches: %w", err)
		}
		if err := replaceFile(path, data, c.Mode); err != nil {
			return fmt.Errorf("apply patches: %w", err)
		}
	}
	return nil
}

// Revert gives the tree the files that it had before Apply.
func (p *Plan) Revert() error {
	var errs []error
	for _, c := range p.Changes {
		path := filepath.Join(p.Tree, c.Path)
		if c.Old == nil {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, fmt.Errorf("take patches back: %w", err))
			}
			continue
		}
		if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, c.Old) {
			continue
		}
		mode := c.Mode
		if c.New == nil { // the patch removed it, and nothing tells its mode
			mode = 0o644
		}
		if err := replaceFile(path, c.Old, mode); err != nil {
			errs = append(errs, fmt.Errorf("take patches back: %w", err))
		}
	}
	return errors.Join(errs...)
}

// replaceFile writes a new file in the place of path: the old one may be a
// hard link into another tree.
func replaceFile(path string, data []byte, mode os.FileMode) error {
	temporary := path + ".syscare-new"
	if err := os.WriteFile(temporary, data, mode); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// shadowTree holds copies of the files that patches name.
type shadowTree struct {
	tree, dir string
	copied    map[string]bool // relative paths looked at
}

// patch applies one patch file to the shadow tree.
func (s *shadowTree) patch(ctx context.Context, file string, strip int) (note string, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("patch file: %w", err)
	}
	name := filepath.Base(file)
	names := namesInPatch(data)
	if len(names) == 0 {
		return "", &PatchError{Patch: name, Reason: "it names no file; is it a patch?"}
	}
	for _, n := range names {
		if filepath.IsAbs(n) || slices.Contains(strings.Split(n, "/"), "..") {
			return "", &PatchError{Patch: name, Reason: fmt.Sprintf("it names %q, outside the source tree", n)}
		}
	}
	var first error
	for _, level := range []int{strip, 1, 0, 2} {
		if level == strip && first != nil {
			continue
		}
		if err := s.copyNamed(names, level); err != nil {
			return "", &PatchError{Patch: name, Reason: err.Error()}
		}
		err := s.run(ctx, data, level, true)
		if err == nil {
			if level != strip {
				note = fmt.Sprintf("patch %s fits with %d leading directories taken off its names (-p%d), not with %d", name, level, level, strip)
			}
			return note, s.run(ctx, data, level, false)
		}
		if first == nil {
			first = err
		}
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return "", &PatchError{Patch: name, Reason: first.Error()}
}

var quotedName = regexp.MustCompile(`^"(.*)"$`)

// namesInPatch lists every name in the headers of a patch, in all of the
// formats that patch(1) reads.
func namesInPatch(data []byte) []string {
	var names []string
	add := func(name string) {
		name, _, _ = strings.Cut(name, "\t")
		name = strings.TrimSpace(name)
		if m := quotedName.FindStringSubmatch(name); m != nil {
			if unquoted, err := strconv.Unquote(name); err == nil {
				name = unquoted
			}
		} else if i := strings.IndexByte(name, ' '); i > 0 {
			// A time may follow after a blank; names with blanks are the rarer.
			names = append(names, name[:i])
		}
		if name != "" && name != "/dev/null" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	lines := strings.Split(string(data), "\n")
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\r")
		next := ""
		if i+1 < len(lines) {
			next = lines[i+1]
		}
		switch {
		case strings.HasPrefix(line, "--- ") && strings.HasPrefix(next, "+++ "):
			add(line[4:])
			add(next[4:])
		case strings.HasPrefix(line, "*** ") && strings.HasPrefix(next, "--- "):
			add(line[4:])
			add(next[4:])
		case strings.HasPrefix(line, "Index: "):
			add(line[7:])
		case strings.HasPrefix(line, "rename from "), strings.HasPrefix(line, "rename to "), strings.HasPrefix(line, "copy from "),
			strings.HasPrefix(line, "copy to "):
			words := strings.SplitN(line, " ", 3)
			add("x/" + words[2]) // these are given without a prefix
		case strings.HasPrefix(line, "diff --git "):
			for _, word := range strings.Fields(line)[2:] {
				add(word)
			}
		}
	}
	return names
}

// copyNamed copies the files that a patch names into the shadow.
func (s *shadowTree) copyNamed(names []string, strip int) error {
	for _, name := range names {
		parts := strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
		if len(parts) <= strip {
			continue
		}
		relative := filepath.Join(parts[strip:]...)
		if s.copied[relative] {
			continue
		}
		source := filepath.Join(s.tree, relative)
		info, err := os.Lstat(source)
		if err != nil {
			if errors.Is(err, os.ErrNotExist) {
				continue // a new file, or of another strip level
			}
			return err
		}
		real, err := filepath.EvalSymlinks(source)
		if err != nil || real != source || !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file of the source tree, or is reached through a symbolic link", relative)
		}
		data, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		copied := filepath.Join(s.dir, relative)
		if err := os.MkdirAll(filepath.Dir(copied), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(copied, data, info.Mode().Perm()|0o200); err != nil {
			return err
		}
		s.copied[relative] = true
	}
	return nil
}

// run calls patch(1) in the shadow tree.
func (s *shadowTree) run(ctx context.Context, data []byte, strip int, dry bool) error {
	args := []string{"-p" + strconv.Itoa(strip), "-F0", "-N", "-t", "--no-backup-if-mismatch", "--quoting-style=literal", "-r", "-"}
	if dry {
		args = append(args, "--dry-run")
	}
	cmd := exec.CommandContext(ctx, "patch", args...)
	cmd.Dir, cmd.Stdin = s.dir, bytes.NewReader(data)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATCH_GET=0")
	cmd.Env = slices.DeleteFunc(cmd.Env, func(e string) bool { return strings.HasPrefix(e, "POSIXLY_CORRECT") })
	output, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("the program patch is missing; install it")
	}
	if err != nil {
		return errors.New(explainPatch(string(output)))
	}
	return nil
}

var (
	patchingFile = regexp.MustCompile(`^(?:checking|patching) file (.*?)(?: \(renamed from .*\))?$`)
	failedHunk   = regexp.MustCompile(`^Hunk #(\d+) FAILED at (\d+)`)
	missingFile  = regexp.MustCompile(`^can't find file to patch at input line (\d+)`)
	namedInInput = regexp.MustCompile(`^\|(?:---|\+\+\+|Index:) (\S+)`)
)

// explainPatch says which file and hunk does not fit.
func explainPatch(output string) string {
	file, missing, named := "", "", ""
	var reasons []string
	for _, line := range strings.Split(output, "\n") {
		if m := patchingFile.FindStringSubmatch(line); m != nil {
			file = m[1]
		}
		if m := failedHunk.FindStringSubmatch(line); m != nil {
			reasons = append(reasons, fmt.Sprintf("%s: hunk #%s does not fit at line %s", file, m[1], m[2]))
		}
		if m := missingFile.FindStringSubmatch(line); m != nil {
			missing = m[1]
		}
		if m := namedInInput.FindStringSubmatch(line); m != nil && missing != "" && named == "" {
			named = m[1]
		}
		if strings.HasPrefix(line, "Reversed (or previously applied) patch detected") {
			reasons = append(reasons, file+": the source has this change already")
		}
		if strings.Contains(line, "malformed patch") || strings.Contains(line, "Only garbage was found") {
			reasons = append(reasons, strings.TrimPrefix(line, "patch: **** "))
		}
	}
	if missing != "" {
		reasons = append(reasons, fmt.Sprintf("the source tree has no file %s (line %s of the patch)", named, missing))
	}
	if len(reasons) == 0 {
		return strings.TrimSpace(output)
	}
	return strings.Join(reasons, "; ")
}

// changes compares the shadow with the tree.
func (s *shadowTree) changes() ([]Change, error) {
	found := map[string]bool{}
	var changes []Change
	err := filepath.WalkDir(s.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		relative, err := filepath.Rel(s.dir, path)
		if err != nil {
			return err
		}
		found[relative] = true
		c := Change{Path: relative}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		c.Mode = info.Mode().Perm()
		if c.New, err = os.ReadFile(path); err != nil {
			return err
		}
		if c.New == nil {
			c.New = []byte{}
		}
		c.Old, err = os.ReadFile(filepath.Join(s.tree, relative))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err != nil || !bytes.Equal(c.Old, c.New) {
			changes = append(changes, c)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for relative := range s.copied {
		if found[relative] {
			continue
		}
		old, err := os.ReadFile(filepath.Join(s.tree, relative))
		if err != nil {
			return nil, err
		}
		changes = append(changes, Change{Path: relative, Old: old})
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return changes, nil
}

// differences returns the changed groups of lines between two texts.
func differences(ctx context.Context, work string, before, after []byte) ([]group, error) {
	var paths []string
	for _, text := range [][]byte{before, after} {
		f, err := os.CreateTemp(work, "lines")
		if err != nil {
			return nil, err
		}
		defer os.Remove(f.Name())
		_, err = io.Copy(f, bytes.NewReader(text))
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		paths = append(paths, f.Name())
	}
	output, err := exec.CommandContext(ctx, "diff", "-a", "-U0", paths[0], paths[1]).Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return nil, fmt.Errorf("diff: %w", err)
	}
	return parseGroups(string(output))
}
