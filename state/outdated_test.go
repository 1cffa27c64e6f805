package state

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
)

// installProgram makes a program with a build ID, in place of one that is there, as
// a package does.
func installProgram(t *testing.T, root string, id object.BuildID) {
	t.Helper()
	path := filepath.Join(root, "usr/bin/server")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	cmd := exec.Command("gcc", "-x", "c", "-", "-o", path+".new", "-Wl,--build-id=0x"+string(id))
	cmd.Stdin = strings.NewReader("int main(void) { return 0; }")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.NoError(t, os.Rename(path+".new", path))
}

// An update of the target ends the life of its patches: not before the last process
// with the old program has ended, and without a word about errors after a boot.
func TestUpdatedTargetRetiresItsPatches(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	p := addPatch(t, root, patchSpec{path: "/usr/bin/server"})
	installProgram(t, root, serverID)
	m := newManager(t, root, engine)
	for _, move := range []Verb{VerbApply, VerbAccept} {
		_, err := m.Move(t.Context(), move, "HP001", MoveOptions{})
		require.NoError(t, err)
	}
	_, err := m.Save(t.Context())
	require.NoError(t, err)
	rescan := func() []Result {
		t.Helper()
		done, err := m.Rescan(t.Context(), MoveOptions{Who: "test"})
		require.NoError(t, err)
		return done
	}
	require.Empty(t, rescan())

	installProgram(t, root, "cc33")
	require.Empty(t, rescan(), "a process has it")
	st, err := m.Status(t.Context(), "HP001")
	require.NoError(t, err)
	assert.Equal(t, Accepted, st.State)
	assert.Contains(t, strings.Join(st.Notes, "\n"), "/usr/bin/server was replaced, as by an update of redis: programs that start are not patched")

	delete(engine.procs, 1)
	done := rescan()
	require.Len(t, done, 1)
	assert.Equal(t, Accepted, done[0].From)
	assert.Equal(t, NotApplied, done[0].To)
	rec := readRecord(t, root, p.UUID)
	assert.Equal(t, NotApplied, rec.State)
	assert.Empty(t, rec.Saved)
	st, err = m.Status(t.Context(), "HP001")
	require.NoError(t, err)
	assert.Equal(t, NotApplied, st.State)
	assert.Contains(t, strings.Join(st.Notes, "\n"), "retired: /usr/bin/server was replaced")
	require.Empty(t, rescan(), "once")

	installProgram(t, root, serverID) // back to the old one
	_, err = m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	assert.Empty(t, readRecord(t, root, p.UUID).Retired)
}

func TestUpdateBeforeABoot(t *testing.T) {
	root := t.TempDir()
	addPatch(t, root, patchSpec{path: "/usr/bin/server"})
	installProgram(t, root, serverID)
	m := newManager(t, root, newFake(1))
	for _, move := range []Verb{VerbApply, VerbAccept} {
		_, err := m.Move(t.Context(), move, "HP001", MoveOptions{})
		require.NoError(t, err)
	}
	installProgram(t, root, "cc33")
	m = newManager(t, root, newFake())
	m.boot = "another boot"
	done, err := m.Restore(t.Context(), true, MoveOptions{})
	require.NoError(t, err)
	require.Len(t, done, 1)
	assert.Contains(t, done[0].Notes[0], "is retired")
	done, err = m.Restore(t.Context(), true, MoveOptions{})
	require.NoError(t, err)
	require.Empty(t, done)
}

// A program that is missing may be on a disk that is not there yet.
func TestMissingTargetRetiresNothing(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	p := addPatch(t, root, patchSpec{path: "/usr/bin/server"})
	m := newManager(t, root, engine)
	_, err := m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	delete(engine.procs, 1)
	_, err = m.Rescan(t.Context(), MoveOptions{})
	require.NoError(t, err)
	assert.Equal(t, Actived, readRecord(t, root, p.UUID).State)
}
