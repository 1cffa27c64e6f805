package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/rpmhooks"
	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/config"
)

const (
	patchUUID  = "980fa0d0-e753-447c-8494-01de595f35d0"
	entityUUID = "b80fa0d0-e753-447c-8494-01de595f35d0"
)

// fakeEngine is one process that carries the patch.
type fakeEngine struct {
	carries map[string]state.Presence
	fail    error
}

func (f *fakeEngine) Find(context.Context, object.BuildID) ([]state.Process, error) {
	return []state.Process{{PID: 4242, Name: "redis-server", Start: 1}}, nil
}

func (f *fakeEngine) Presence(context.Context, state.Process) (map[string]state.Presence, error) {
	return f.carries, nil
}

func (f *fakeEngine) Bring(_ context.Context, _ state.Process, e state.Entity, want state.Presence, _ state.Tuning) (state.Report, error) {
	if f.fail == nil {
		f.carries[e.UUID] = want
	}
	return state.Report{}, f.fail
}

func (f *fakeEngine) Repair(context.Context, state.Process) error { return nil }

// root has a record of an accepted patch whose directory is gone: what an
// erase without our scriptlet left.
func newRoot(t *testing.T) string {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the store must belong to root")
	}
	root := t.TempDir()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	require.NoError(t, err)
	text, err := json.Marshal(map[string]any{"schema": 1, "patches": map[string]any{patchUUID: map[string]any{
		"name": "redis-6.2.5-1/HP001-1-1", "state": "ACCEPTED", "boot_id": string(bytes.TrimSpace(boot)),
		"entities": []any{map[string]any{"uuid": entityUUID, "name": "redis-server", "build_id": "aa11"}},
	}}})
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(root, "var/lib/syscare"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "var/lib/syscare/state.json"), text, 0o644))
	return root
}

func TestHook(t *testing.T) {
	const other = "c80fa0d0-e753-447c-8494-01de595f35d0"
	for name, r := range map[string]struct {
		args     []string
		deferred bool
		fail     error
		code     int
		stdout   string
		stderr   string
		left     state.Presence
	}{
		"an install of what is not there": {args: []string{"posttrans", patchUUID}, code: 1, stderr: "no such patch", left: state.Active},
		"an install in a chroot":          {args: []string{"posttrans", patchUUID}, deferred: true, stdout: "deferred\n", left: state.Active},
		"an erase removes an accepted patch": {args: []string{"preun", patchUUID, "0"}, left: state.Absent,
			stdout: "redis-6.2.5-1/HP001-1-1: NOT-APPLIED (processes: 1, stopped for 0 µs at most)\n"},
		"an erase in a chroot":         {args: []string{"preun", patchUUID, "0"}, deferred: true, stdout: "deferred\n", left: state.Active},
		"an erase that cannot be":      {args: []string{"preun", patchUUID, "0"}, fail: errors.New("stuck"), code: 1, stderr: "process 4242 (redis-server): stuck", left: state.Active},
		"an erase of an unknown patch": {args: []string{"preun", other, "0"}, left: state.Active},
		"an upgrade changes nothing":   {args: []string{"preun", patchUUID, "1"}, fail: errors.New("stuck"), left: state.Active},
		"an upgrade of many":           {args: []string{"preun", patchUUID, "2"}, left: state.Active},
		"a user removes it": {args: []string{"remove", patchUUID}, left: state.Absent,
			stdout: "redis-6.2.5-1/HP001-1-1: NOT-APPLIED (processes: 1, stopped for 0 µs at most)\n"},
		"reconciled without a directory": {args: []string{"reconcile"}, code: 1, stderr: "no longer installed", left: state.Active},
		"a list": {args: []string{"list"}, left: state.Active, stdout: `[{"uuid":"` + patchUUID + `","name":"redis-6.2.5-1/HP001-1-1","state":"ACCEPTED",` +
			`"package":"","version":"","release":"","target":{"name":"","version":"","release":"","arch":""},"cves":[],"processes":1}]` + "\n"},
		"a package without patches": {args: []string{"replaces", "nginx"}, left: state.Active},
		"no arguments":              {args: nil, code: 2, stderr: "usage:", left: state.Active},
		"no such verb":              {args: []string{"post", patchUUID}, code: 2, stderr: "usage:", left: state.Active},
		"no UUID":                   {args: []string{"preun", "HP001", "0"}, code: 2, stderr: "is not the UUID", left: state.Active},
		"no count":                  {args: []string{"preun", patchUUID, "x"}, code: 2, stderr: "is not a number", left: state.Active},
	} {
		t.Run(name, func(t *testing.T) {
			engine := &fakeEngine{carries: map[string]state.Presence{entityUUID: state.Active}, fail: r.fail}
			var out, errs bytes.Buffer
			h := hook{
				root: newRoot(t), stdout: &out, stderr: &errs, deferred: func() bool { return r.deferred },
				newEngine: func(*slog.Logger) state.Engine { return engine },
			}
			assert.Equal(t, r.code, h.run(t.Context(), r.args), errs.String())
			assert.Equal(t, r.stdout, out.String())
			if r.stderr == "" {
				assert.Empty(t, errs.String())
			}
			assert.Contains(t, errs.String(), r.stderr)
			assert.Equal(t, r.left, engine.carries[entityUUID])
		})
	}
}

