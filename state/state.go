package state

import (
	"fmt"
	"slices"

	"github.com/openeuler/syscare/state/metadata"
)

// State is where a patch is in its life.
//
//	              apply                    accept
//	NOT-APPLIED ─────────────────► ACTIVED ──────► ACCEPTED
//	   ▲  ▲  ▲                     ▲  │  │          │  │
//	   │  │  │              active │  │  │          │  │
//	   │  │  │              apply  │  ▼ deactive    │  │
//	   │  │  └─ remove ──── DEACTIVED ◄── deactive ─┘  │
//	   │  └──── remove ───────────────┴─── (ACTIVED)   │
//	   └─────── remove ────────────────────────────────┘
//
// The table moves below is the whole of it. UNKNOWN is a patch that cannot be
// read; it has one move, remove.
type State string

// The states, spelt as all output spells them.
const (
	Unknown    State = "UNKNOWN"
	NotApplied State = "NOT-APPLIED"
	Deactived  State = "DEACTIVED"
	Actived    State = "ACTIVED"
	Accepted   State = "ACCEPTED"
)

// presence is what a process carries when its patch is in state s.
func (s State) presence() Presence {
	switch s {
	case Deactived:
		return Loaded
	case Actived, Accepted:
		return Active
	default:
		return Absent
	}
}

// valid reports whether s may stand in the store.
func (s State) valid() bool {
	switch s {
	case NotApplied, Deactived, Actived, Accepted:
		return true
	default:
		return false
	}
}

// Verb is what a user asks to be done with a patch.
type Verb string

// The verbs of the manual, and restoring, which ends in a recorded state.
const (
	VerbApply    Verb = "apply"
	VerbRemove   Verb = "remove"
	VerbActive   Verb = "active"
	VerbDeactive Verb = "deactive"
	VerbAccept   Verb = "accept"
	verbRestore  Verb = "restore"
)

// raises reports whether v brings code into processes or switches it on. The
// other verbs only take it out or off, in the processes that have it.
func (v Verb) raises() bool { return v == VerbApply || v == VerbActive }

// moves is the state machine: for each verb the state that each state leads
// to. A pair that is not here is refused; advice says what to do instead.
// apply and active on a patch that is already active reach the processes that
// started since; the other moves from a state to itself do nothing.
var moves = map[Verb]map[State]State{
	VerbApply:    {NotApplied: Actived, Deactived: Actived, Actived: Actived, Accepted: Accepted},
	VerbRemove:   {NotApplied: NotApplied, Deactived: NotApplied, Actived: NotApplied, Accepted: NotApplied, Unknown: NotApplied},
	VerbActive:   {Deactived: Actived, Actived: Actived, Accepted: Accepted},
	VerbDeactive: {Deactived: Deactived, Actived: Deactived, Accepted: Deactived},
	VerbAccept:   {Actived: Accepted, Accepted: Accepted},
}

// advice is the next step for a move that is refused.
var advice = map[Verb]map[State]string{
	VerbActive:   {NotApplied: "it is not loaded; use `syscare apply`"},
	VerbDeactive: {NotApplied: "it is not applied, so there is nothing to deactivate"},
	VerbAccept: {
		NotApplied: "only an active patch can be accepted; use `syscare apply` first",
		Deactived:  "only an active patch can be accepted; use `syscare active` first",
	},
}

// next gives the state that verb leads to from from, or an ErrState.
func next(verb Verb, from State) (State, error) {
	if to, ok := moves[verb][from]; ok {
		return to, nil
	}
	why := advice[verb][from]
	if why == "" {
		why = "its files cannot be trusted; see `syscare check`, then reinstall its package"
	}
	return "", fmt.Errorf("%w: cannot %s a patch that is %s: %s", ErrState, verb, from, why)
}

// observe applies the rules of the package comment. rec is nil if nothing is
// recorded; most is the highest presence of any entity in any process.
func observe(rec *record, boot string, most Presence) State {
	recorded := NotApplied
	if rec != nil && rec.BootID == boot {
		recorded = rec.State
	}
	switch {
	case most == Active && recorded == Accepted:
		return Accepted
	case most == Active:
		return Actived
	case most == Loaded && (rec == nil || recorded != NotApplied || rec.Pending != nil):
		return Deactived
	case most == Absent && rec != nil && rec.Pending != nil && rec.Pending.BootID == boot && rec.Pending.To == NotApplied:
		return NotApplied // a removal that was killed after the last process
	default:
		return recorded
	}
}

// supersedes reports whether a takes the place of b: both are versions of one patch,
// or a is cumulative and made of all that b is made of.
func supersedes(a, b *metadata.Patch) bool {
	if a.Target.FullName() != b.Target.FullName() {
		return false
	}
	return a.Name == b.Name || len(b.Patches) > 0 && !slices.ContainsFunc(b.Patches, func(s metadata.SourcePatch) bool {
		return !slices.ContainsFunc(a.Patches, func(t metadata.SourcePatch) bool { return t.Digest == s.Digest })
	})
}
