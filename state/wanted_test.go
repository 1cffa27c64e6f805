package state

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// A patch that has crashed a process is switched off and stays off, also if it
// was removed or switched off before anybody could say so.
func TestSuspend(t *testing.T) {
	for _, before := range []State{Actived, Accepted, Deactived, NotApplied} {
		t.Run(string(before), func(t *testing.T) {
			root, engine := t.TempDir(), newFake(1, 2)
			entity := addPatch(t, root, patchSpec{}).Entities[0].UUID
			m := newManager(t, root, engine)
			for _, move := range map[State][]func(context.Context, string, MoveOptions) (Result, error){
				Actived: {m.Apply}, Accepted: {m.Apply, m.Accept}, Deactived: {m.Apply, m.Deactivate},
			}[before] {
				_, err := move(t.Context(), "HP001", MoveOptions{})
				require.NoError(t, err)
			}
			present := engine.has(entity)
			_, err := m.Suspend(t.Context(), "HP001", "process 7 crashed", MoveOptions{})
			require.NoError(t, err)
			if before.presence() == Active {
				present = []Presence{Loaded, Loaded}
			}
			require.Equal(t, present, engine.has(entity))
			wanted, err := m.Wanted(t.Context())
			require.NoError(t, err)
			require.Empty(t, wanted)

			_, err = m.Apply(t.Context(), "HP001", MoveOptions{})
			require.ErrorIs(t, err, ErrSuspended)
			require.ErrorContains(t, err, "process 7 crashed")
			require.Equal(t, present, engine.has(entity))
			_, err = m.Apply(t.Context(), "HP001", MoveOptions{Force: true})
			require.NoError(t, err)
			wanted, err = m.Wanted(t.Context())
			require.NoError(t, err)
			require.Len(t, wanted, 1)
			_, err = m.Deactivate(t.Context(), "HP001", MoveOptions{})
			require.NoError(t, err)
			_, err = m.Activate(t.Context(), "HP001", MoveOptions{})
			require.NoError(t, err, "forced once, it is a patch like others")
		})
	}
}