// A slip in the configuration keeps nobody from erasing a package.
func TestEraseWithABadConfiguration(t *testing.T) {
	root := newRoot(t)
	require.NoError(t, os.MkdirAll(filepath.Join(root, "etc/syscare"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc/syscare/syscare.toml"), []byte("nonsense = 1\n"), 0o644))
	engine := &fakeEngine{carries: map[string]state.Presence{entityUUID: state.Active}}
	for _, row := range []struct {
		args []string
		code int
		left state.Presence
	}{
		{[]string{"reconcile"}, 1, state.Active},
		{[]string{"list"}, 0, state.Active},
		{[]string{"preun", patchUUID, "0"}, 0, state.Absent},
	} {
		var out, errs bytes.Buffer
		h := hook{root: root, stdout: &out, stderr: &errs, deferred: func() bool { return false }, newEngine: func(*slog.Logger) state.Engine { return engine }}
		require.Equal(t, row.code, h.run(t.Context(), row.args), errs.String())
		require.Contains(t, errs.String(), `there is no key "nonsense"`)
		require.Equal(t, row.left, engine.carries[entityUUID])
	}
}

// Who starts a transaction can have the reports for itself, in a file of its own.
func TestReportFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report")
	t.Setenv(rpmhooks.ReportVariable, path)
	for _, exists := range []bool{false, true} {
		if exists {
			require.NoError(t, os.WriteFile(path, nil, 0o600))
		}
		engine := &fakeEngine{carries: map[string]state.Presence{entityUUID: state.Active}}
		var out, errs bytes.Buffer
		h := hook{root: newRoot(t), stdout: &out, stderr: &errs, deferred: func() bool { return false }, newEngine: func(*slog.Logger) state.Engine { return engine }}
		require.Zero(t, h.run(t.Context(), []string{"preun", patchUUID, "0"}), errs.String())
		require.Equal(t, exists, out.Len() == 0, out.String())
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.JSONEq(t, `{"uuid": "`+patchUUID+`", "name": "redis-6.2.5-1/HP001-1-1", "from": "ACCEPTED", "to": "NOT-APPLIED", "processes": 1, "pause_ns": 0}`, string(text))
}

func TestPolicy(t *testing.T) {
	for text, want := range map[string]state.Policy{"": state.PolicyManual, "apply": state.PolicyApply} {
		t.Setenv(rpmhooks.PolicyVariable, text)
		got, err := policy(config.Config{OnInstall: "accept"})
		require.NoError(t, err)
		require.Equal(t, want, got, "the environment says %q", text)
	}
	t.Setenv(rpmhooks.PolicyVariable, "always")
	_, err := policy(config.Default())
	require.ErrorContains(t, err, "SYSCARE_ON_INSTALL")
	require.NoError(t, os.Unsetenv(rpmhooks.PolicyVariable))
	got, err := policy(config.Config{OnInstall: "accept"})
	require.NoError(t, err)
	require.Equal(t, state.PolicyAccept, got)
}

func TestDeferred(t *testing.T) {
	t.Setenv("SYSTEMD_OFFLINE", "1")
	assert.True(t, deferred())
}
