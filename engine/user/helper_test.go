package user

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

const workerVariable = "SYSCARE_TEST_WORKER"

// How thorough the long tests are.
var (
	cycles = flag.Int("cycles", 60, "times that a busy program is patched and unpatched")
	kills  = flag.Int("kills", 110, "times that we are killed in the middle, in each test of that")
)

func TestMain(m *testing.M) {
	RunGuardIfAsked()
	flag.Parse()
	if spec := os.Getenv(workerVariable); spec != "" {
		runWorker(spec)
	}
	code := m.Run()
	os.RemoveAll(buildDir)
	os.Exit(code)
}

func needRoot(t testing.TB) {
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}

// flavour is a way to compile and link a program.
type flavour struct {
	name    string
	compile []string
	link    []string
}

var (
	pie      = flavour{name: "pie", compile: []string{"-fPIE"}, link: []string{"-pie"}}
	pieCET   = flavour{name: "pie-cet-lazy", compile: []string{"-fPIE", "-fcf-protection"}, link: []string{"-pie", "-Wl,-z,lazy"}}
	nonPIE   = flavour{name: "non-pie", compile: []string{"-fno-pie"}, link: []string{"-no-pie"}}
	static   = flavour{name: "static", compile: []string{"-fno-pie"}, link: []string{"-static", "-no-pie"}}
	built    sync.Map
	buildDir string
	buildMu  sync.Mutex
)

func compile(t testing.TB, args ...string) string {
	t.Helper()
	buildMu.Lock()
	defer buildMu.Unlock()
	key := strings.Join(args, " ")
	if path, ok := built.Load(key); ok {
		return path.(string)
	}
	if buildDir == "" {
		var err error
		buildDir, err = os.MkdirTemp("", "syscare-user-test")
		require.NoError(t, err)
	}
	out := filepath.Join(buildDir, strconv.Itoa(len(key))+"-"+uuid.NewString())
	cmd := exec.Command("gcc", append(append([]string{"-O2", "-g", "-Wl,--build-id"}, args...), "-o", out)...)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, string(output))
	built.Store(key, out)
	return out
}

func (f flavour) program(t testing.TB, source string) string {
	return compile(t, append(append(append([]string{}, f.compile...), f.link...), "testdata/"+source, "-lpthread")...)
}

// patch makes a patch object for program out of source, replacing funcs.
func (f flavour) patch(t testing.TB, program, source string, funcs ...string) *patchobject.Object {
	t.Helper()
	obj, err := patchobject.Parse(f.patchBytes(t, program, source, funcs...))
	require.NoError(t, err)
	return obj
}

func (f flavour) patchBytes(t testing.TB, program, source string, funcs ...string) []byte {
	t.Helper()
	path := compile(t, append(append([]string{}, f.compile...), "-c", "-ffunction-sections", "-fdata-sections", "testdata/"+source)...)
	target, err := object.Open(program)
	require.NoError(t, err)
	defer target.Close()
	in, err := object.Open(path)
	require.NoError(t, err)
	defer in.Close()

	b := object.NewBuilder(elf.EM_X86_64)
	sections := map[int]*object.BuildSection{}
	for _, s := range in.Sections {
		if s.Flags&elf.SHF_ALLOC == 0 || s.Size == 0 || strings.HasPrefix(s.Name, ".note") {
			continue
		}
		data, err := s.Bytes()
		require.NoError(t, err)
		sections[s.Index] = b.AddSection(&object.BuildSection{Name: s.Name, Type: s.Type, Flags: s.Flags, Align: s.Align, EntSize: s.EntSize, Data: data, Size: s.Size})
	}
	symbols := map[int]*object.BuildSymbol{}
	var binds []patchobject.Bind
	for _, s := range in.Symbols[1:] {
		if s.Type == elf.STT_FILE || s.Section != nil && sections[s.Section.Index] == nil {
			continue
		}
		out := &object.BuildSymbol{Name: s.Name, Value: s.Value, Size: s.Size, Bind: s.Bind, Type: s.Type}
		if s.Section != nil {
			out.Section = sections[s.Section.Index]
		} else {
			bind := bindFor(target, s.Name)
			if bind.Kind == "" { // as for _GLOBAL_OFFSET_TABLE_
				continue
			}
			binds = append(binds, bind)
		}
		symbols[s.Index] = b.AddSymbol(out)
	}
	for index, out := range sections {
		relocs, err := in.Relocs(in.Sections[index])
		require.NoError(t, err)
		for _, r := range relocs {
			out.Relocs = append(out.Relocs, object.BuildReloc{Offset: r.Offset, Type: r.Type, Symbol: symbols[r.Symbol.Index], Addend: r.Addend})
		}
	}
	var entries []patchobject.Function
	for _, name := range funcs {
		s := symbolOf(t, target, name)
		code := make([]byte, s.Size)
		data, err := s.Section.Bytes()
		require.NoError(t, err)
		copy(code, data[s.Value-uint64(s.Section.Address):])
		entries = append(entries, patchobject.Function{
			Name: name, Kind: patchobject.Replaced, OldAddress: object.Address(s.Value), OldSize: s.Size, Symbol: name,
			Code: code, Digest: patchobject.Digest(code),
		})
	}
	raw, err := patchobject.Encode(b, patchobject.Info{
		UUID: uuid.NewString(), Entity: "target", TargetID: target.BuildID, Arch: "x86_64",
	}, entries, binds)
	require.NoError(t, err)
	return raw
}

