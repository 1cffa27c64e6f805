package bus

import (
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/metadata"
)

// dict is a{sv}.
type dict = map[string]dbus.Variant

// maxTimeout bounds what a client can make the service wait for busy code.
const maxTimeout = 10 * time.Minute

// options reads the options of a move: "force" b, "best-effort" b and "timeout"
// t, in milliseconds.
func options(given dict) (o state.MoveOptions, err *dbus.Error) {
	for name, value := range given {
		var right bool
		switch name {
		case "force":
			o.Force, right = value.Value().(bool)
		case "best-effort":
			o.BestEffort, right = value.Value().(bool)
		case "timeout":
			var ms uint64
			ms, right = value.Value().(uint64)
			right = right && ms > 0 && ms <= uint64(maxTimeout.Milliseconds())
			o.Timeout = time.Duration(ms) * time.Millisecond
		default:
			return o, invalid("there is no option %.100q; known are force, best-effort and timeout", clean(name))
		}
		if !right {
			return o, invalid("option %s: not of its type, or out of range", name)
		}
	}
	return o, nil
}

// given is the reverse of options.
func given(o state.MoveOptions) dict {
	d := dict{}
	if o.Force {
		d["force"] = dbus.MakeVariant(true)
	}
	if o.BestEffort {
		d["best-effort"] = dbus.MakeVariant(true)
	}
	if o.Timeout > 0 {
		d["timeout"] = dbus.MakeVariant(uint64(max(o.Timeout.Milliseconds(), 1)))
	}
	return d
}

// processReport is one process of a result: (ustsasuttas(st)): PID, name, start
// time, entity, functions, attempts, threads, pause in nanoseconds, parts of it.
type processReport struct {
	PID       uint32
	Name      string
	Start     uint64
	Entity    string
	Functions []string
	Attempts  uint32
	Threads   uint32
	Pause     uint64
	Parts     []pausePart
}

type pausePart struct {
	Name string
	Time uint64
}

// failure is a process that a move left out: (ust) and the reason.
type failure struct {
	PID    uint32
	Name   string
	Start  uint64
	Reason string
}

// moved is the result of a move on the bus.
type moved struct {
	UUID, Name, Verb, From, To string
	Reports                    []processReport
	Failures                   []failure
	Notes                      []string
}

func toMoved(r state.Result) moved {
	m := moved{UUID: r.UUID, Name: clean(r.Name), Verb: string(r.Verb), From: string(r.From), To: string(r.To),
		Reports: []processReport{}, Failures: []failure{}, Notes: cleanAll(r.Notes)}
	for _, p := range r.Reports {
		report := processReport{
			PID: uint32(p.Process.PID), Name: clean(p.Process.Name), Start: p.Process.Start, Entity: clean(p.Entity), Functions: cleanAll(p.Functions),
			Attempts: uint32(p.Attempts), Threads: uint32(p.Threads), Pause: uint64(p.Pause), Parts: []pausePart{},
		}
		for _, part := range p.Parts {
			report.Parts = append(report.Parts, pausePart{part.Name, uint64(part.Time)})
		}
		m.Reports = append(m.Reports, report)
	}
	for _, f := range r.Failures {
		m.Failures = append(m.Failures, failure{uint32(f.Process.PID), clean(f.Process.Name), f.Process.Start, clean(f.Err.Error())})
	}
	return m
}

func (m moved) result() state.Result {
	r := state.Result{UUID: m.UUID, Name: m.Name, Verb: state.Verb(m.Verb), From: state.State(m.From), To: state.State(m.To),
		Reports: []state.Report{}, Notes: m.Notes}
	for _, p := range m.Reports {
		report := state.Report{
			Process: state.Process{PID: int(p.PID), Name: p.Name, Start: p.Start}, Entity: p.Entity, Functions: p.Functions,
			Attempts: int(p.Attempts), Threads: int(p.Threads), Pause: time.Duration(p.Pause),
		}
		for _, part := range p.Parts {
			report.Parts = append(report.Parts, state.PausePart{Name: part.Name, Time: time.Duration(part.Time)})
		}
		r.Reports = append(r.Reports, report)
	}
	for _, f := range m.Failures {
		r.Failures = append(r.Failures, &state.ProcessError{
			Process: state.Process{PID: int(f.PID), Name: f.Name, Start: f.Start}, Err: &RemoteError{Message: f.Reason},
		})
	}
	return r
}

// processStatus is one process of a status: PID, name, start time, entity, whether
// it is patched, whether the code is loaded, systemd unit and container.
type processStatus struct {
	PID             uint32
	Name            string
	Start           uint64
	Entity          string
	Patched, Loaded bool
	Unit, Container string
}

func toProcesses(st state.Status) []processStatus {
	out := []processStatus{}
	for _, p := range st.Processes {
		out = append(out, processStatus{uint32(p.PID), clean(p.Name), p.Start, clean(p.Entity), p.Patched, p.Loaded, clean(p.Unit), clean(p.Container)})
	}
	return out
}

// patchProperties are the properties of a patch, by name.
func patchProperties(st state.Status) map[string]any {
	p := map[string]any{
		"UUID": st.UUID, "FullName": clean(st.Name), "State": string(st.State), "Recorded": string(st.Recorded), "Saved": string(st.Saved),
		"Running": uint32(st.Running), "Patched": uint32(st.Patched), "Notes": cleanAll(st.Notes), "Problem": clean(st.Problem),
	}
	meta := st.Meta
	if meta == nil {
		meta = &metadata.Patch{}
	}
	var entities, patches []string
	for _, e := range meta.Entities {
		entities = append(entities, e.Name)
	}
	for _, s := range meta.Patches {
		patches = append(patches, s.Name)
	}
	target := ""
	if meta.Target.Name != "" {
		target = meta.Target.FullName()
	}
	for name, value := range map[string]string{
		"Name": meta.Name, "Version": meta.Version, "Release": meta.Release, "Arch": meta.Arch, "Type": string(meta.Type),
		"Target": target, "Digest": meta.Digest, "License": meta.License, "Description": meta.Description,
	} {
		p[name] = clean(value)
	}
	p["Entities"], p["Patches"] = cleanAll(entities), cleanAll(patches)
	return p
}

func cleanAll(all []string) []string {
	out := []string{}
	for _, s := range all {
		out = append(out, clean(s))
	}
	return out
}
