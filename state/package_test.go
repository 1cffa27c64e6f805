package state

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/state/metadata"
)

// uninstall takes the files of a patch away, as rpm does behind %preun.
func uninstall(t *testing.T, root string, p *metadata.Patch) {
	t.Helper()
	require.NoError(t, os.RemoveAll(filepath.Join(root, patchesDir, p.UUID)))
}

func TestInstallDoesWhatThePolicySays(t *testing.T) {
	for policy, want := range map[Policy]State{PolicyManual: NotApplied, PolicyApply: Actived, PolicyAccept: Accepted} {
		t.Run(string(policy), func(t *testing.T) {
			root := t.TempDir()
			p := addPatch(t, root, patchSpec{})
			m := newManager(t, root, newFake(1))
			for range 2 { // a reinstall changes nothing
				_, err := m.PackageInstalled(t.Context(), p.UUID, policy, MoveOptions{})
				require.NoError(t, err)
				assert.Equal(t, want, readRecord(t, root, p.UUID).State)
			}
		})
	}
	_, err := ParsePolicy("always")
	require.ErrorContains(t, err, `"always" is none of manual, apply and accept`)
}

// A package that cannot be applied is registered all the same.
func TestInstallThatCannotApply(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	p := addPatch(t, root, patchSpec{})
	engine.fail[1] = errors.New("no")
	m := newManager(t, root, engine)
	_, err := m.PackageInstalled(t.Context(), p.UUID, PolicyApply, MoveOptions{})
	require.ErrorContains(t, err, "no")
	assert.Equal(t, NotApplied, readRecord(t, root, p.UUID).State)
	_, err = m.PackageInstalled(t.Context(), aUUID, PolicyApply, MoveOptions{})
	require.ErrorIs(t, err, ErrNotFound)
}

// What rpm does for an upgrade, a downgrade and for what is obsoleted: the new files
// come, the old package's %preun runs, the old files go, the new one's %posttrans
// runs. No process is ever without.
func TestUpgradeSwaps(t *testing.T) {
	for _, row := range []struct {
		name     string
		old, new patchSpec
		stay     int
		accepted bool
	}{
		{"upgrade", patchSpec{}, patchSpec{version: "2"}, 1, false},
		{"downgrade", patchSpec{version: "2"}, patchSpec{}, 1, false},
		{"of an accepted one", patchSpec{}, patchSpec{version: "2"}, 1, true},
		{"obsoleted by a cumulative one", patchSpec{name: "SGL_1", fixes: "1"}, patchSpec{name: "ACC", fixes: "1 2"}, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			root, engine := t.TempDir(), newFake(1, 2, 3)
			before := addPatch(t, root, row.old)
			m := newManager(t, root, engine)
			policy, want := PolicyApply, Actived
			if row.accepted {
				policy, want = PolicyAccept, Accepted
			}
			_, err := m.PackageInstalled(t.Context(), before.UUID, policy, MoveOptions{})
			require.NoError(t, err)

			after := addPatch(t, root, row.new)
			engine.onBring = func(int) {
				for pid := 1; pid <= 3; pid++ {
					carries := engine.procs[pid].carries
					require.True(t, carries[before.Entities[0].UUID] == Active || carries[after.Entities[0].UUID] == Active, "process %d is without", pid)
				}
			}
			_, err = m.PackageErased(t.Context(), before.UUID, row.stay, MoveOptions{})
			require.NoError(t, err)
			uninstall(t, root, before)
			_, err = m.PackageInstalled(t.Context(), after.UUID, PolicyManual, MoveOptions{})
			require.NoError(t, err)
			assert.Equal(t, want, readRecord(t, root, after.UUID).State)
			assert.Equal(t, everywhere(Absent), engine.has(before.Entities[0].UUID))
			assert.Equal(t, everywhere(Active), engine.has(after.Entities[0].UUID))
		})
	}
}

// An upgrade that cannot swap is an upgrade all the same. The old code is accounted
// for although its files are gone, and the next opportunity is used.
func TestUpgradeThatCannotSwap(t *testing.T) {
	root, engine := t.TempDir(), newFake(1, 2)
	before := addPatch(t, root, patchSpec{})
	m := newManager(t, root, engine)
	_, err := m.PackageInstalled(t.Context(), before.UUID, PolicyAccept, MoveOptions{})
	require.NoError(t, err)
	after := addPatch(t, root, patchSpec{version: "2"})
	engine.fail[2] = errors.New("no")
	_, err = m.PackageErased(t.Context(), before.UUID, 1, MoveOptions{})
	require.Error(t, err)
	uninstall(t, root, before)
	_, err = m.PackageInstalled(t.Context(), after.UUID, PolicyManual, MoveOptions{})
	require.Error(t, err)
	require.Equal(t, []Presence{Active, Active}, engine.has(before.Entities[0].UUID))
	require.Equal(t, Accepted, readRecord(t, root, before.UUID).State)

	engine.fail = nil
	_, err = m.PackageInstalled(t.Context(), after.UUID, PolicyManual, MoveOptions{})
	require.NoError(t, err)
	require.Equal(t, []Presence{Absent, Absent}, engine.has(before.Entities[0].UUID))
	require.Equal(t, []Presence{Active, Active}, engine.has(after.Entities[0].UUID))
	require.Equal(t, Accepted, readRecord(t, root, after.UUID).State)
	require.Nil(t, readRecord(t, root, before.UUID))
}

