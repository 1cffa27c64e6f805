package random

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/live"
)

// outcome is how the trial of one program ended, unless it failed.
type outcome struct {
	mutations []string
	flags     flags
	refused   string // the reason, without names and numbers; "" if patched
	unchanged bool   // diff found nothing functional
	visible   bool   // the fix changes what is printed
	observing bool   // it only prints, see observations
}

// refusals are the reasons for which a fix made by mutate may be refused.
var refusals = []*regexp.Regexp{
	regexp.MustCompile(`it is too short to be redirected`),
	regexp.MustCompile(`the initial value of existing data changed`),
	regexp.MustCompile(`the size of existing data changed`),
	regexp.MustCompile(`cannot be told apart from an existing variable`),
	regexp.MustCompile(`the size or initial value of a thread-local variable changed`),
	regexp.MustCompile(`the target has no such local symbol: it was inlined or linked out there`),
	regexp.MustCompile(`the target has no such symbol: it was linked out`),
	regexp.MustCompile(`not supported \(R_X86_64_GOTPC32_TLSDESC\)`), // -mtls-dialect=gnu2
}

// What is known in the process only: helpers of the compiler, or functions of
// the program, that nothing used so far and --gc-sections has dropped; and old
// words on a stack that look like return addresses where no unwind tables say
// that they are none.
var unresolved = []struct {
	flag    string
	code    int
	message *regexp.Regexp
}{
	{"", 5, regexp.MustCompile(`cannot resolve symbol "__(u|)(div|mod)ti3": no loaded object defines it`)},
	{"-Wl,--gc-sections", 5, regexp.MustCompile(`cannot resolve symbol "feature_\w+": no loaded object defines it`)},
	{"-fno-asynchronous-unwind-tables", 4, regexp.MustCompile(`the code to be changed is in use`)},
}

// trial is one program, and where its files are.
type trial struct {
	t     *testing.T
	seed  uint64
	dir   string
	units []string // what the names of its files end in, before the dot
	decoy []string // objects linked in front of the program, and behind it
	outcome
}

// run makes the program of a seed, patches it while it runs, and compares.
func run(t *testing.T, seed uint64) outcome {
	t.Helper()
	tr := &trial{t: t, seed: seed, dir: t.TempDir()}
	if *keep != "" {
		tr.dir = filepath.Join(*keep, fmt.Sprint(seed))
		require.NoError(t, os.MkdirAll(tr.dir, 0o755))
	}
	defer func() {
		if t.Failed() {
			t.Logf("to repeat: go test ./tests/random -run TestRandomPrograms -seed %d -programs 1 -keep DIR\nflags: %v\nmutations: %s",
				seed, tr.flags, strings.Join(tr.mutations, ", "))
		}
	}()
	r := rand.New(rand.NewPCG(seed, 0))
	tr.flags = randomFlags(r)
	tr.observing = r.IntN(4) == 0
	tr.units = []string{""}
	if r.IntN(3) == 0 {
		tr.units = []string{"", ".features"}
	}
	if r.IntN(3) == 0 {
		tr.addDecoy(r)
	}
	original, patched := tr.programs(r)
	tr.visible = original != patched
	tr.patch(original, patched)
	return tr.outcome
}

// addDecoy has the program linked with another that has the same file name,
// and static functions and variables of the same names.
func (tr *trial) addDecoy(r *rand.Rand) {
	tr.t.Helper()
	require.NoError(tr.t, os.MkdirAll(tr.path("decoy"), 0o755))
	tr.write("decoy/original.c", "#define csmith_main decoy_main\n"+csmith(tr.t, r, tr.dir))
	tr.compile("decoy/original.c", "decoy.o")
	tr.decoy = []string{tr.path("decoy.o"), ""}
	if r.IntN(2) == 0 {
		slices.Reverse(tr.decoy)
	}
}

// programs builds programs and their fixes until one pair of them ends by
// itself, and tells what the two print.
func (tr *trial) programs(r *rand.Rand) (original, patched string) {
	tr.t.Helper()
	for range 20 {
		text := newProgram(tr.t, r, tr.dir)
		seed, changes := r.Uint64(), 1+r.IntN(4)
		other := map[int]bool{}
		for range r.IntN(3) {
			all := placeholder.FindAllString(text, -1)
			// Changed data is refused; a few such programs are enough.
			if i := r.IntN(len(all)); !tr.observing && (strings.HasPrefix(all[i], "RANDOM") || r.IntN(4) == 0) {
				other[i] = true
			}
		}
		fixed, done := mutate(r, fill(seed, text, other), changes, tr.observing)
		tr.mutations = done
		for i := range other {
			tr.mutations = append(tr.mutations, fmt.Sprintf("value %d", i))
		}
		tr.writeUnits("original", fill(seed, text, nil))
		tr.writeUnits("patched", fixed)
		var ok bool
		if original, ok = tr.ends("original"); !ok {
			continue
		}
		if patched, ok = tr.ends("patched"); ok {
			return original, patched
		}
	}
	require.Fail(tr.t, "no program ends by itself")
	return "", ""
}

