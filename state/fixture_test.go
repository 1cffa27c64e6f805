package state

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
	"github.com/openeuler/syscare/state/metadata"
)

const (
	serverID = object.BuildID("aa11")
	toolID   = object.BuildID("bb22")
)

// fakeEngine is processes in memory. It knows nothing of state.
type fakeEngine struct {
	mu       sync.Mutex
	procs    map[int]*fakeProcess
	calls    int           // of Bring
	killAt   int           // the n-th Bring never returns, 1-based; 0: none
	killed   chan struct{} // closed when that one is called
	fail     map[int]error // by PID: Bring fails
	repaired []int
	onBring  func(pid int)
}

type fakeProcess struct {
	ids     []object.BuildID
	carries map[string]Presence
}

func newFake(pids ...int) *fakeEngine {
	f := &fakeEngine{procs: map[int]*fakeProcess{}, fail: map[int]error{}}
	for _, pid := range pids {
		f.start(pid, serverID)
	}
	return f
}

func (f *fakeEngine) start(pid int, ids ...object.BuildID) {
	f.procs[pid] = &fakeProcess{ids: ids, carries: map[string]Presence{}}
}

func (f *fakeEngine) Find(_ context.Context, id object.BuildID) ([]Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Process
	for pid := range 100 {
		if p := f.procs[pid]; p != nil {
			for _, has := range p.ids {
				if has == id {
					out = append(out, Process{PID: pid, Name: "server", Start: 1, Executable: fmt.Sprintf("/usr/bin/server%d", pid)})
				}
			}
		}
	}
	return out, nil
}

func (f *fakeEngine) Presence(_ context.Context, p Process) (map[string]Presence, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	proc := f.procs[p.PID]
	if proc == nil {
		return nil, ErrGone
	}
	return maps.Clone(proc.carries), nil
}

func (f *fakeEngine) Bring(_ context.Context, p Process, e Entity, want Presence, _ Tuning) (Report, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.calls == f.killAt {
		close(f.killed)
		f.mu.Unlock()
		select {}
	}
	if f.onBring != nil {
		f.onBring(p.PID)
	}
	if err := f.fail[p.PID]; err != nil {
		return Report{}, err
	}
	proc := f.procs[p.PID]
	if proc == nil {
		return Report{}, ErrGone
	}
	if want > proc.carries[e.UUID] && e.Object == nil && e.Module == nil {
		return Report{}, fmt.Errorf("no code to bring into process %d", p.PID)
	}
	proc.carries[e.UUID] = want
	if e.Retires != nil && want == Active {
		proc.carries[e.Retires.UUID] = Absent
	}
	return Report{Functions: []string{"f"}, Attempts: 1, Threads: 1, Pause: 50 * time.Microsecond}, nil
}

func (f *fakeEngine) Repair(_ context.Context, p Process) error {
	f.repaired = append(f.repaired, p.PID)
	return nil
}

// has gives what each process carries of an entity, in order of PID.
func (f *fakeEngine) has(entity string) []Presence {
	var out []Presence
	for pid := range 100 {
		if p := f.procs[pid]; p != nil {
			out = append(out, p.carries[entity])
		}
	}
	return out
}

// patchSpec says what a patch on disk is like.
type patchSpec struct {
	name, target, version, release string
	path                           string // where the target is installed
	fixes                          string // patch files, separated by blanks; "": one of its own
	id                             object.BuildID
	at                             object.Address
	kind                           metadata.Type
}

// addPatch writes an installed patch and returns its metadata.
func addPatch(t testing.TB, root string, s patchSpec) *metadata.Patch {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: patches must belong to root")
	}
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&s.name, "HP001")
	def(&s.target, "redis")
	def(&s.version, "1")
	def(&s.release, "1")
	def((*string)(&s.id), string(serverID))
	def((*string)(&s.kind), string(metadata.UserPatch))
	if s.at == 0 {
		s.at = 0x1000
	}
	key := fmt.Sprint(s)
	entity := uuid.NewSHA1(uuid.NameSpaceOID, []byte("entity"+key)).String()
	data := patchObject(t, entity, s.id, s.at)
	sum := sha256.Sum256(data)
	p := &metadata.Patch{
		Schema: metadata.SchemaVersion, UUID: uuid.NewSHA1(uuid.NameSpaceOID, []byte(key)).String(),
		Name: s.name, Version: s.version, Release: s.release, Arch: "x86_64", Type: s.kind,
		Target:   metadata.Package{Name: s.target, Version: "6.2.5", Release: "1", Arch: "x86_64"},
		Entities: []metadata.Entity{{UUID: entity, Name: "server", BuildID: s.id, Path: s.path, File: "server.o", Digest: hex.EncodeToString(sum[:]), Functions: []string{"f"}}},
		License:  "BSD and MIT", Description: "a fix",
		Patches: []metadata.SourcePatch{{Name: "0001-fix.patch", Digest: hex.EncodeToString(sum[:])}},
	}
	if s.fixes != "" {
		p.Patches = nil
	}
	for _, name := range strings.Fields(s.fixes) {
		digest := sha256.Sum256([]byte(name))
		p.Patches = append(p.Patches, metadata.SourcePatch{Name: name, Digest: hex.EncodeToString(digest[:])})
	}
	p.Digest = p.ComputeDigest()
	text, err := p.Encode()
	require.NoError(t, err)
	dir := filepath.Join(root, patchesDir, p.UUID)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, metadata.FileName), text, 0o640))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "server.o"), data, 0o640))
	return p
}

func patchObject(t testing.TB, entity string, id object.BuildID, at object.Address) []byte {
	t.Helper()
	b := object.NewBuilder(elf.EM_X86_64)
	text := b.AddSection(&object.BuildSection{
		Name: ".text.f", Type: elf.SHT_PROGBITS, Flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, Align: 16, Data: []byte{0xc3},
	})
	b.AddSymbol(&object.BuildSymbol{Name: "f", Section: text, Size: 1, Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL})
	code := make([]byte, 16)
	data, err := patchobject.Encode(b,
		patchobject.Info{UUID: entity, Entity: "server", TargetID: id, TargetName: "server", Arch: "x86_64", Tool: "test"},
		[]patchobject.Function{{Name: "f", Kind: patchobject.Replaced, OldAddress: at, OldSize: 16, Symbol: "f", NewSize: 1, Code: code, Digest: patchobject.Digest(code)}},
		[]patchobject.Bind{})
	require.NoError(t, err)
	return data
}

func newManager(t testing.TB, root string, e Engine) *Manager {
	t.Helper()
	m, err := New(Options{Root: root, Engine: e, LockWait: 100 * time.Millisecond, Settings: Settings{Parallel: 1},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(t, err)
	return m
}

func readRecord(t testing.TB, root, id string) *record {
	t.Helper()
	s, lost, err := readStore(root)
	require.NoError(t, err)
	require.NoError(t, lost)
	return s.Patches[id]
}
