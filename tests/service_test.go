package tests

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/patchobject"
	"github.com/openeuler/syscare/engine/user"
	"github.com/openeuler/syscare/state/metadata"
)

// A machine is a root directory with a program in it and installed patches.
type machine struct {
	t                     testing.TB
	root, program, source string
	patches               int
	bus                   string // configuration of its system bus
	busPID                int
}

// newMachine has a program made of a file of testdata.
func newMachine(t testing.TB, source string) *machine {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.Chmod(root, 0o755))
	return newMachineIn(t, root, source)
}

func newMachineIn(t testing.TB, root, source string) *machine {
	t.Helper()
	m := &machine{t: t, root: root, source: filepath.Join("testdata", source)}
	m.program = filepath.Join(m.root, "usr/bin/program")
	require.NoError(t, os.MkdirAll(filepath.Dir(m.program), 0o755))
	tool(t, "gcc", "-g", "-O2", m.source, "-o", m.program, "-Wl,--build-id")
	return m
}

// patch installs a patch for what changes if the source is compiled with a
// macro, as a package would.
func (m *machine) patch(name, macro string) {
	m.t.Helper()
	m.patchVersion(name, "1", macro)
}

func (m *machine) patchVersion(name, version, macro string) {
	m.t.Helper()
	p, object := m.makePatch(name, version, macro)
	text, err := p.Encode()
	require.NoError(m.t, err)
	data, err := os.ReadFile(object)
	require.NoError(m.t, err)
	installed := filepath.Join(m.root, "usr/lib/syscare/patches", p.UUID)
	require.NoError(m.t, os.MkdirAll(installed, 0o755))
	require.NoError(m.t, os.WriteFile(filepath.Join(installed, metadata.FileName), text, 0o640))
	require.NoError(m.t, os.WriteFile(filepath.Join(installed, "program.o"), data, 0o640))
}

// makePatch makes a patch and gives the path of its object.
func (m *machine) makePatch(name, version, macro string) (p *metadata.Patch, path string) {
	m.t.Helper()
	dir := m.t.TempDir()
	compile := func(output string, args ...string) string {
		path := filepath.Join(dir, output)
		tool(m.t, "gcc", append([]string{"-g", "-O2", "-c", "-ffunction-sections", "-fdata-sections", m.source, "-o", path}, args...)...)
		return path
	}
	path = filepath.Join(dir, "program.o")
	must(m.t, "diff", "--original", compile("original.o"), "--patched", compile("patched.o", macro), "--debuginfo", m.program, "--output", path)
	obj, err := patchobject.Load(path)
	require.NoError(m.t, err)
	data, err := os.ReadFile(path)
	require.NoError(m.t, err)
	sum := sha256.Sum256(data)
	m.patches++
	id := fmt.Sprintf("980fa0d0-e753-447c-8494-%012d", m.patches)
	p = &metadata.Patch{
		Schema: metadata.SchemaVersion, UUID: id, Name: name, Version: version, Release: "1", Arch: "x86_64", Type: metadata.UserPatch,
		Target:   metadata.Package{Name: "program", Version: "1.0", Release: "1", Arch: "x86_64"},
		Entities: []metadata.Entity{{UUID: obj.Info.UUID, Name: "program", BuildID: obj.Info.TargetID, Path: "/usr/bin/program", File: "program.o", Digest: hex.EncodeToString(sum[:])}},
		License:  "MulanPSL-2.0", Description: "a fix",
		Patches: []metadata.SourcePatch{{Name: "0001-fix.patch", Digest: hex.EncodeToString(sum[:])}},
	}
	p.Digest = p.ComputeDigest()
	return p, path
}

// entity is the UUID of the entity of an installed patch.
func (m *machine) entity(uuid string) string {
	m.t.Helper()
	data, err := os.ReadFile(filepath.Join(m.root, "usr/lib/syscare/patches", uuid, metadata.FileName))
	require.NoError(m.t, err)
	p, err := metadata.Parse(data)
	require.NoError(m.t, err)
	return p.Entities[0].UUID
}

func (m *machine) must(args ...string) string {
	m.t.Helper()
	return must(m.t, append([]string{"--root", m.root}, args...)...)
}

func (m *machine) says() string {
	m.t.Helper()
	return strings.TrimSpace(tool(m.t, m.program))
}

// A service is syscared on a machine.
type service struct {
	t     testing.TB
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func (m *machine) service() *service {
	m.t.Helper()
	s := &service{t: m.t, cmd: exec.Command(filepath.Join(bin, "syscared"), "--foreground", "--root", m.root)}
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	require.NoError(m.t, err)
	require.NoError(m.t, s.cmd.Start())
	m.t.Cleanup(s.kill)
	s.lines = bufio.NewScanner(out)
	return s
}

// looksAfter waits until the service has taken notice.
func (s *service) looksAfter(files string) {
	s.t.Helper()
	late := time.AfterFunc(time.Minute, s.kill)
	defer late.Stop()
	for s.lines.Scan() {
		if s.lines.Text() == "looking after "+files+" files" {
			return
		}
	}
	require.Fail(s.t, "the service has ended")
}

func (s *service) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// While a patch is active, every program that starts runs it from its first
// line; and when the service dies in the middle, programs start all the same.
func TestProgramsStartPatched(t *testing.T) {
	m := newMachine(t, "greets.c")
	m.patch("HP001", "-DPATCHED")
	require.Equal(t, "flawed", m.says())
	s := m.service()
	s.looksAfter("0")
	require.Equal(t, "flawed", m.says())
	m.must("apply", "HP001")
	s.looksAfter("1")
	for range 1000 {
		require.Equal(t, "fixed", m.says())
	}
	require.Contains(t, m.must("status", "HP001"), "ACTIVED")
	m.must("remove", "HP001")
	s.looksAfter("0")
	require.Equal(t, "flawed", m.says())

	m.must("apply", "HP001")
	s.looksAfter("1")
	said := make(chan string)
	go func() {
		defer close(said)
		for range 200 {
			out, err := exec.Command(m.program).Output()
			if err != nil {
				said <- err.Error()
			}
			said <- strings.TrimSpace(string(out))
		}
	}()
	count := map[string]int{}
	for word := range said {
		count[word]++
		if count["fixed"] == 50 {
			s.kill()
		}
	}
	require.Equal(t, 200, count["fixed"]+count["flawed"], "all have started: %v", count)
	require.Positive(t, count["flawed"], "without the service they start as they are")

	// It patches what has started meanwhile, when it comes back.
	meanwhile := exec.Command(m.program, "c")
	stdin, err := meanwhile.StdinPipe()
	require.NoError(t, err)
	out, err := meanwhile.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, meanwhile.Start())
	answers := bufio.NewScanner(out)
	require.True(t, answers.Scan())
	require.Equal(t, "flawed", answers.Text())
	s = m.service()
	s.looksAfter("1")
	_, err = io.WriteString(stdin, "again\n")
	require.NoError(t, err)
	require.True(t, answers.Scan())
	require.Equal(t, "fixed", answers.Text())
	require.NoError(t, stdin.Close())
	require.NoError(t, meanwhile.Wait())
}

