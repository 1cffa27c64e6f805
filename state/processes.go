package state

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// maxPasses bounds how often a move looks for processes that started or
	// forked while it was at work.
	maxPasses = 8
	// revertTime is what undoing may take after a failure or a Ctrl-C.
	revertTime = 30 * time.Second
)

// change says what to do in all processes of some entities.
type change struct {
	entities   []Entity
	names      map[string]string // of entities, by UUID
	want       Presence
	raise      bool // bring up those below want; else take down those above
	tuning     Tuning
	bestEffort bool
	progress   func(done, total int) // may be nil
}

// outcome is what came of a change.
type outcome struct {
	reports  []Report
	failures []*ProcessError
	stuck    []*ProcessError // not as before, although the change was undone
	err      error           // the change could not be tried on all processes
}

func (o *outcome) failed() bool { return o.err != nil || len(o.failures) > 0 }

// step takes one entity in one process from one presence to the wanted one.
type step struct {
	entity  Entity
	from    Presence
	retires Presence // of what it takes the place of
}

// job is the steps of one process.
type job struct {
	proc  Process
	steps []step
	done  []step
	err   error
}

// bring makes the change: in all processes or, unless bestEffort, in none.
// Processes that end on the way do not count.
func (m *Manager) bring(ctx context.Context, c change) outcome {
	var out outcome
	var done []*job
	failed := map[int]bool{}
	for range maxPasses {
		jobs, err := m.plan(ctx, c, failed)
		if err != nil {
			out.err = err
			break
		}
		if len(jobs) == 0 {
			break
		}
		out.reports = append(out.reports, m.run(ctx, c, jobs)...)
		for _, j := range jobs {
			if j.err != nil {
				failed[j.proc.PID] = true
				out.failures = append(out.failures, &ProcessError{j.proc, j.err})
			}
		}
		done = append(done, jobs...)
		if len(out.failures) > 0 && !c.bestEffort {
			break
		}
	}
	if out.err == nil {
		out.err = ctx.Err()
	}
	if !out.failed() {
		return out
	}
	undo := done
	if c.bestEffort && out.err == nil {
		undo = slices.DeleteFunc(done, func(j *job) bool { return j.err == nil })
	} else {
		out.reports = nil
	}
	out.stuck = m.revert(ctx, c, undo)
	return out
}

// plan lists what is to be done now, one job for each process.
func (m *Manager) plan(ctx context.Context, c change, skip map[int]bool) ([]*job, error) {
	byPID := map[int]*job{}
	var jobs []*job
	entities := slices.Clone(c.entities)
	if !c.raise {
		slices.Reverse(entities)
	}
	for _, e := range entities {
		procs, err := m.processes(ctx, e.BuildID)
		if err != nil {
			return nil, err
		}
		seen := m.presences(ctx, procs, skip)
		for i, p := range procs {
			carries, err := seen[i].carries, seen[i].err
			if skip[p.PID] || errors.Is(err, ErrGone) {
				continue
			}
			from := carries[e.UUID]
			if err == nil && (c.raise && from >= c.want || !c.raise && from <= c.want) {
				continue
			}
			j := byPID[p.PID]
			if j == nil {
				j = &job{proc: p}
				byPID[p.PID] = j
				jobs = append(jobs, j)
			}
			if err != nil {
				j.err = err
				continue
			}
			s := step{entity: e, from: from}
			if e.Retires != nil {
				s.retires = carries[e.Retires.UUID]
			}
			j.steps = append(j.steps, s)
		}
	}
	return jobs, nil
}

// presences reads what processes carry, several at once.
func (m *Manager) presences(ctx context.Context, procs []Process, skip map[int]bool) []seenProcess {
	seen := make([]seenProcess, len(procs))
	var group errgroup.Group
	group.SetLimit(m.settings.Load().Parallel)
	for i, p := range procs {
		if skip[p.PID] {
			continue
		}
		group.Go(func() error {
			seen[i].carries, seen[i].err = m.engine.Presence(ctx, p)
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	return seen
}

// run does the jobs, several at once. After a failure it starts no further
// ones unless bestEffort.
func (m *Manager) run(ctx context.Context, c change, jobs []*job) []Report {
	var (
		stop    atomic.Bool
		mu      sync.Mutex
		reports []Report
		wg      sync.WaitGroup

		finished int
	)
	places := make(chan struct{}, m.settings.Load().Parallel)
	for _, j := range jobs {
		places <- struct{}{}
		if stop.Load() || ctx.Err() != nil {
			<-places
			continue
		}
		wg.Add(1)
		go func() {
			defer func() { <-places; wg.Done() }()
			got := m.runJob(ctx, c, j)
			mu.Lock()
			reports = append(reports, got...)
			if finished++; c.progress != nil {
				c.progress(finished, len(jobs))
			}
			mu.Unlock()
			if j.err != nil && !c.bestEffort {
				stop.Store(true)
			}
		}()
	}
	wg.Wait()
	slices.SortFunc(reports, func(a, b Report) int { return a.Process.PID - b.Process.PID })
	return reports
}

func (m *Manager) runJob(ctx context.Context, c change, j *job) []Report {
	if j.err != nil {
		return nil
	}
	var reports []Report
	for _, s := range j.steps {
		r, err := m.engine.Bring(ctx, j.proc, s.entity, c.want, c.tuning)
		if errors.Is(err, ErrGone) {
			j.done = nil
			return nil
		}
		if err != nil {
			j.err = err
			return nil
		}
		r.Process, r.Entity = j.proc, c.names[s.entity.UUID]
		reports = append(reports, r)
		j.done = append(j.done, s)
	}
	return reports
}

// revert takes back what jobs did, newest first, also after ctx has ended.
func (m *Manager) revert(ctx context.Context, c change, jobs []*job) []*ProcessError {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revertTime)
	defer cancel()
	var stuck []*ProcessError
	for _, j := range slices.Backward(jobs) {
		for _, s := range slices.Backward(j.done) {
			err := m.undo(ctx, j.proc, s, c.tuning)
			if err != nil && !errors.Is(err, ErrGone) {
				stuck = append(stuck, &ProcessError{j.proc, err})
			}
		}
	}
	return stuck
}

// undo takes back one step.
func (m *Manager) undo(ctx context.Context, p Process, s step, t Tuning) error {
	if old := s.entity.Retires; old != nil && s.retires == Active {
		back := *old
		back.Retires = &s.entity
		_, err := m.engine.Bring(ctx, p, back, Active, t)
		if err != nil || s.from == Absent {
			return err
		}
	}
	_, err := m.engine.Bring(ctx, p, s.entity, s.from, t)
	return err
}
