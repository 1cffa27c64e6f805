package corpus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/object"
)

// A Row is what became of one fix.
type Row struct {
	Package *Package `json:"-"`
	Fix     Fix
	Verdict Verdict
	Reason  string // of a refusal or a failure
	With    int    // how many earlier fixes had to be applied with it
	Seconds float64
	Bytes   int           // of the patch objects
	Names   []string      // of the functions replaced
	Targets []string      // file names of the entities
	Pause   time.Duration // of a process
	Live    bool          // it went into a process and out again
	Shown   bool          // the behaviour of a process changed with it, and back
}

// Verdict is what the engine says of a fix.
type Verdict string

const (
	Patched Verdict = "patched"
	Refused Verdict = "refused"
	Idle    Verdict = "no code"
	Failed  Verdict = "failed"
)

// Wrong says why the row is not what the table expects, "" if it is.
func (r *Row) Wrong() string {
	want := Patched
	switch {
	case r.Fix.Idle:
		want = Idle
	case r.Fix.Refused != "":
		want = Refused
	}
	switch {
	case r.Verdict != want:
		return fmt.Sprintf("%s, want %s: %s", r.Verdict, want, r.Reason)
	case want == Refused && !strings.Contains(r.Reason, r.Fix.Refused):
		return fmt.Sprintf("refused for another reason than %q: %s", r.Fix.Refused, r.Reason)
	case want == Patched && !r.Live:
		return "it did not go into a process and out again: " + r.Reason
	case want == Patched && r.Fix.Shows != nil && !r.Shown:
		return "the process does not behave as the fix says: " + r.Reason
	}
	return ""
}

// Try makes the fix into patch objects and tries them on a process.
func (r *Recorded) Try(ctx context.Context, fix Fix, log io.Writer) *Row {
	row := &Row{Package: r.Package, Fix: fix}
	began := time.Now()
	entities, err := r.patch(ctx, row, log)
	row.Seconds = time.Since(began).Seconds()
	var refusal *diff.Refusal
	var unreplayable *build.NotReplayableError
	switch {
	case errors.Is(err, diff.ErrNoChange):
		row.Verdict, row.Reason = Idle, err.Error()
		return row
	case errors.As(err, &refusal), errors.As(err, &unreplayable):
		row.Verdict, row.Reason = Refused, err.Error()
		return row
	case err != nil:
		row.Verdict, row.Reason = Failed, err.Error()
		return row
	}
	row.Verdict = Patched
	for _, e := range entities {
		row.Bytes += len(e.Object)
		row.Targets = append(row.Targets, e.Name)
		for _, name := range e.Functions {
			if !slices.Contains(row.Names, name) {
				row.Names = append(row.Names, name)
			}
		}
	}
	if err := r.live(ctx, row, entities); err != nil {
		row.Reason = err.Error()
	} else if err := r.shows(ctx, row, entities); err != nil {
		row.Reason = err.Error()
	}
	return row
}

// Entities makes the patch objects of one fix.
func (r *Recorded) Entities(ctx context.Context, fix Fix, log io.Writer) ([]build.Entity, error) {
	return r.patch(ctx, &Row{Package: r.Package, Fix: fix}, log)
}

// Find is the package of that name in the table.
func Find(name string) *Package {
	for _, p := range Packages() {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// patch makes the patch objects: of the fix alone or, where it does not fit,
// with those before it.
func (r *Recorded) patch(ctx context.Context, row *Row, log io.Writer) ([]build.Entity, error) {
	first := slices.IndexFunc(r.Series, func(p string) bool { return strings.HasSuffix(p, "/"+r.first()) })
	at := slices.IndexFunc(r.Series, func(p string) bool { return strings.HasSuffix(p, "/"+row.Fix.Patch) })
	if at < 0 || first < 0 {
		return nil, fmt.Errorf("no patch %s in the version of Debian", row.Fix.Patch)
	}
	var last error
	for start := at; start >= first; start-- {
		entities, err := r.make(ctx, r.Series[start:at+1], log)
		var unfit *build.PatchError
		if !errors.As(err, &unfit) {
			row.With = at - start
			return entities, err
		}
		last = err
	}
	return nil, last
}

func (r *Recorded) make(ctx context.Context, patches []string, log io.Writer) ([]build.Entity, error) {
	work, err := os.MkdirTemp(r.work, "fix")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	targets, err := r.targets()
	if err != nil {
		return nil, err
	}
	made, err := r.Recording.Patch(ctx, build.Request{
		WorkDir: work, Front: r.front, Tree: func() (string, error) { return r.Tree, nil }, Patches: patches, Strip: 1,
		Rebuild: func(ctx context.Context, env []string) error { return r.run(ctx, r.Tree, env, log) },
		Debug:   targets, Jobs: 2, Log: log, UUID: func(id object.BuildID) string {
			return uuid.NewSHA1(uuid.Nil, []byte(string(id)+strings.Join(patches, " "))).String()
		},
	})
	if err != nil {
		return nil, err
	}
	return made.Entities, nil
}

// targets are the linked files to patch: unstripped, they are their own
// debuginfo.
func (r *Recorded) targets() ([]build.DebugFile, error) {
	var found []build.DebugFile
	for _, l := range r.Recording.Links() {
		path, err := filepath.Rel(r.Tree, l.Path)
		if err != nil {
			continue
		}
		for _, pattern := range r.Package.Targets {
			if ok, err := filepath.Match(pattern, path); err != nil {
				return nil, err
			} else if ok {
				found = append(found, build.DebugFile{Path: l.Kept, TargetPath: l.Path, Name: filepath.Base(l.Path)})
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: the build linked none of %q", r.Name, r.Package.Targets)
	}
	return found, nil
}
