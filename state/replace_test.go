package state

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// versions is a machine with three processes and two versions of a patch, the
// first of which is active.
func versions(t *testing.T) (m *Manager, engine *fakeEngine, has func() [2][]Presence) {
	root := t.TempDir()
	engine = newFake(1, 2, 3)
	first, second := addPatch(t, root, patchSpec{}), addPatch(t, root, patchSpec{version: "2"})
	m = newManager(t, root, engine)
	_, err := m.Apply(t.Context(), "HP001-1-1", MoveOptions{})
	require.NoError(t, err)
	return m, engine, func() [2][]Presence {
		return [2][]Presence{engine.has(first.Entities[0].UUID), engine.has(second.Entities[0].UUID)}
	}
}

func everywhere(p Presence) []Presence { return []Presence{p, p, p} }

func requireStates(t *testing.T, m *Manager, first, second State) {
	t.Helper()
	for id, want := range map[string]State{"HP001-1-1": first, "HP001-2-1": second} {
		st, err := m.Status(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, want, st.State, id)
	}
}

// A version takes the place of the one that is active, in all processes or in
// none, forwards and back.
func TestVersionsReplaceEachOther(t *testing.T) {
	m, engine, has := versions(t)
	engine.fail[3] = errors.New("no")
	_, err := m.Apply(t.Context(), "HP001-2-1", MoveOptions{})
	require.Error(t, err)
	require.Equal(t, [2][]Presence{everywhere(Active), everywhere(Absent)}, has())
	requireStates(t, m, Actived, NotApplied)

	res, err := m.Apply(t.Context(), "HP001-2-1", MoveOptions{BestEffort: true})
	require.NoError(t, err)
	require.Contains(t, res.Notes[0], "keep redis-6.2.5-1/HP001-1-1")
	require.Equal(t, [2][]Presence{{Absent, Absent, Active}, {Active, Active, Absent}}, has(), "no process is without")

	engine.fail = nil
	_, err = m.Apply(t.Context(), "HP001-2-1", MoveOptions{})
	require.NoError(t, err)
	_, err = m.Remove(t.Context(), "HP001-1-1", MoveOptions{})
	require.NoError(t, err)
	require.Equal(t, [2][]Presence{everywhere(Absent), everywhere(Active)}, has())
	requireStates(t, m, NotApplied, Actived)

	_, err = m.Accept(t.Context(), "HP001-2-1", MoveOptions{})
	require.NoError(t, err)
	res, err = m.Apply(t.Context(), "HP001-1-1", MoveOptions{})
	require.NoError(t, err)
	require.Contains(t, res.Notes[0], "accept this one, too")
	require.Equal(t, [2][]Presence{everywhere(Active), everywhere(Absent)}, has())
	requireStates(t, m, Actived, NotApplied)
}

// Killed at any process, the next command finds each process with one of the
// versions, and ends with the same one in all.
func TestKilledWhileReplacing(t *testing.T) {
	for at := 1; at <= 3; at++ {
		t.Run(string(rune('0'+at)), func(t *testing.T) {
			m, engine, has := versions(t)
			engine.mu.Lock()
			engine.calls, engine.killAt, engine.killed = 0, at, make(chan struct{})
			engine.mu.Unlock()
			go func() { _, _ = m.Move(context.Background(), VerbApply, "HP001-2-1", MoveOptions{}) }()
			<-engine.killed
			require.NoError(t, os.Remove(filepath.Join(m.root, lockPath)))
			engine.mu.Lock()
			engine.killAt = 0
			engine.mu.Unlock()
			m = newManager(t, m.root, engine)
			_, err := m.Rescan(t.Context(), MoveOptions{})
			require.NoError(t, err)
			if at == 1 {
				require.Equal(t, [2][]Presence{everywhere(Active), everywhere(Absent)}, has())
				requireStates(t, m, Actived, NotApplied)
				return
			}
			require.Equal(t, [2][]Presence{everywhere(Absent), everywhere(Active)}, has())
			requireStates(t, m, NotApplied, Actived)
		})
	}
}
