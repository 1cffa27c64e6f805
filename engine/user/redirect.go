package user

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// edit is one change of the target's text.
type edit struct {
	at       uint64
	old, new []byte
}

// switcher redirects the functions of one region, or takes that back.
type switcher struct {
	*session
	head     *header
	retired  *header // the patch that head replaces in the same stop; nil for none
	stacked  layers
	during   State
	after    State
	edits    []edit
	expected []edit // of code: old is what must be there, new a buffer for what is
	slots    []edit // of slots, likewise
	examiner examiner
	encoded  []byte // header as it must be, and a buffer for it
	now      []byte
}

// redirect puts the jumps of h in place, or the old bytes back, in one stop of
// the whole process.
func (s *session) redirect(ctx context.Context, h *header, on bool) error {
	return s.replace(ctx, h, nil, on)
}

// replace is redirect; in the same stop it deactivates another patch.
func (s *session) replace(ctx context.Context, h, retired *header, on bool) error {
	if err := s.watched(); err != nil {
		return err
	}
	w := &switcher{session: s, head: h, retired: retired, during: Deactivating, after: Inactive}
	switch {
	case retired != nil:
		w.during, w.after = Replacing, Active
	case on:
		w.during, w.after = Activating, Active
	}
	zones, err := w.plan(on)
	if err != nil {
		return err
	}
	buf := buffers.Get().(*[]byte)
	defer func() {
		*buf = w.examiner.buf // it may have grown
		buffers.Put(buf)
	}()
	w.examiner = examiner{proc: s.proc, mem: s.mem, head: h, zones: zones, startStack: s.startStack, buf: *buf}
	w.examiner.prepare()
	s.report.Prepare = time.Since(s.began)
	return s.retry(ctx, func() error {
		err := w.attempt()
		var busy ErrBusy
		if errors.As(err, &busy) && w.examiner.suspects > 0 && w.examiner.unwinder == nil {
			// Only now is the time for reading unwind tables well spent.
			maps, mapsErr := s.maps.read()
			if mapsErr != nil {
				return mapsErr
			}
			w.examiner.unwinder = newUnwinder(s.proc, s.mem, maps, s.maps.imagesIn(s.mem), h)
			err = w.attempt()
		}
		return err
	})
}

// plan prepares every buffer that the stop needs, and checks beforehand what
// the stop will check again. It returns the code that no thread may be in.
func (w *switcher) plan(on bool) ([]zone, error) {
	maps, all, err := w.regions()
	if err != nil {
		return nil, err
	}
	for i, h := range all { // one header, one copy of what it says
		switch {
		case h.rx == w.head.rx:
			all[i] = w.head
		case w.retired != nil && h.rx == w.retired.rx:
			all[i] = w.retired
		}
	}
	w.stacked = layersOf(all)
	// Before the code when going in, so that new code never runs unknown.
	if err := w.finderEdits(maps, all, on); err != nil {
		return nil, err
	}
	zones := deactivationZones(w.head, w.opts.Force)
	if on {
		if zones, err = w.planOn(); err == nil {
			err = w.head.setOrder(w.mem, w.stacked.nextOrder())
		}
	} else {
		err = w.planOff(w.head, w.head)
	}
	if err == nil && w.retired != nil {
		err = w.planOff(w.retired, w.head, w.retired)
	}
	if err != nil {
		return nil, err
	}
	w.encoded, err = w.head.encode()
	w.now = make([]byte, len(w.encoded))
	return zones, err
}

// planOn plans the jumps of the patch that is activated: over the code that it
// expects, or over the jump of another patch there.
func (w *switcher) planOn() ([]zone, error) {
	under := map[*header]bool{} // what runs at present has to come to an end, too
	if w.retired != nil {
		under[w.retired] = true
	}
	for _, f := range w.head.functions {
		code, err := w.mem.bytes(f.old.at, int(f.old.size))
		if err != nil {
			return nil, fmt.Errorf("code of %q: %w", f.name, err)
		}
		w.expected = append(w.expected, edit{at: f.old.at, old: bytes.Clone(code), new: make([]byte, len(code))})
		for _, h := range w.stacked.unpatched(code, f.old.at) {
			under[h] = true
		}
		if sha256.Sum256(code) != f.digest {
			return nil, ErrMismatch{PID: w.proc.PID, Function: f.name}
		}
		if !f.redirects() {
			continue
		}
		if other := w.stacked.straddles(f, w.head); other != nil {
			return nil, ErrConflict{PID: w.proc.PID, Function: f.name, UUID: other.uuid.String()}
		}
		now, err := w.mem.bytes(f.jumpAt(), len(f.jump))
		if err != nil {
			return nil, err
		}
		if !w.stacked.explains(f, now) {
			return nil, ErrMismatch{PID: w.proc.PID, Function: f.name, Offset: uint64(f.jumpOffset)}
		}
		w.change(f, now, f.jump)
	}
	zones := activationZones(w.head, w.opts.Force)
	for h := range under {
		zones = append(zones, deactivationZones(h, w.opts.Force)...)
	}
	return zones, nil
}

// planOff plans the end of the jumps of h. What comes instead are those of other
// patches, without the given ones, or the code from before. Functions that the
// patch which is activated replaces are left to it.
func (w *switcher) planOff(h *header, without ...*header) error {
	for _, f := range h.functions {
		if !f.redirects() || h != w.head && w.head.at(f) != nil {
			continue
		}
		now, err := w.mem.bytes(f.jumpAt(), len(f.jump))
		if err != nil {
			return fmt.Errorf("code of %q: %w", f.name, err)
		}
		switch {
		case bytes.Equal(now, f.jump):
			w.change(f, now, w.stacked.entry(f, without...))
		case !bytes.Equal(now, w.stacked.entry(f)):
			return ErrMismatch{PID: w.proc.PID, Function: f.name, Offset: uint64(f.jumpOffset)}
		}
	}
	return nil
}

