package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/state/metadata"
)

// ProcessStatus is what one process carries of one entity.
type ProcessStatus struct {
	Process
	Entity  string `json:"entity"`
	Patched bool   `json:"patched"`
	Loaded  bool   `json:"loaded"` // carries the code, on or off
	// Unit and Container are those of systemd and of what runs containers, "" if
	// there is none. Only Manager.Status tells them.
	Unit      string `json:"unit,omitempty"`
	Container string `json:"container,omitempty"`
}

// Status is the state of a patch and how it came to be known.
type Status struct {
	UUID  string `json:"uuid"`
	Name  string `json:"name"` // full name
	State State  `json:"state"`
	// Recorded is the state that the store holds, "" if none.
	Recorded State `json:"recorded,omitempty"`
	// Saved is what `restore` brings back, "" if nothing was saved.
	Saved State `json:"saved,omitempty"`
	// Running and Patched count processes that run a target, and those of
	// them that run the patch.
	Running   int             `json:"running"`
	Patched   int             `json:"patched"`
	Processes []ProcessStatus `json:"processes"`
	// Notes say where store and processes differ, and other things to know.
	Notes []string `json:"notes,omitempty"`
	// Problem says why the patch cannot be loaded, "" if it can.
	Problem string `json:"problem,omitempty"`
	// Meta is the metadata, nil if it cannot be used.
	Meta *metadata.Patch `json:"-"`
}

// List gives the status of all patches: those installed, in order of name,
// then those of which only processes and the store still know.
func (m *Manager) List(ctx context.Context) ([]Status, error) {
	v, err := m.look()
	if err != nil {
		return nil, err
	}
	out := []Status{}
	for _, p := range v.all {
		out = append(out, v.status(ctx, p))
	}
	for _, id := range slices.Sorted(maps.Keys(v.store.Patches)) {
		if p := v.orphan(id); p != nil {
			if st := v.status(ctx, p); st.State != NotApplied {
				out = append(out, st)
			}
		}
	}
	return out, ctx.Err()
}

// Status tells the state of the patch that id names.
func (m *Manager) Status(ctx context.Context, id string) (Status, error) {
	v, err := m.look()
	if err != nil {
		return Status{}, err
	}
	p, err := v.resolve(id)
	if err != nil {
		return Status{}, err
	}
	st := v.status(ctx, p)
	for i, proc := range st.Processes {
		st.Processes[i].Unit, st.Processes[i].Container = whereabouts(proc.PID)
	}
	if why := v.outdated(p); why != "" && st.State != NotApplied {
		st.note("%s: programs that start are not patched", why)
	}
	return st, ctx.Err()
}

// view is one consistent look at disk and processes.
type view struct {
	m     *Manager
	all   []*Installed
	store *storeFile
	lost  error // why the store that was there is not used
	blind bool  // the store may not be read by this user
	found map[object.BuildID]findResult
}

type findResult struct {
	procs []seenProcess
	err   error
}

type seenProcess struct {
	Process
	carries map[string]Presence
	err     error
}

func (m *Manager) look() (*view, error) {
	all, err := readInstalled(m.root)
	if err != nil {
		return nil, err
	}
	store, lost, err := readStore(m.root)
	if errors.Is(err, fs.ErrPermission) {
		return &view{m: m, all: all, store: newStore(), lost: err, blind: true, found: map[object.BuildID]findResult{}}, nil
	}
	if err != nil {
		return nil, err
	}
	if lost != nil {
		m.log.Warn("the record of patch states cannot be used; reading the processes instead", "error", lost)
	}
	return &view{m: m, all: all, store: store, lost: lost, found: map[object.BuildID]findResult{}}, nil
}

// orphan stands for a patch that is recorded and no longer installed.
func (v *view) orphan(id string) *Installed {
	rec := v.store.Patches[id]
	if rec == nil || slices.ContainsFunc(v.all, func(p *Installed) bool { return p.UUID == id }) {
		return nil
	}
	return &Installed{UUID: id, Problem: fmt.Errorf("%w: %s is no longer installed; `syscare remove %s` takes it out of the processes", ErrCorrupt, rec.Name, id)}
}

func (v *view) resolve(id string) (*Installed, error) {
	p, err := resolve(v.all, id)
	if errors.Is(err, ErrNotFound) {
		if o := v.orphan(id); o != nil {
			return o, nil
		}
	}
	return p, err
}

