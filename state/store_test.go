package state

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
)

const aUUID = "980fa0d0-e753-447c-8494-01de595f35d0"

// What can be wrong with state.json. Each is set aside by the next command
// that changes something, and the truth comes from the processes.
func TestDamagedStore(t *testing.T) {
	for name, text := range map[string]string{
		"empty":           "",
		"torn":            `{"schema": 1, "patches": {"980f`,
		"not JSON":        "\x00\x00\x00\x00",
		"old schema":      `{"schema": 0, "patches": {}}`,
		"unknown member":  `{"schema": 1, "patches": {}, "more": 1}`,
		"trailing data":   `{"schema": 1, "patches": {}} {}`,
		"not a UUID":      `{"schema": 1, "patches": {"x": {"state": "ACTIVED"}}}`,
		"no such state":   `{"schema": 1, "patches": {"` + aUUID + `": {"state": "UP"}}}`,
		"null record":     `{"schema": 1, "patches": {"` + aUUID + `": null}}`,
		"bad build ID":    `{"schema": 1, "patches": {"` + aUUID + `": {"state": "ACTIVED", "entities": [{"uuid": "` + aUUID + `", "build_id": "zz"}]}}}`,
		"pending nowhere": `{"schema": 1, "patches": {"` + aUUID + `": {"state": "ACTIVED", "pending": {"from": "ACTIVED", "to": "UNKNOWN"}}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			root, engine := t.TempDir(), newFake(1)
			p := addPatch(t, root, patchSpec{})
			engine.procs[1].carries[p.Entities[0].UUID] = Active
			dir := filepath.Join(root, storeDir)
			require.NoError(t, os.MkdirAll(dir, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, storeName), []byte(text), 0o644))
			m := newManager(t, root, engine)

			st, err := m.Status(t.Context(), "HP001")
			require.NoError(t, err)
			assert.Equal(t, Actived, st.State)
			assert.Contains(t, strings.Join(st.Notes, "\n"), "read from the processes")

			_, err = m.Rescan(t.Context(), MoveOptions{})
			require.NoError(t, err)
			assert.Equal(t, Actived, readRecord(t, root, p.UUID).State)
			aside, err := filepath.Glob(filepath.Join(dir, storeName+".corrupt-*"))
			require.NoError(t, err)
			require.Len(t, aside, 1)
			kept, err := os.ReadFile(aside[0])
			require.NoError(t, err)
			assert.Equal(t, text, string(kept))
		})
	}
}

// A store that a newer program wrote is neither used nor set aside.
func TestNewerStore(t *testing.T) {
	root := t.TempDir()
	addPatch(t, root, patchSpec{})
	path := filepath.Join(root, storeDir, storeName)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(`{"schema": 2, "things": []}`), 0o644))
	_, err := newManager(t, root, newFake()).Save(t.Context())
	require.ErrorIs(t, err, errNewer)
	assert.FileExists(t, path)
}

func TestUntrustedStore(t *testing.T) {
	root := t.TempDir()
	addPatch(t, root, patchSpec{})
	dir := filepath.Join(root, storeDir)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.Chmod(dir, 0o777))
	_, err := newManager(t, root, newFake()).List(t.Context())
	require.ErrorIs(t, err, ErrInsecure)
}

// A crash while the new file is written leaves the old one in force.
func TestLeftOverTemporaryFile(t *testing.T) {
	root := t.TempDir()
	p := addPatch(t, root, patchSpec{})
	m := newManager(t, root, newFake(1))
	_, err := m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	temp := filepath.Join(root, storeDir, storeName+".new")
	require.NoError(t, os.WriteFile(temp, []byte(`{"sch`), 0o600))
	assert.Equal(t, Actived, readRecord(t, root, p.UUID).State)
	_, err = m.Accept(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	assert.NoFileExists(t, temp)
}

// If the intent cannot be written, no process is touched.
func TestNoIntentNoMove(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	p := addPatch(t, root, patchSpec{})
	// A directory in the place of the temporary file fails the write.
	require.NoError(t, os.MkdirAll(filepath.Join(root, storeDir, storeName+".new", "x"), 0o755))
	_, err := newManager(t, root, engine).Apply(t.Context(), "HP001", MoveOptions{})
	require.Error(t, err)
	assert.Equal(t, []Presence{Absent}, engine.has(p.Entities[0].UUID))
	assert.Zero(t, engine.calls)
}

func TestLock(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	addPatch(t, root, patchSpec{})
	m := newManager(t, root, engine)
	unlock, err := lock(t.Context(), root, time.Second)
	require.NoError(t, err)
	_, err = m.Apply(t.Context(), "HP001", MoveOptions{})
	require.ErrorIs(t, err, ErrLocked)
	_, err = m.List(t.Context())
	require.NoError(t, err, "readers need no lock")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = lock(ctx, root, time.Minute)
	require.ErrorIs(t, err, context.Canceled)
	unlock()
	_, err = m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
}

func TestIdentifiers(t *testing.T) {
	root := t.TempDir()
	one := addPatch(t, root, patchSpec{name: "HP001"})
	two := addPatch(t, root, patchSpec{name: "HP001", version: "2"})
	three := addPatch(t, root, patchSpec{name: "HP001", target: "nginx"})
	four := addPatch(t, root, patchSpec{name: "HP002"})
	five := addPatch(t, root, patchSpec{name: "HP002-1-1", target: "nginx"})
	all, err := readInstalled(root)
	require.NoError(t, err)
	for id, want := range map[string]string{
		one.UUID:                      one.UUID,
		"redis-6.2.5-1/HP001-1-1":     one.UUID,
		"redis-6.2.5-1/HP001-2-1":     two.UUID,
		"HP001-2-1":                   two.UUID,
		"nginx-6.2.5-1/HP001":         three.UUID,
		"HP002":                       four.UUID,
		"redis-6.2.5-1/HP002":         four.UUID,
		"HP002-1-1":                   four.UUID, // a full spelling wins
		"HP002-1-1-1-1":               five.UUID,
		"nginx-6.2.5-1/HP002-1-1-1-1": five.UUID,
	} {
		p, err := resolve(all, id)
		require.NoError(t, err, id)
		assert.Equal(t, want, p.UUID, id)
	}
	_, err = resolve(all, "redis-6.2.5-1/HP001")
	require.ErrorIs(t, err, ErrAmbiguous)
	for _, s := range []string{one.UUID, one.FullName(), two.UUID, two.FullName()} {
		require.ErrorContains(t, err, s)
	}
	require.NotContains(t, err.Error(), three.UUID)
	_, err = resolve(all, "HP001-1-1")
	require.ErrorIs(t, err, ErrAmbiguous)
	_, err = resolve(all, "redis-6.2.5-1/HP003")
	require.ErrorIs(t, err, ErrNotFound)
	require.ErrorContains(t, err, "did you mean")
	for _, id := range []string{"", "/", "redis-6.2.5-1/", "/HP002", "x", "../../etc"} {
		_, err = resolve(all, id)
		require.ErrorIs(t, err, ErrNotFound, id)
	}
}

func FuzzParseStore(f *testing.F) {
	f.Add([]byte(`{"schema": 1, "patches": {}}`))
	f.Add([]byte(`{"schema": 1, "patches": {"` + aUUID + `": {"name": "a/b-1-1", "entities": [{"uuid": "` + aUUID + `", "name": "x", "build_id": "aa"}],
		"state": "ACTIVED", "boot_id": "b", "order": 1, "when": "2026-01-01T00:00:00Z", "who": "root", "pending": {"verb": "remove", "from": "ACTIVED", "to": "NOT-APPLIED"}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseStore(data)
		if err != nil {
			return
		}
		root := t.TempDir()
		require.NoError(t, s.write(root), "what was accepted can be written")
		again, lost, err := readStore(root)
		require.NoError(t, err)
		require.NoError(t, lost)
		require.Len(t, again.Patches, len(s.Patches))
	})
}

// A user who may not read the store is told that the state is not known,
// rather than that the patch is not applied.
func TestUnprivilegedReader(t *testing.T) {
	root := t.TempDir()
	addPatch(t, root, patchSpec{})
	m := newManager(t, root, newFake())
	_, err := m.Apply(t.Context(), "HP001", MoveOptions{Force: true})
	require.NoError(t, err)
	v := &view{m: m, store: newStore(), lost: os.ErrPermission, blind: true, found: map[object.BuildID]findResult{}}
	v.all, err = readInstalled(root)
	require.NoError(t, err)
	assert.Equal(t, Unknown, v.status(t.Context(), v.all[0]).State)
}