// change plans other bytes at the entry of f.
func (w *switcher) change(f function, from, to []byte) {
	w.edits = append(w.edits, edit{at: f.jumpAt(), old: from, new: to})
	w.expected = append(w.expected, edit{at: f.jumpAt(), old: from, new: make([]byte, len(from))})
}

// attempt is one stop.
func (w *switcher) attempt() error {
	var err error
	w.report.Attempts++
	w.examiner.suspects = 0
	w.trace(func(t *tracer) bool {
		err = t.stopAll()
		stopped := time.Now()
		checked, written := stopped, stopped
		if err == nil {
			err = w.settle(t)
			if err == nil {
				err = w.before(t)
			}
			checked = time.Now()
		}
		if err == nil {
			if err = w.write(); err == nil {
				w.afterwards(t)
			}
			written = time.Now()
		}
		threads := t.count()
		clean := undisturbed(t.release)
		end := time.Now()
		if err == nil {
			w.report.Threads = threads
			w.report.Interrupt, w.report.Check, w.report.Write = stopped.Sub(t.began), checked.Sub(stopped), written.Sub(checked)
			w.report.Resume, w.report.Pause = end.Sub(written), end.Sub(t.began)
		}
		return clean
	})
	return err
}

// settle is check; from the second attempt on, threads that are on their way
// out of hot functions are led out of them one after the other, while the
// others stand. With many threads no moment may ever come at which all are
// outside by chance.
func (w *switcher) settle(t *tracer) error {
	err := w.check(t)
	var busy ErrBusy
	if w.report.Attempts == 1 || !errors.As(err, &busy) {
		return err
	}
	limit := time.Now().Add(min(time.Duration(w.report.Attempts)*2*time.Millisecond, maxLeading))
	for _, i := range w.examiner.busy {
		if err := w.examiner.lead(t, &t.threads[i], limit); err != nil {
			return err
		}
	}
	if err := t.stopAll(); err != nil { // a thread that ran may have made others
		return err
	}
	return w.check(t)
}

// check is everything that must hold before the first byte changes.
func (w *switcher) check(t *tracer) error {
	if err := t.loadRegs(); err != nil {
		return err
	}
	maps, err := w.maps.read()
	if err != nil {
		return err
	}
	m := find(maps, w.head.rx.at)
	if m == nil || !isRegion(*m) || m.start != w.head.rx.at || m.end != w.head.rx.end() {
		return fmt.Errorf("process %d: the region of patch %s vanished: %w", w.proc.PID, w.head.uuid, ErrNotApplied)
	}
	if err := w.mem.read(w.now, w.head.rx.at); err != nil {
		return err
	}
	if !bytes.Equal(w.now, w.encoded) {
		return fmt.Errorf("process %d: the header of patch %s changed: %w", w.proc.PID, w.head.uuid, errHeader)
	}
	for i := range w.expected {
		e := &w.expected[i]
		if m := find(maps, e.at); m == nil || !m.exec {
			return fmt.Errorf("process %d: code at %#x: %w", w.proc.PID, e.at, ErrNoTarget)
		}
		if err := w.mem.read(e.new, e.at); err != nil {
			return err
		}
		if !bytes.Equal(e.new, e.old) {
			return w.mismatch(e)
		}
	}
	for i := range w.slots {
		e := &w.slots[i]
		if err := w.mem.read(e.new, e.at); err != nil {
			return err
		}
		if !bytes.Equal(e.new, e.old) {
			return fmt.Errorf("process %d: the slot of %s at %#x was changed meanwhile; try again", w.proc.PID, findFDE, e.at)
		}
	}
	w.examiner.maps = maps
	return w.examiner.checkAll(t)
}

func (w *switcher) mismatch(e *edit) error {
	offset := 0
	for offset < len(e.old) && e.old[offset] == e.new[offset] {
		offset++
	}
	at := e.at + uint64(offset)
	for _, f := range w.head.functions {
		if at >= f.old.at && at < f.old.end() {
			return ErrMismatch{PID: w.proc.PID, Function: f.name, Offset: at - f.old.at}
		}
	}
	return ErrMismatch{PID: w.proc.PID, Offset: at}
}

// write makes the edits, or none. The headers say what is going on before the
// first byte changes, and the new one has the last word: see repair.
func (w *switcher) write() error {
	before := w.head.state
	err := w.head.setState(w.mem, w.during)
	if err == nil && w.retired != nil {
		err = w.retired.setState(w.mem, Deactivating)
	}
	if err == nil {
		err = w.editAll()
	}
	if err == nil && w.retired != nil {
		err = w.retired.setState(w.mem, Inactive)
	}
	if err == nil {
		err = w.head.setState(w.mem, w.after)
	}
	if err == nil {
		return nil
	}
	for _, e := range w.edits {
		err = errors.Join(err, w.mem.write(e.old, e.at))
	}
	if w.retired != nil {
		err = errors.Join(err, w.retired.setState(w.mem, Active))
	}
	return errors.Join(err, w.head.setState(w.mem, before))
}

func (w *switcher) editAll() error {
	for i := range w.edits {
		if err := w.mem.write(w.edits[i].new, w.edits[i].at); err != nil {
			return err
		}
	}
	var back [maxJump]byte
	for i := range w.edits {
		e := &w.edits[i]
		got := back[:len(e.new)]
		if err := w.mem.read(got, e.at); err != nil {
			return err
		}
		if !bytes.Equal(got, e.new) {
			return fmt.Errorf("code at %#x does not hold what was written", e.at)
		}
	}
	return nil
}
