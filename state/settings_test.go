package state

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What an administrator does not want is not brought in; it can be taken out.
func TestBlockedTargets(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	p := addPatch(t, root, patchSpec{})
	m := newManager(t, root, engine)
	m.Configure(Settings{Blocked: []string{"redis"}})
	_, err := m.Apply(t.Context(), "HP001", MoveOptions{Force: true})
	require.ErrorIs(t, err, ErrBlocked)
	require.Equal(t, []Presence{Absent}, engine.has(p.Entities[0].UUID))
	m.Configure(Settings{})
	_, err = m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	m.Configure(Settings{Blocked: []string{"redis"}})
	_, err = m.Remove(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	require.Equal(t, []Presence{Absent}, engine.has(p.Entities[0].UUID))
}

// Processes of a program that is left out stay as they are.
func TestSkippedExecutables(t *testing.T) {
	root, engine := t.TempDir(), newFake(1, 2, 3)
	p := addPatch(t, root, patchSpec{})
	m := newManager(t, root, engine)
	m.Configure(Settings{Skipped: []string{"/usr/bin/server2"}})
	_, err := m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	require.Equal(t, []Presence{Active, Absent, Active}, engine.has(p.Entities[0].UUID))
	st, err := m.Status(t.Context(), "HP001")
	require.NoError(t, err)
	require.Equal(t, 2, st.Running)
}
