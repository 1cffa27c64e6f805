package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/state"
)

const fullName = "redis-6.2.5-1/HP001-1-1"

func TestInfo(t *testing.T) {
	w := newWorld(t)
	w.install(patchUUID, "HP001", "redis")
	out, errs, code := w.run("info", "HP001")
	assert.Zero(t, code)
	assert.Empty(t, errs)
	out = regexp.MustCompile(`[0-9a-f]{64}`).ReplaceAllString(out, "DIGEST")
	assert.Equal(t, `uuid:        980fa0d0-e753-447c-8494-01de595f35d0
name:        HP001
version:     1
release:     1
arch:        x86_64
type:        UserPatch
target:      redis-6.2.5-1
target_elf:  redis-server
digest:      DIGEST
license:     BSD and MIT
description: CVE-2021-32675 - ?[31mRedis
patch:
0001-Prevent-unauthenticated-client.patch
`, out)
	out, _, code = w.run("info", "HP001", "--json")
	assert.Zero(t, code)
	var got []map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.Len(t, got, 1)
	assert.Equal(t, patchUUID, got[0]["uuid"])
	assert.Contains(t, got[0], "entities")
}

func TestList(t *testing.T) {
	w := newWorld(t)
	out, _, code := w.run("list")
	assert.Zero(t, code)
	assert.Equal(t, fmt.Sprintf("%-40s %-60s Status\n", "Uuid", "Name"), out)
	w.install(patchUUID, "HP001", "redis")
	out, errs, code := w.run("list")
	assert.Zero(t, code)
	assert.Empty(t, errs)
	assert.Equal(t, fmt.Sprintf("%-40s %-60s Status\n%-40s %-60s NOT-APPLIED\n", "Uuid", "Name", patchUUID, fullName), out)

	require.NoError(t, os.Chmod(filepath.Join(w.root, "usr/lib/syscare/patches", patchUUID), 0o777))
	out, errs, code = w.run("list")
	assert.Zero(t, code)
	assert.Contains(t, out, "UNKNOWN")
	assert.Contains(t, errs, "Warning: ")
	out, _, _ = w.run("--json", "list")
	assert.Empty(t, out, "--json belongs to the command")
	out, _, _ = w.run("list", "--json")
	var got []state.Status
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	assert.Equal(t, state.Unknown, got[0].State)
}

// The life of a patch through the commands, in all spellings.
func TestLife(t *testing.T) {
	w := newWorld(t)
	w.install(patchUUID, "HP001", "redis")
	for _, step := range []struct{ verb, then string }{
		{"apply", "ACTIVED"}, {"deactive", "DEACTIVED"}, {"active", "ACTIVED"}, {"deactivate", "DEACTIVED"}, {"activate", "ACTIVED"},
		{"accept", "ACCEPTED"}, {"apply", "ACCEPTED"}, {"remove", "NOT-APPLIED"}, {"remove", "NOT-APPLIED"},
	} {
		out, errs, code := w.run(step.verb, "redis-6.2.5-1/HP001")
		assert.Zero(t, code, "%s: %s", step.verb, errs)
		assert.Empty(t, out)
		out, _, code = w.run("status", fullName)
		assert.Zero(t, code)
		assert.Equal(t, fullName+": "+step.then+"\n", out, step.verb)
	}
	for _, cmd := range [][]string{{"save"}, {"restore"}, {"restore", "--accepted"}, {"rescan"}, {"check", "HP001"}} {
		out, errs, code := w.run(cmd...)
		assert.Zero(t, code, "%v: %s", cmd, errs)
		assert.Empty(t, out)
	}
	out, _, _ := w.run("target", "HP001")
	assert.Equal(t, fullName+": redis-6.2.5-1\n", out)
}

func TestVerboseApply(t *testing.T) {
	w := newWorld(t)
	w.install(patchUUID, "HP001", "redis")
	out, _, code := w.run("apply", "HP001", "-v", "--force", "--timeout", "3s")
	assert.Zero(t, code)
	assert.Equal(t, "process 4242 (redis-server): 2 functions [processInputBuffer, readQueryFromClient], 1 attempt, 5 threads, "+
		"stopped for 96 µs (stop 40, check 51)\n"+fullName+": ACTIVED\n", out)
}