// What is removed is in no program that starts afterwards, also before the service
// has taken notice.
func TestRemovedIsGoneAtOnce(t *testing.T) {
	m := newMachine(t, "greets.c")
	m.patch("HP001", "-DPATCHED")
	s := m.service()
	s.looksAfter("0")
	for range 20 {
		m.must("apply", "HP001")
		s.looksAfter("1")
		require.Equal(t, "fixed", m.says())
		m.must("remove", "HP001")
		require.Equal(t, "flawed", m.says())
		s.looksAfter("0")
	}
}

// The next version of a patch takes the place of the former in every process.
func TestAVersionReplacesTheFormer(t *testing.T) {
	m := newMachine(t, "greets.c")
	m.patchVersion("HP001", "1", "-DPATCHED")
	m.patchVersion("HP001", "2", "-DPATCHED=2")
	s := m.service()
	s.looksAfter("0")
	m.must("apply", "HP001-1-1")
	s.looksAfter("1")
	for range 5 {
		cmd := exec.Command(m.program, "c")
		_, err := cmd.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	r := syscare(t, "--root", m.root, "apply", "HP001-2-1")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stderr, "it replaces program-1.0-1/HP001-1-1")
	require.Contains(t, m.must("status", "HP001-1-1"), "NOT-APPLIED")
	require.Contains(t, m.must("status", "HP001-2-1"), "ACTIVED")
	require.Equal(t, "fixed", m.says())
	pids, _ := m.running("HP001-2-1")
	require.Len(t, pids, 5)
	for _, pid := range pids {
		applied, err := user.Applied(t.Context(), pid)
		require.NoError(t, err)
		require.Len(t, applied, 2)
		require.Equal(t, user.Removed, applied[0].State)
		require.Equal(t, user.Active, applied[1].State)
	}
	m.must("remove", "HP001-2-1")
	require.Equal(t, "flawed", m.says())
}

// A crash in the code of a patch that has just become active, or in what that
// called, switches it off everywhere, and it stays off unless forced.
func TestCrashInAPatchSuspendsIt(t *testing.T) {
	for _, row := range []struct{ name, how, record string }{
		{"fault", "c", `died by SIGSEGV in its function "greets"`},
		{"abort", "x", `died by SIGABRT in what was called by its code`},
		{"fault in a library", "m", `died by SIGSEGV in what was called by its function "greets"`},
	} {
		t.Run(row.name, func(t *testing.T) { crashSuspends(t, row.how, row.record) })
	}
}

func crashSuspends(t *testing.T, how, record string) {
	m := newMachine(t, "greets.c")
	m.patch("HP001", "-DPATCHED")
	s := m.service()
	start := func() (*exec.Cmd, io.WriteCloser, *bufio.Scanner) {
		cmd := exec.Command(m.program, "c")
		stdin, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		lines := bufio.NewScanner(out)
		require.True(t, lines.Scan())
		return cmd, stdin, lines
	}
	ask := func(in io.Writer, lines *bufio.Scanner) string {
		_, err := io.WriteString(in, "again\n")
		require.NoError(t, err)
		require.True(t, lines.Scan())
		return lines.Text()
	}
	_, bystander, says := start()
	require.Equal(t, "flawed", ask(bystander, says))
	m.must("apply", "HP001")
	s.looksAfter("1")
	require.Equal(t, "fixed", ask(bystander, says))

	victim, in, lines := start()
	require.Equal(t, "fixed", lines.Text())
	_, err := io.WriteString(in, how+"\n")
	require.NoError(t, err)
	require.Error(t, victim.Wait())
	s.looksAfter("0")
	require.Equal(t, "flawed", ask(bystander, says), "the others are safe again")
	require.Equal(t, "flawed", m.says())

	var status []struct {
		State string
		Notes []string
	}
	require.NoError(t, json.Unmarshal([]byte(m.must("status", "--json", "HP001")), &status))
	require.Equal(t, "DEACTIVED", status[0].State)
	require.Contains(t, strings.Join(status[0].Notes, "\n"), record)
	again := syscare(t, "--root", m.root, "active", "HP001")
	require.Equal(t, 5, again.code)
	require.Contains(t, again.stderr, "--force switches it on nevertheless")
	require.Equal(t, "flawed", ask(bystander, says))
	m.must("active", "--force", "HP001")
	require.Equal(t, "fixed", ask(bystander, says))
}