// patch applies the fix to the running program and takes it away again.
func (tr *trial) patch(original, patched string) {
	t := tr.t
	t.Helper()
	sections := []string{"-ffunction-sections", "-fdata-sections", "-fno-common"}
	program, object := tr.path("original"), tr.path("patch.o")
	pairs := []string{"diff", "--debuginfo", program, "--output", object}
	for _, unit := range tr.units {
		for _, name := range []string{"original", "patched"} {
			tr.compile(name+unit+".c", name+unit+".o", sections...)
			pairs = append(pairs, "--"+name, tr.path(name+unit+".o"))
		}
	}

	p := live.Start(t, exec.Command(program, "30"))
	text := p.Text(program)
	require.Equal(t, original, answer(p, "run"), "before")

	code, message := tr.syscare(pairs...)
	switch code {
	case 0:
	case 3:
		tr.unchanged = true
		tr.requireSame(original, patched, "diff says that nothing functional changed")
		return
	case 5:
		for _, reason := range refusals {
			if tr.refused = reason.FindString(message); tr.refused != "" {
				t.Logf("refused: %s\nflags: %v\nmutations: %s", message, tr.flags, strings.Join(tr.mutations, ", "))
				return
			}
		}
		fallthrough
	default:
		require.Failf(t, "diff", "exit code %d: %s", code, message)
	}
	check := func(want, when string) { tr.requireSame(want, answer(p, "run"), when) }
	if tr.observing {
		tr.requireSame(original, added.ReplaceAllString(patched, ""), "the fix only prints")
		check = tr.compareState(p, live.Start(t, exec.Command(program, "30")))
	}
	change := []string{"--object", object, "--pid", p.PID}
	code, message = tr.syscare(append([]string{"apply"}, change...)...)
	for _, u := range unresolved {
		if code == u.code && (u.flag == "" || slices.Contains(slices.Concat(tr.flags.compile, tr.flags.link), u.flag)) {
			tr.refused = u.message.FindString(message)
		}
		if tr.refused != "" {
			break
		}
	}
	if tr.refused != "" {
		check(original, "after apply has refused")
	} else {
		require.Zero(t, code, "apply: %s", message)
		check(patched, "patched")
		for _, again := range []struct{ verb, prints string }{{"remove", original}, {"apply", patched}, {"remove", original}} {
			code, message = tr.syscare(append([]string{again.verb}, change...)...)
			require.Zero(t, code, "%s: %s", again.verb, message)
			check(again.prints, again.verb)
		}
	}
	require.True(t, bytes.Equal(text, p.Text(program)), "every byte of the program's code is as it was")
}

// compareState has the program and another that is never patched work, and
// returns what does so again and compares: all that a fix leaves alone, static
// locals above all, keeps its state over apply and remove.
func (tr *trial) compareState(p, other *live.Process) func(_, when string) {
	work := func(command, when string) {
		tr.t.Helper()
		tr.requireSame(answer(other, command), added.ReplaceAllString(answer(p, command), ""), when)
	}
	work("warm", "before")
	return func(_, when string) {
		tr.t.Helper()
		for _, command := range []string{"run", "warm", "run"} {
			work(command, when+", state, "+command)
		}
	}
}

// requireSame compares what was printed with what should be.
func (tr *trial) requireSame(want, got, when string) {
	tr.t.Helper()
	if want != got {
		tr.write("want", want)
		tr.write("got", got)
		require.Equal(tr.t, want, got, when)
	}
}

func (tr *trial) path(name string) string { return filepath.Join(tr.dir, name) }

func (tr *trial) write(name, text string) {
	tr.t.Helper()
	require.NoError(tr.t, os.WriteFile(tr.path(name), []byte(text), 0o644))
}

// writeUnits writes the source files of a program.
func (tr *trial) writeUnits(name, text string) {
	tr.t.Helper()
	if len(tr.units) == 1 {
		tr.write(name+".c", text)
		return
	}
	for i, unit := range units(text) {
		tr.write(name+tr.units[i]+".c", unit)
	}
}

func (tr *trial) gcc(output string, args ...string) {
	tr.t.Helper()
	args = append(args, "-w", "-o", tr.path(output))
	out, err := exec.CommandContext(tr.t.Context(), "gcc", args...).CombinedOutput()
	require.NoError(tr.t, err, "gcc %v\n%s", args, out)
}

func (tr *trial) compile(source, output string, more ...string) {
	tr.t.Helper()
	args := append(append([]string{"-I/usr/include/csmith"}, tr.flags.compile...), more...)
	tr.gcc(output, append(args, "-c", tr.path(source))...)
}

// ends builds a program as its users would and tells what it prints; false if
// it does not end by itself within a second of computing.
func (tr *trial) ends(name string) (string, bool) {
	tr.t.Helper()
	var objects []string
	for _, unit := range tr.units {
		tr.compile(name+unit+".c", name+unit+".whole.o")
		objects = append(objects, tr.path(name+unit+".whole.o"))
	}
	if tr.decoy != nil {
		objects = slices.DeleteFunc(slices.Insert(slices.Clone(tr.decoy), 1, objects...), func(s string) bool { return s == "" })
	}
	tr.gcc(name, slices.Concat([]string{"-Wl,--build-id", "testdata/driver.c"}, objects, tr.flags.compile, tr.flags.link)...)
	printed := answer(live.Start(tr.t, exec.Command(tr.path(name), "1")), "run")
	return printed, strings.HasSuffix(printed, "end exit 0\n")
}

// answer tells a program to do something and returns what it prints.
func answer(p *live.Process, command string) string {
	var printed strings.Builder
	p.Say(command)
	for {
		line := p.Answer()
		printed.WriteString(line + "\n")
		if strings.HasPrefix(line, "end ") {
			return printed.String()
		}
	}
}

func (tr *trial) syscare(args ...string) (code int, message string) {
	tr.t.Helper()
	cmd := exec.CommandContext(tr.t.Context(), syscare, args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(tr.t, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}