func bindFor(target *object.File, name string) patchobject.Bind {
	b := patchobject.Bind{Symbol: name, Name: name, Type: patchobject.Untyped}
	for _, s := range target.Dynamic {
		if s.Name == name {
			b.Kind, b.Version = patchobject.BindDynamic, s.Version
			return b
		}
	}
	for _, s := range target.Symbols {
		if s.Name == name && s.Defined() {
			b.Kind, b.Address = patchobject.BindTarget, object.Address(s.Value)
			if s.Type == elf.STT_TLS {
				b.Kind = patchobject.BindTLS
			}
		}
	}
	return b
}

func symbolOf(t testing.TB, f *object.File, name string) *object.Symbol {
	t.Helper()
	for _, s := range f.Symbols {
		if s.Name == name && s.Defined() {
			return s
		}
	}
	require.Fail(t, "no symbol", name)
	return nil
}

// running is a target process.
type running struct {
	Process
	t    testing.TB
	cmd  *exec.Cmd
	file *object.File
	bias uint64
	mem  *os.File
}

func start(t testing.TB, program string, args ...string) *running {
	t.Helper()
	return startCommand(t, exec.Command(program, args...))
}

func startCommand(t testing.TB, cmd *exec.Cmd) *running {
	t.Helper()
	needRoot(t)
	r := &running{t: t, cmd: cmd}
	var err error
	require.NoError(t, r.cmd.Start())
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
	})
	r.file, err = object.Open(cmd.Path)
	require.NoError(t, err)
	t.Cleanup(func() { r.file.Close() })
	r.Process, err = Open(r.cmd.Process.Pid)
	require.NoError(t, err)
	var entry entryPoint
	require.Eventually(t, func() bool { // an exec takes its time
		entry, err = readEntry(r.Process)
		return err == nil
	}, time.Second, time.Millisecond)
	r.bias = entry.at - uint64(r.file.Entry)
	r.mem, err = os.Open(r.path("mem"))
	require.NoError(t, err)
	t.Cleanup(func() { r.mem.Close() })
	require.Eventually(t, func() bool { return r.long("ready") == 1 }, 5*time.Second, time.Millisecond)
	return r
}

func (r *running) read(at uint64, n int) []byte {
	b := make([]byte, n)
	_, err := r.mem.ReadAt(b, int64(at+r.bias))
	require.NoError(r.t, err)
	return b
}

// long reads a variable of the process.
func (r *running) long(name string) int64 {
	r.t.Helper()
	return int64(binary.LittleEndian.Uint64(r.read(symbolOf(r.t, r.file, name).Value, 8)))
}

// text is the process's program code.
func (r *running) text() []byte {
	s := r.file.Section(".text")
	return r.read(uint64(s.Address), int(s.Size))
}

// runsOn checks that the program goes on without having seen anything.
func (r *running) runsOn() {
	r.t.Helper()
	before := r.long("rounds")
	require.Eventually(r.t, func() bool { return r.long("rounds") > before+1 }, 5*time.Second, time.Millisecond)
	require.Zero(r.t, r.long("errors"), "the target saw wrong results")
}

func (r *running) eventually(name string, want int64) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.long(name) == want }, 5*time.Second, time.Millisecond, "%s is %d, want %d", name, r.long(name), want)
}

func (r *running) pristine(text []byte) {
	r.t.Helper()
	require.True(r.t, bytes.Equal(text, r.text()), "the program's text changed")
}

func state(t testing.TB, p Process) State {
	t.Helper()
	list, err := Applied(context.Background(), p.PID)
	require.NoError(t, err)
	if len(list) == 0 {
		return 0
	}
	require.Len(t, list, 1)
	return list[0].State
}

var everything = []string{"compute", "tls_get", "free_ptr", "err_no", "fact"}
