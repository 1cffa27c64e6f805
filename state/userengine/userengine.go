// Package userengine reaches processes for package state.
//
// This build has no process engine: every question and change is refused with
// state.ErrUnsupported, so that nothing is ever reported as done that was not.
// It may import state, engine/user and below.
package userengine

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/state"
)

var errNoEngine = fmt.Errorf("%w: this build cannot reach processes", state.ErrUnsupported)

// New makes the engine.
func New(*slog.Logger) state.Engine { return engine{} }

// RunGuardIfAsked must be the first call of main: the program is also its own
// guard. It returns unless that was asked for.
func RunGuardIfAsked() {}

type engine struct{}

func (engine) Find(context.Context, object.BuildID) ([]state.Process, error) {
	return nil, errNoEngine
}

func (engine) Presence(context.Context, state.Process) (map[string]state.Presence, error) {
	return nil, errNoEngine
}

func (engine) Bring(context.Context, state.Process, state.Entity, state.Presence, state.Tuning) (state.Report, error) {
	return state.Report{}, errNoEngine
}

func (engine) Repair(context.Context, state.Process) error { return errNoEngine }
