package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/openeuler/syscare/rpmhooks"
	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/metadata"
)

// report is what was done with one patch, for whoever has started the transaction.
type report struct {
	UUID      string      `json:"uuid"`
	Name      string      `json:"name"`
	From      state.State `json:"from"`
	To        state.State `json:"to"`
	Processes int         `json:"processes"`
	// Pause is the longest time that one of them stood still, nanoseconds.
	Pause time.Duration `json:"pause_ns"`
	Notes []string      `json:"notes,omitempty"`
	Error string        `json:"error,omitempty"`
}

// told tells what came of a move, to who asked for it by ReportVariable, or else on
// standard output. It returns the error.
func (h hook) told(res state.Result, err error) error {
	r := report{UUID: res.UUID, Name: res.Name, From: res.From, To: res.To, Notes: res.Notes}
	pids := map[int]bool{}
	for _, p := range res.Reports {
		pids[p.Process.PID] = true
		r.Pause = max(r.Pause, p.Pause)
	}
	r.Processes = len(pids)
	if err != nil {
		r.Error, r.To = err.Error(), r.From
	}
	if path := os.Getenv(rpmhooks.ReportVariable); path != "" {
		if appendLine(path, r) == nil {
			return err
		}
	}
	if err == nil && (r.From != r.To || r.Processes > 0) {
		fmt.Fprintf(h.stdout, "%s: %s", r.Name, r.To)
		if r.Processes > 0 {
			fmt.Fprintf(h.stdout, " (processes: %d, stopped for %d µs at most)", r.Processes, r.Pause.Microseconds())
		}
		fmt.Fprintln(h.stdout)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(h.stdout, "%s\n", note)
	}
	return err
}

// appendLine appends to a file that is there already.
func appendLine(path string, r report) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(f).Encode(r), f.Close())
}

// listed is one patch of the list.
type listed struct {
	UUID      string           `json:"uuid"`
	Name      string           `json:"name"`
	State     state.State      `json:"state"`
	Package   string           `json:"package"` // name of its RPM
	Version   string           `json:"version"`
	Release   string           `json:"release"`
	Target    metadata.Package `json:"target"`
	CVEs      []string         `json:"cves"`
	Processes int              `json:"processes"` // that run it
}

// list prints the patches, in the order of their names.
func (h hook) list(ctx context.Context, m *state.Manager) error {
	all, err := m.List(ctx)
	if err != nil {
		return err
	}
	out := []listed{}
	for _, st := range all {
		l := listed{UUID: st.UUID, Name: st.Name, State: st.State, Processes: st.Patched, CVEs: []string{}}
		if meta := st.Meta; meta != nil {
			l.Package, l.Version, l.Release, l.Target = meta.PackageName(), meta.Version, meta.Release, meta.Target
			l.CVEs = append(l.CVEs, meta.CVEs...)
		}
		out = append(out, l)
	}
	return json.NewEncoder(h.stdout).Encode(out)
}

// replaces warns of active patches of packages that are about to be replaced.
func (h hook) replaces(ctx context.Context, m *state.Manager, packages []string) error {
	all, err := m.List(ctx)
	if err != nil {
		return err
	}
	for _, st := range all {
		if st.Meta != nil && slices.Contains(packages, st.Meta.Target.Name) && st.Patched > 0 {
			fmt.Fprintf(h.stdout, "Warning: %s is replaced; what runs goes on with the old program and its patch %s until it is restarted (processes: %d)\n",
				st.Meta.Target.Name, st.Name, st.Patched)
		}
	}
	return nil
}
