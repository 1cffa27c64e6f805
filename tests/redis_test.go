package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/redisrpm"
)

// cycles is how often each fix goes in and out.
const cycles = 20

// built holds the outputs of buildPatch by the fixes: a build takes a minute.
var built = map[string]string{}

// buildPatch makes the packages of patch HP001 with the given fixes and gives
// the directory with them.
func buildPatch(t testing.TB, packages *redisrpm.Packages, fixes ...string) (output string) {
	t.Helper()
	key := strings.Join(fixes, " ")
	if output, ok := built[key]; ok {
		return output
	}
	output = filepath.Join(bin, "built", key)
	require.NoError(t, os.MkdirAll(output, 0o755))
	runBuild(t, packages, output, fixes...)
	built[key] = output
	return output
}

func runBuild(t testing.TB, packages *redisrpm.Packages, output string, fixes ...string) {
	t.Helper()
	args := []string{
		"build", "--patch_name", "HP001", "--source", packages.SourceRPM, "--debuginfo", packages.DebuginfoRPM,
		"--workdir", t.TempDir(), "--output", output, "--patch",
	}
	for _, fix := range fixes {
		file, err := packages.PatchFile(fix)
		require.NoError(t, err)
		args = append(args, file)
	}
	must(t, args...)
}

// secondVersion is the package of the patch of CVE-2025-32023 and, upon it,
// CVE-2025-49844.
func secondVersion(t testing.TB, packages *redisrpm.Packages) string {
	t.Helper()
	const key = "version 2"
	if built[key] == "" {
		source := filepath.Join(buildPatch(t, packages, "CVE-2025-32023"), "redis-7.0.15-1-HP001-1-1.x86_64.src.rpm")
		output := filepath.Join(bin, "built", key)
		require.NoError(t, os.MkdirAll(output, 0o755))
		file, err := packages.PatchFile("CVE-2025-49844")
		require.NoError(t, err)
		must(t, "build", "--patch_name", "HP001", "--source", source, "--debuginfo", packages.DebuginfoRPM,
			"--workdir", t.TempDir(), "--output", output, "--patch", file)
		built[key] = filepath.Join(output, "patch-redis-7.0.15-1-HP001-2-1.x86_64.rpm")
	}
	require.FileExists(t, built[key])
	return built[key]
}

// namedFix is one of the fixes that the packages come with.
func namedFix(t testing.TB, name string) redisrpm.Fix {
	t.Helper()
	fixes := redisrpm.Fixes()
	i := slices.IndexFunc(fixes, func(f redisrpm.Fix) bool { return f.Name == name })
	require.NotEqual(t, -1, i, "no fix %s", name)
	return fixes[i]
}

// patchRPM is the patch package in output.
func patchRPM(t testing.TB, output string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(output, "patch-*.rpm"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

// install installs packages into root with a package database of its own. The
// root has no shell, so scriptlets do not run.
func install(t testing.TB, root string, packages ...string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "var/lib/rpm"), 0o755))
	tool(t, "rpm", append([]string{
		"--root", root, "--dbpath", "/var/lib/rpm", "--nosignature", "-i", "--nodeps", "--noscripts",
	}, packages...)...)
}

// load keeps a server busy until stop is called, which fails the test for any
// error that a client saw.
func load(t testing.TB, root, socket string, how ...string) (stop func() int) {
	t.Helper()
	var mutex sync.Mutex
	var output bytes.Buffer
	cmd := exec.Command(filepath.Join(root, "usr/bin/redis-benchmark"),
		append([]string{"-s", socket, "-n", "100000000", "-l", "-t", "set,get,pfadd", "-q"}, how...)...)
	cmd.Stdout = writerFunc(func(p []byte) (int, error) {
		mutex.Lock()
		defer mutex.Unlock()
		return output.Write(p)
	})
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	kill := func() { _ = cmd.Process.Kill() }
	t.Cleanup(kill)
	return func() int {
		select {
		case err := <-ended:
			require.Fail(t, "redis-benchmark ended by itself", "%v\n%s", err, output.String())
		default:
		}
		kill()
		<-ended
		text := output.String()
		require.NotRegexp(t, `(?i)error|closed|refused|reset|could not`, text)
		return strings.Count(text, "rps=")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// The main job: each fix goes into a redis-server under load and out again,
// many times, and nobody notices but those who look for the flaw.
func TestFixesUnderLoad(t *testing.T) {
	packages := redisrpm.Require(t)
	for _, fix := range redisrpm.Fixes() {
		t.Run(fix.Name, func(t *testing.T) {
			output := buildPatch(t, packages, fix.Name)
			root := t.TempDir()
			install(t, root, packages.RPM, patchRPM(t, output))
			patch := redisrpm.Target + "/HP001-1-1"
			require.Equal(t, patch+": NOT-APPLIED\n", must(t, "--root", root, "status", patch))

			library := ""
			if fix.Check != nil {
				library = fix.Check.Library(t)
			}
			server := redisrpm.StartServer(t, root, library)
			holds := func(fixed bool) {
				if fix.Check == nil || fix.Check.New || fix.Check.Before == "" && !fixed {
					return
				}
				require.NoError(t, server.Holds(fix.Check, fixed))
			}
			holds(false)
			stop := load(t, root, server.Socket(), "-c", "50", "-P", "8")
			for range cycles {
				must(t, "--root", root, "apply", "HP001")
				holds(true)
				require.Equal(t, patch+": ACTIVED\n", must(t, "--root", root, "status", patch))
				must(t, "--root", root, "remove", "HP001")
				holds(false)
				require.Equal(t, patch+": NOT-APPLIED\n", must(t, "--root", root, "status", patch))
			}
			require.Positive(t, stop(), "the clients were served")
			require.NoError(t, server.Process.Signal(syscall.Signal(0)), "the server is still the process that was started")
		})
	}
}

// A flawed unpack crashes the server, so that the way back is shown on one that
// may die.
func TestRemovedFixIsGone(t *testing.T) {
	packages := redisrpm.Require(t)
	fix := namedFix(t, "CVE-2025-46817")
	root := t.TempDir()
	install(t, root, packages.RPM, patchRPM(t, buildPatch(t, packages, fix.Name)))
	server := redisrpm.StartServer(t, root, "")
	must(t, "--root", root, "apply", "HP001")
	require.NoError(t, server.Holds(fix.Check, true))
	must(t, "--root", root, "remove", "HP001")
	require.Error(t, server.Holds(fix.Check, true))
	require.Eventually(t, func() bool { return server.Process.Signal(syscall.Signal(0)) != nil || zombie(server.Process.Pid) },
		10*time.Second, 50*time.Millisecond, "without the fix the check crashes the server")
}

func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// Fixes that a running process cannot take are refused when the patch is
// built, with the reason, and leave nothing behind.
func TestUnsafeFixesAreRefused(t *testing.T) {
	packages := redisrpm.Require(t)
	for _, fix := range redisrpm.Refused() {
		t.Run(fix.Name, func(t *testing.T) {
			file, err := packages.PatchFile(fix.Name)
			require.NoError(t, err)
			work, output := t.TempDir(), t.TempDir()
			r := syscare(t, "build", "--patch_name", "HP001", "--source", packages.SourceRPM,
				"--debuginfo", packages.DebuginfoRPM, "--workdir", work, "--output", output, "--patch", file)
			require.Equal(t, 5, r.code, r.stderr)
			require.Regexp(t, `layout of struct \w+ changed|existing data changed`, r.stderr)
			requireEmpty(t, work)
			requireEmpty(t, output)
		})
	}
}

func requireEmpty(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries, "left behind in %s", dir)
}