// entities gives the entities of p without their code, from the metadata or,
// if that cannot be used, from the record.
func (v *view) entities(p *Installed) []recordEntity {
	var out []recordEntity
	if p.Meta != nil {
		for _, e := range p.Meta.Entities {
			out = append(out, recordEntity{e.UUID, e.Name, e.BuildID})
		}
		return out
	}
	if rec := v.store.Patches[p.UUID]; rec != nil {
		return rec.Entities
	}
	return nil
}

// processes finds those of a build ID and what they carry, once per view.
func (v *view) processes(ctx context.Context, id object.BuildID) findResult {
	if r, ok := v.found[id]; ok {
		return r
	}
	procs, err := v.m.processes(ctx, id)
	r := findResult{err: err}
	for _, p := range procs {
		carries, err := v.m.engine.Presence(ctx, p)
		if errors.Is(err, ErrGone) {
			continue
		}
		r.procs = append(r.procs, seenProcess{p, carries, err})
	}
	v.found[id] = r
	return r
}

// forget makes the next look read the processes again.
func (v *view) forget() { clear(v.found) }

// status applies the rules of the package comment to p.
func (v *view) status(ctx context.Context, p *Installed) Status {
	st := Status{UUID: p.UUID, Name: p.FullName(), Processes: []ProcessStatus{}, Meta: p.Meta}
	rec := v.store.Patches[p.UUID]
	if rec != nil {
		st.Recorded, st.Saved = rec.State, rec.Saved
		if p.Meta == nil {
			st.Name = rec.Name
		}
	}
	most, hidden := Absent, 0
	pids, patched := map[int]bool{}, map[int]bool{}
	for _, e := range v.entities(p) {
		r := v.processes(ctx, e.BuildID)
		if r.err != nil {
			st.note("not all processes could be looked at: %v", r.err)
		}
		for _, proc := range r.procs {
			pids[proc.PID] = true
			if proc.err != nil {
				hidden++
				st.noteHidden(proc)
				continue
			}
			has := proc.carries[e.UUID]
			most = max(most, has)
			st.Processes = append(st.Processes, ProcessStatus{Process: proc.Process, Entity: e.Name, Patched: has == Active, Loaded: has >= Loaded})
			patched[proc.PID] = patched[proc.PID] || has == Active
		}
	}
	st.Running = len(pids)
	for _, yes := range patched {
		if yes {
			st.Patched++
		}
	}
	st.State = observe(rec, v.m.boot, most)
	if p.Meta != nil && p.Meta.Type == metadata.KernelPatch && most == Absent && len(st.Processes) > 0 {
		st.State = NotApplied // there is one kernel, and it does not carry it
	}
	st.explain(rec, v.m.boot, hidden)
	if v.blind && st.State == NotApplied {
		st.State = Unknown
	}
	if v.lost != nil {
		st.note("%v; the state was read from the processes", v.lost)
	}
	if p.Problem != nil {
		st.Problem = p.Problem.Error()
		if st.State.presence() == Absent {
			st.State = Unknown
		}
	}
	return st
}

func (st *Status) note(format string, args ...any) {
	st.Notes = append(st.Notes, fmt.Sprintf(format, args...))
}

func (st *Status) noteHidden(p seenProcess) {
	if errors.Is(p.err, fs.ErrPermission) || errors.Is(p.err, ErrPermission) {
		return // counted; one note for all
	}
	st.note("process %d (%s) could not be read: %v", p.PID, p.Name, p.err)
}

// explain adds a note for each way in which record and processes differ.
func (st *Status) explain(rec *record, boot string, hidden int) {
	if hidden > 0 {
		st.note("%d processes could not be read; run as root to see all", hidden)
	}
	if rec == nil {
		if st.State != NotApplied {
			st.note("nothing is recorded; processes carry the patch")
		}
		return
	}
	if p := rec.Pending; p != nil {
		st.note("an earlier `%s` was interrupted; the next command that changes patches settles it", p.Verb)
	}
	if rec.Suspended != "" {
		st.note("suspended: %s", rec.Suspended)
	}
	if rec.Retired != "" {
		st.note("retired: %s", rec.Retired)
	}
	if rec.BootID != boot && rec.State != NotApplied {
		st.note("%s before the last boot; `syscare restore` brings saved and accepted patches back", rec.State)
		return
	}
	if rec.State != st.State {
		st.note("%s is recorded; the processes say %s", rec.State, st.State)
	}
	if st.State.presence() == Active && st.Patched < st.Running {
		st.note("%d of %d processes are patched; `syscare rescan` patches the others", st.Patched, st.Running)
	}
}
