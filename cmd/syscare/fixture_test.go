package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
	"github.com/openeuler/syscare/specgen/hotpatch"
	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/metadata"
)

const (
	patchUUID  = "980fa0d0-e753-447c-8494-01de595f35d0"
	otherUUID  = "a80fa0d0-e753-447c-8494-01de595f35d0"
	entityUUID = "b80fa0d0-e753-447c-8494-01de595f35d0"
	serverID   = object.BuildID("aa11")
)

// fakeEngine is one process, number 4242.
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

func (f *fakeEngine) Bring(_ context.Context, p state.Process, e state.Entity, want state.Presence, _ state.Tuning) (state.Report, error) {
	if f.fail != nil {
		return state.Report{}, f.fail
	}
	f.carries[e.UUID] = want
	return state.Report{
		Functions: []string{"processInputBuffer", "readQueryFromClient"}, Attempts: 1, Threads: 5, Pause: 96 * time.Microsecond,
		Parts: []state.PausePart{{Name: "stop", Time: 40 * time.Microsecond}, {Name: "check", Time: 51 * time.Microsecond}},
	}, nil
}

func (f *fakeEngine) Repair(context.Context, state.Process) error { return nil }

// world is a root directory, a process, and the program to try on them.
type world struct {
	t      *testing.T
	root   string
	engine *fakeEngine
	euid   int
	build  func(context.Context, hotpatch.Request) (hotpatch.Result, error)
}

func newWorld(t *testing.T) *world {
	if os.Geteuid() != 0 {
		t.Skip("needs root: patches must belong to root")
	}
	return &world{t: t, root: t.TempDir(), engine: &fakeEngine{carries: map[string]state.Presence{}}, build: hotpatch.Build}
}

// run executes a command line and gives its output and exit code.
func (w *world) run(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	var out, errs bytes.Buffer
	p := &program{
		stdout: &out, stderr: &errs, euid: w.euid, executable: filepath.Join(w.root, "syscare"), build: w.build,
		newEngine: func(*slog.Logger) state.Engine { return w.engine },
	}
	code = p.run(w.t.Context(), append([]string{"syscare", "--root", w.root}, args...))
	return out.String(), errs.String(), code
}

// install puts a patch like the manual's under the root.
func (w *world) install(id, name, target string) {
	w.t.Helper()
	data := w.object()
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	p := &metadata.Patch{
		Schema: metadata.SchemaVersion, UUID: id, Name: name, Version: "1", Release: "1", Arch: "x86_64", Type: metadata.UserPatch,
		Target:   metadata.Package{Name: target, Version: "6.2.5", Release: "1", Arch: "x86_64"},
		Entities: []metadata.Entity{{UUID: entityUUID, Name: "redis-server", BuildID: serverID, File: "redis-server.o", Digest: digest}},
		License:  "BSD and MIT", Description: "CVE-2021-32675 - \x1b[31mRedis",
		Patches: []metadata.SourcePatch{{Name: "0001-Prevent-unauthenticated-client.patch", Digest: digest}},
	}
	p.Digest = p.ComputeDigest()
	text, err := p.Encode()
	require.NoError(w.t, err)
	dir := filepath.Join(w.root, "usr/lib/syscare/patches", id)
	require.NoError(w.t, os.MkdirAll(dir, 0o755))
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, metadata.FileName), text, 0o640))
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, "redis-server.o"), data, 0o640))
}

func (w *world) object() []byte {
	b := object.NewBuilder(elf.EM_X86_64)
	text := b.AddSection(&object.BuildSection{
		Name: ".text.f", Type: elf.SHT_PROGBITS, Flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, Align: 16, Data: []byte{0xc3},
	})
	b.AddSymbol(&object.BuildSymbol{Name: "f", Section: text, Size: 1, Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL})
	b.AddSymbol(&object.BuildSymbol{Name: "puts", Type: elf.STT_NOTYPE, Bind: elf.STB_GLOBAL})
	code := make([]byte, 16)
	data, err := patchobject.Encode(b,
		patchobject.Info{UUID: entityUUID, Entity: "redis-server", TargetID: serverID, TargetName: "redis-server", TargetPath: "/usr/bin/redis-server", Arch: "x86_64", Tool: "test"},
		[]patchobject.Function{{Name: "f", Source: "networking.c", Kind: patchobject.Replaced, OldAddress: 0x1000, OldSize: 16, Symbol: "f", NewSize: 1, Code: code, Digest: patchobject.Digest(code)}},
		[]patchobject.Bind{{Symbol: "puts", Kind: patchobject.BindDynamic, Name: "puts", Version: "GLIBC_2.2.5", Type: patchobject.Untyped}})
	require.NoError(w.t, err)
	return data
}

func (w *world) file(name string, data []byte) string {
	path := filepath.Join(w.root, name)
	require.NoError(w.t, os.WriteFile(path, data, 0o755))
	return path
}

var errBroken = errors.New("broken")
