package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// verbRetire ends the life of a patch whose target has been upgraded.
const verbRetire Verb = "retire"

// outdated says why no program that starts from now on can have the patch p: the
// files of all its targets are others now. It is "" while one of them may fit; a
// file that is missing may come back.
func (v *view) outdated(p *Installed) string {
	if p.Meta == nil {
		return ""
	}
	var why []string
	for _, e := range p.Meta.Entities {
		if e.Path == "" {
			return ""
		}
		id, err := fileBuildID(filepath.Join(v.m.root, e.Path))
		if err != nil && !errors.Is(err, os.ErrNotExist) || err == nil && id != e.BuildID {
			why = append(why, e.Path)
			continue
		}
		return ""
	}
	if len(why) == 0 {
		return ""
	}
	return fmt.Sprintf("%s was replaced, as by an update of %s", strings.Join(why, ", "), p.Meta.Target.Name)
}

// retireOutdated ends the life of p if it is outdated and no process has it any
// more. It reports whether it did.
func (v *view) retireOutdated(ctx context.Context, p *Installed, o MoveOptions) (Result, bool) {
	rec := v.store.Patches[p.UUID]
	if rec == nil || rec.State == NotApplied && rec.Saved.presence() == Absent || rec.Retired != "" {
		return Result{}, false
	}
	why := v.outdated(p)
	if why == "" {
		return Result{}, false
	}
	for _, e := range v.entities(p) {
		found := v.processes(ctx, e.BuildID)
		for _, proc := range found.procs {
			if proc.err != nil || proc.carries[e.UUID] > Absent {
				return Result{}, false
			}
		}
		if found.err != nil {
			return Result{}, false
		}
	}
	res := Result{UUID: p.UUID, Name: v.nameOf(p), Verb: verbRetire, From: rec.State, To: NotApplied, Reports: []Report{},
		Notes: []string{fmt.Sprintf("%s is retired: %s", v.nameOf(p), why)}}
	v.complete(p, pending{Verb: verbRetire, From: rec.State, To: NotApplied}, o.Who)
	rec.Saved, rec.Retired = "", fmt.Sprintf("%s; retired on %s", why, time.Now().Format(time.RFC3339))
	v.m.log.Warn("patch retired", "patch", res.Name, "uuid", p.UUID, "from", res.From, "to", res.To, "who", o.Who, "reason", why)
	return res, true
}
