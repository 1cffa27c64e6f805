package userengine

import (
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
	"github.com/openeuler/syscare/engine/user"
	"github.com/openeuler/syscare/state"
)

func TestMain(m *testing.M) {
	RunGuardIfAsked()
	os.Exit(m.Run())
}

// program is testdata/answer.c, running, and the patch for it.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	mem    *os.File
	last   int64 // address of the variable that holds the answer
	entity state.Entity
}

func newProgram(t *testing.T) *program {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	dir := t.TempDir()
	compile := func(output string, flags ...string) *object.File {
		path := filepath.Join(dir, output)
		out, err := exec.Command("gcc", append(flags, "-O2", "-g", "testdata/answer.c", "-o", path)...).CombinedOutput()
		require.NoError(t, err, string(out))
		f, err := object.Open(path)
		require.NoError(t, err)
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	target := compile("answer", "-no-pie", "-fno-pie", "-Wl,--build-id")
	split := []string{"-c", "-fno-pie", "-ffunction-sections", "-fdata-sections"}
	id := uuid.NewString()
	made, err := diff.Build(target, []diff.Unit{{
		Source:   "answer.c",
		Recorded: compile("recorded.o", "-c", "-fno-pie"),
		Original: compile("original.o", split...), Patched: compile("patched.o", append(split, "-DPATCHED")...),
	}}, diff.Options{UUID: id, Entity: "answer", TargetName: "answer"})
	require.NoError(t, err)
	obj, err := patchobject.Parse(made.Object)
	require.NoError(t, err)
	p := &program{t: t, entity: state.Entity{UUID: id, BuildID: target.BuildID, Object: obj}}
	for _, s := range target.Symbols {
		if s.Name == "last" {
			p.last = int64(s.Value)
		}
	}
	p.cmd = exec.Command(filepath.Join(dir, "answer"))
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { p.end() })
	p.mem, err = os.Open("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/mem")
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.mem.Close() })
	p.answers(41)
	return p
}

func (p *program) end() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// answers waits until the program computes want.
func (p *program) answers(want int64) {
	p.t.Helper()
	word := make([]byte, 8)
	require.Eventually(p.t, func() bool {
		_, err := p.mem.ReadAt(word, p.last)
		return err == nil && int64(binary.LittleEndian.Uint64(word)) == want
	}, 5*time.Second, time.Millisecond)
}

// Every presence is reached from every other, and reaching it again is no
// error.
func TestBringReachesEveryPresence(t *testing.T) {
	p, e, ctx := newProgram(t), New(slog.New(slog.DiscardHandler)), context.Background()
	found, err := e.Find(ctx, p.entity.BuildID)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "answer", found[0].Name)
	answer := map[state.Presence]int64{state.Absent: 41, state.Loaded: 41, state.Active: 61}
	for _, want := range []state.Presence{
		state.Absent, state.Loaded, state.Active, state.Loaded, state.Absent, state.Active, state.Absent,
	} {
		for range 2 {
			report, err := e.Bring(ctx, found[0], p.entity, want, state.Tuning{})
			require.NoError(t, err, want)
			require.Equal(t, []string{"answer"}, report.Functions)
			carries, err := e.Presence(ctx, found[0])
			require.NoError(t, err)
			require.Equal(t, want, carries[p.entity.UUID])
			p.answers(answer[want])
		}
	}
}

// What cannot be done is a typed error, and the process stays as it is.
func TestBringTellsWhyNot(t *testing.T) {
	p, e, ctx := newProgram(t), New(slog.New(slog.DiscardHandler)), context.Background()
	found, err := e.Find(ctx, p.entity.BuildID)
	require.NoError(t, err)

	bare := p.entity
	bare.Object = nil
	_, err = e.Bring(ctx, found[0], bare, state.Active, state.Tuning{})
	require.ErrorIs(t, err, errNoCode)

	_, err = e.Bring(ctx, found[0], p.entity, state.Active, state.Tuning{})
	require.NoError(t, err)
	other := *p.entity.Object
	other.Info.Tool = "another version of SysCare"
	_, err = user.Load(ctx, identity(found[0]), &other, user.Options{})
	require.ErrorIs(t, translate(err), state.ErrConflict, "another build of the patch that is there")
	p.answers(61)

	reused := found[0]
	reused.Start++
	_, err = e.Bring(ctx, reused, p.entity, state.Absent, state.Tuning{})
	require.ErrorIs(t, err, state.ErrGone)
	p.answers(61)

	p.end()
	_, err = e.Bring(ctx, found[0], p.entity, state.Absent, state.Tuning{})
	require.ErrorIs(t, err, state.ErrGone)
}
