package tests

import (
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/live"
)

// throwProgram compiles the server and makes the patch object of its fix.
func throwProgram(t *testing.T, flags ...string) (program, object string) {
	t.Helper()
	program, objects := throwPrograms(t, []string{"PATCHED"}, flags...)
	return program, objects[0]
}

// throwPrograms compiles the server and makes the patch objects of several
// fixes.
func throwPrograms(t *testing.T, fixes []string, flags ...string) (program string, objects []string) {
	t.Helper()
	dir := t.TempDir()
	compile := func(output string, args ...string) string {
		path := filepath.Join(dir, output)
		tool(t, "g++", append(append([]string{"-g", "-pthread", "testdata/throw.cc"}, flags...), append(args, "-o", path)...)...)
		return path
	}
	program = compile("throw", "-Wl,--build-id")
	sections := []string{"-ffunction-sections", "-fdata-sections", "-c"}
	original := compile("original.o", sections...)
	for _, fix := range fixes {
		object := filepath.Join(dir, fix+".patch.o")
		must(t, "diff", "--original", original, "--patched", compile("patched.o", append(sections, "-D"+fix)...),
			"--debuginfo", program, "--output", object)
		objects = append(objects, object)
	}
	return program, objects
}

var throwAnswers = []struct{ question, before, after string }{
	{"outer", "4 8", "1000004 1000009"},
	{"area", "9 4", "18 5"}, // the object keeps the side that the old constructor gave it
	{"made", "3", "6"},
	{"scaled", "13 4.5", "23 6.0"},
	{"kind", "old square", "new square"},
	{"summed", "6", "12"},
	{"parsed", "42 ?", "43 not a number"},
}

// Constructors, virtual functions, templates, inline functions, static locals,
// RTTI and exceptions of a running C++ program are patched.
func TestCPlusPlus(t *testing.T) {
	for _, flags := range [][]string{
		{"-O0", "-fPIE", "-pie"}, {"-O2", "-fPIE", "-pie"}, {"-O2", "-fno-pie", "-no-pie"}, {"-O3", "-fPIE", "-pie", "-fcf-protection=full", "-Wl,-z,now"},
		{"-Os", "-fno-pie", "-no-pie"}, {"-O2", "-fPIC", "-pie", "-D_GLIBCXX_ASSERTIONS", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong", "-fstack-clash-protection"},
	} {
		t.Run(flags[0]+flags[1], func(t *testing.T) {
			program, object := throwProgram(t, flags...)
			l := live.Start(t, exec.Command(program))
			text := l.Text(program)
			counted := 0
			for round := range 3 {
				for _, a := range throwAnswers {
					require.Equal(t, a.before, l.Ask(a.question), a.question)
				}
				counted++
				require.Equal(t, strconv.Itoa(counted), l.Ask("counted"))
				require.Equal(t, "0", l.Ask("table"))
				must(t, "apply", "--object", object, "--pid", l.PID)
				for _, a := range throwAnswers {
					require.Equal(t, a.after, l.Ask(a.question), a.question)
				}
				counted++
				require.Equal(t, strconv.Itoa(counted), l.Ask("counted"), "old and new code share the static local")
				require.Equal(t, "4", l.Ask("table"), "a new static local is constructed, round %d", round)
				must(t, "remove", "--object", object, "--pid", l.PID)
				require.Equal(t, text, l.Text(program), "every byte of the program's code is as it was")
			}
			require.Equal(t, "0", l.Ask("wrong"))
		})
	}
}

// Four threads throw through patched frames more than 10,000 times a second
// while the patch goes in and out 100 times.
func TestExceptionsWhilePatching(t *testing.T) {
	program, object := throwProgram(t, "-O2", "-fPIE", "-pie")
	l := live.Start(t, exec.Command(program))
	began, before := time.Now(), l.Number("thrown")
	for range 100 {
		must(t, "apply", "--object", object, "--pid", l.PID)
		require.Equal(t, "1000004 1000009", l.Ask("outer"))
		must(t, "remove", "--object", object, "--pid", l.PID)
		require.Equal(t, "4 8", l.Ask("outer"))
	}
	rate := float64(l.Number("thrown")-before) / time.Since(began).Seconds()
	t.Logf("%.0f exceptions a second, 100 times in and out in %v", rate, time.Since(began))
	require.Greater(t, rate, 10000.0, "the program must throw often enough for the test to mean something")
	require.Equal(t, "0", l.Ask("wrong"))
}

// Several patches of one process that throw and catch come and go in any order.
func TestExceptionsOfSeveralPatches(t *testing.T) {
	program, objects := throwPrograms(t, []string{"PATCHED", "ELSEWHERE"}, "-O2", "-fPIE", "-pie")
	l := live.Start(t, exec.Command(program))
	applied := map[string]bool{}
	for _, step := range []struct {
		verb   string
		object int
	}{
		{"apply", 0}, {"apply", 1}, {"remove", 0}, {"apply", 0}, {"remove", 1}, {"apply", 1}, {"remove", 0}, {"remove", 1}, {"apply", 1}, {"apply", 0},
	} {
		must(t, step.verb, "--object", objects[step.object], "--pid", l.PID)
		applied[objects[step.object]] = step.verb == "apply"
		outer, elsewhere := "4 8", "1"
		if applied[objects[0]] {
			outer = "1000004 1000009"
		}
		if applied[objects[1]] {
			elsewhere = "501"
		}
		require.Equal(t, outer, l.Ask("outer"), step)
		require.Equal(t, elsewhere, l.Ask("elsewhere"), step)
	}
	require.Equal(t, "0", l.Ask("wrong"))
}

// A program that throws all the time survives our death at any moment, and the
// next command puts it right.
func TestExceptionsSurviveOurDeath(t *testing.T) {
	program, object := throwProgram(t, "-O2", "-fPIE", "-pie")
	l := live.Start(t, exec.Command(program))
	for i := range 60 {
		verb := []string{"apply", "remove"}[i%2]
		cmd := command(t, verb, "--object", object, "--pid", l.PID)
		require.NoError(t, cmd.Start())
		time.Sleep(rand.N(40 * time.Millisecond))
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed, or done before
		require.Equal(t, "0", l.Ask("wrong"))
		require.Contains(t, []string{"4 8", "1000004 1000009"}, l.Ask("outer"))
	}
	r := syscare(t, "apply", "--object", object, "--pid", l.PID)
	require.Zero(t, r.code, r.stderr)
	require.Equal(t, "1000004 1000009", l.Ask("outer"))
	must(t, "remove", "--object", object, "--pid", l.PID)
	require.Equal(t, "4 8", l.Ask("outer"))
	require.Equal(t, "0", l.Ask("wrong"))
}