// When the store is lost, patches that are installed are not taken for new ones.
func TestLostStoreInstallsNothing(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	p := addPatch(t, root, patchSpec{})
	m := newManager(t, root, engine)
	_, err := m.PackageInstalled(t.Context(), p.UUID, PolicyManual, MoveOptions{})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, storeDir, storeName), []byte("torn"), 0o644))
	_, err = m.Reconcile(t.Context(), PolicyApply, MoveOptions{})
	require.NoError(t, err)
	require.Equal(t, []Presence{Absent}, engine.has(p.Entities[0].UUID))
}

func TestErase(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	p := addPatch(t, root, patchSpec{})
	m := newManager(t, root, engine)
	_, err := m.PackageInstalled(t.Context(), p.UUID, PolicyAccept, MoveOptions{})
	require.NoError(t, err)
	_, err = m.PackageErased(t.Context(), p.UUID, 1, MoveOptions{}) // as of a reinstall
	require.NoError(t, err)
	assert.Equal(t, []Presence{Active}, engine.has(p.Entities[0].UUID))
	engine.fail[1] = errors.New("no")
	_, err = m.PackageErased(t.Context(), p.UUID, 0, MoveOptions{})
	require.Error(t, err)
	assert.Equal(t, Accepted, readRecord(t, root, p.UUID).State)
	engine.fail = nil
	_, err = m.PackageErased(t.Context(), p.UUID, 0, MoveOptions{})
	require.NoError(t, err)
	assert.Equal(t, []Presence{Absent}, engine.has(p.Entities[0].UUID))
	_, err = m.PackageErased(t.Context(), aUUID, 0, MoveOptions{})
	require.NoError(t, err, "of a patch that nobody knows")
}

// A cumulative patch that an administrator has not applied is not brought in because
// another package goes, or because it comes beside an active one.
func TestCumulativePatchThatIsNotWanted(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	single := addPatch(t, root, patchSpec{name: "SGL_1", fixes: "1"})
	m := newManager(t, root, engine)
	_, err := m.PackageInstalled(t.Context(), single.UUID, PolicyApply, MoveOptions{})
	require.NoError(t, err)
	all := addPatch(t, root, patchSpec{name: "ACC", fixes: "1 2"})
	_, err = m.PackageInstalled(t.Context(), all.UUID, PolicyManual, MoveOptions{})
	require.NoError(t, err)
	require.Equal(t, []Presence{Absent}, engine.has(all.Entities[0].UUID))
	_, err = m.PackageErased(t.Context(), single.UUID, 0, MoveOptions{})
	require.NoError(t, err)
	require.Equal(t, []Presence{Absent}, engine.has(single.Entities[0].UUID))
	require.Equal(t, []Presence{Absent}, engine.has(all.Entities[0].UUID))
}

// Packages whose scripts were not run (--noscripts, an image, other tools).
func TestReconcile(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	old := addPatch(t, root, patchSpec{})
	other := addPatch(t, root, patchSpec{name: "HP002", at: 0x2000})
	m := newManager(t, root, engine)
	reconcile := func(policy Policy) []Result {
		t.Helper()
		done, err := m.Reconcile(t.Context(), policy, MoveOptions{})
		require.NoError(t, err)
		return done
	}
	require.Empty(t, reconcile(PolicyManual))
	require.Equal(t, NotApplied, readRecord(t, root, old.UUID).State, "registered")
	require.Empty(t, reconcile(PolicyApply), "the policy is for patches that are new")
	_, err := m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	_, err = m.Apply(t.Context(), "HP002", MoveOptions{})
	require.NoError(t, err)

	uninstall(t, root, old)
	uninstall(t, root, other)
	next := addPatch(t, root, patchSpec{version: "2"})
	require.Len(t, reconcile(PolicyManual), 2)
	require.Equal(t, []Presence{Absent}, engine.has(old.Entities[0].UUID))
	require.Equal(t, []Presence{Absent}, engine.has(other.Entities[0].UUID))
	require.Equal(t, []Presence{Active}, engine.has(next.Entities[0].UUID), "it takes the place of what was active")
	require.Nil(t, readRecord(t, root, old.UUID))
	require.Empty(t, reconcile(PolicyManual))

	require.NoError(t, os.RemoveAll(filepath.Join(root, patchesDir)))
	_, err = m.Reconcile(t.Context(), PolicyManual, MoveOptions{})
	require.ErrorIs(t, err, ErrCorrupt)
	require.Equal(t, []Presence{Active}, engine.has(next.Entities[0].UUID), "a disk that is not there erases nothing")
}