// What goes wrong, what is said, and the exit code.
func TestErrors(t *testing.T) {
	for name, r := range map[string]struct {
		prepare func(w *world)
		args    []string
		code    int
		says    string
	}{
		"no such command":        {nil, []string{"aply"}, 2, `Error: there is no command "aply"`},
		"no such flag":           {nil, []string{"apply", "HP001", "--fast"}, 2, "Error: flag provided but not defined: -fast"},
		"no such global flag":    {nil, []string{"--fast", "list"}, 2, "Error: flag provided but not defined: -fast"},
		"no patch given":         {nil, []string{"apply"}, 2, "needs a patch"},
		"argument for list":      {nil, []string{"list", "x"}, 2, `takes no argument "x"`},
		"no such patch":          {nil, []string{"apply", "HP009"}, 3, `did you mean "redis-6.2.5-1/HP001-1-1"?`},
		"no such patch, others":  {nil, []string{"status", "HP001", "zzzzzzzz"}, 3, "no such patch"},
		"ambiguous":              {func(w *world) { w.install(otherUUID, "HP001", "nginx") }, []string{"status", "HP001"}, 2, otherUUID + "  nginx-6.2.5-1/HP001-1-1"},
		"not root":               {func(w *world) { w.euid = 1000 }, []string{"apply", "HP001"}, 1, "run it as root"},
		"not possible now":       {nil, []string{"active", "HP001"}, 5, "use `syscare apply`"},
		"accept before applying": {nil, []string{"accept", "HP001"}, 5, "only an active patch can be accepted"},
		"busy":                   {func(w *world) { w.engine.fail = state.ErrBusy }, []string{"apply", "HP001"}, 4, "process 4242 (redis-server)"},
		"broken process":         {func(w *world) { w.engine.fail = errBroken }, []string{"apply", "HP001"}, 1, "Caused by:\n    process 4242 (redis-server): broken\n"},
		"zero timeout":           {nil, []string{"apply", "HP001", "--timeout", "0s"}, 2, "want a time above zero"},
		"object without pid":     {nil, []string{"apply", "--object", "x"}, 2, "go together"},
		"object not there":       {nil, []string{"apply", "--object", "/nonexistent", "--pid", "1"}, 3, "no such file"},
		"inspect no object":      {nil, []string{"inspect", "/etc/passwd"}, 5, "not a valid patch object"},
		"diff without pair":      {nil, []string{"diff", "--original", "a"}, 2, "want one or more pairs"},
		"diff of nothing":        {nil, []string{"diff", "--original", "a", "--patched", "b", "--debuginfo", "c", "-o", "d"}, 3, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.install(patchUUID, "HP001", "redis")
			if r.prepare != nil {
				r.prepare(w)
			}
			_, errs, code := w.run(r.args...)
			assert.Equal(t, r.code, code, errs)
			assert.Contains(t, errs, r.says)
			assert.Regexp(t, `^Error: `, errs)
		})
	}
}

func TestExitCodes(t *testing.T) {
	for err, code := range map[error]int{
		nil: 0, errBroken: 1, context.Canceled: 1, usagef("x"): 2, state.ErrAmbiguous: 2, state.ErrNotFound: 3, diff.ErrNoChange: 3,
		state.ErrLocked: 4, state.ErrBusy: 4, &diff.Refusal{}: 5, state.ErrConflict: 5, state.ErrMismatch: 5, state.ErrCorrupt: 5,
	} {
		if err != nil {
			err = fmt.Errorf("around: %w", err)
		}
		assert.Equal(t, code, exitCode(err), err)
	}
}

func TestObject(t *testing.T) {
	w := newWorld(t)
	path := w.file("p.o", w.object())
	out, errs, code := w.run("inspect", path)
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "build_id:    aa11\n")
	assert.Regexp(t, `(?m)^  f +replaced +0x1000 +16 -> 1 +bytes  networking.c$`, out)
	assert.Regexp(t, `(?m)^  puts +dynamic +untyped +puts@GLIBC_2.2.5$`, out)
	out, _, _ = w.run("inspect", "--json", path)
	var got []objectView
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.Len(t, got, 1)

	_, errs, code = w.run("apply", "--object", path, "--pid", "4242")
	assert.Zero(t, code, errs)
	assert.Equal(t, state.Active, w.engine.carries[entityUUID])
	assert.NoDirExists(t, filepath.Join(w.root, "var"), "no state")
	_, _, code = w.run("apply", "--object", path, "--pid", "1")
	assert.Equal(t, 5, code, "another program")
	_, _, code = w.run("apply", "--object", path, "--pid", "99999999")
	assert.Equal(t, 3, code)
	_, _, code = w.run("remove", "--object", path, "--pid", "4242")
	assert.Zero(t, code)
	assert.Equal(t, state.Absent, w.engine.carries[entityUUID])
}

func TestNormalise(t *testing.T) {
	app := (&program{}).app()
	for _, r := range []struct{ in, out []string }{
		{[]string{"apply", "HP001", "-f"}, []string{"apply", "--force", "HP001"}},
		{[]string{"apply", "HP001", "-v", "--root", "/x"}, []string{"--verbose", "--root", "/x", "apply", "HP001"}},
		{[]string{"apply", "--timeout", "3s", "a", "b"}, []string{"apply", "--timeout", "3s", "a", "b"}},
		{[]string{"apply", "--", "-f"}, []string{"apply", "--", "-f"}},
		{[]string{"build", "-p", "a", "b", "c", "-v"}, []string{"build", "--patch", "a", "--patch", "b", "--patch", "c", "--verbose"}},
		{[]string{"build", "--debuginfo=a", "b", "--patch", "c"}, []string{"build", "--debuginfo", "a", "--debuginfo", "b", "--patch", "c"}},
		{[]string{"build", "-V"}, []string{"--version", "build"}},
		{[]string{"build", "--patch-name", "x", "-n", "y"}, []string{"build", "--patch_name", "x", "--patch_name", "y"}},
		{[]string{"apply", "-f=false", "a", "--what"}, []string{"apply", "--force=false", "--what", "a"}},
		{[]string{"list"}, []string{"list"}},
		{[]string{}, nil},
	} {
		got := normalise(app, append([]string{"syscare"}, r.in...))
		assert.Equal(t, append([]string{"syscare"}, r.out...), got)
	}
}

func TestVersionCompletionAndManual(t *testing.T) {
	w := newWorld(t)
	w.install(patchUUID, "HP001", "redis")
	for _, flag := range []string{"--version", "-V"} {
		out, _, code := w.run(flag)
		assert.Zero(t, code)
		assert.Regexp(t, `^syscare \S+\n$`, out)
	}
	out, _, code := w.run("status", "--generate-bash-completion")
	assert.Zero(t, code)
	assert.Equal(t, fullName+"\n", out)
	out, errs, code := w.run("man")
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "deactive")
}
