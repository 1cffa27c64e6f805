package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cached makes patches of the small program with a cache of their own.
type cached struct {
	t        *testing.T
	home     string
	packages small
}

func newCached(t *testing.T, compile string) *cached {
	t.Helper()
	c := &cached{t, t.TempDir(), buildSmall(t, "1", "", compile)}
	t.Cleanup(func() { _ = exec.Command("chmod", "-R", "u+w", c.home).Run() })
	return c
}

// command prepares a build.
func (c *cached) command(patch, work, output string, flags ...string) *exec.Cmd {
	cmd := command(c.t, append([]string{"build", "--patch_name", "HP001", "--source", c.packages.source, "--debuginfo", c.packages.debuginfo,
		"--patch", patch, "--workdir", work, "--output", output, "--skip-cleanup"}, flags...)...)
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+c.home)
	return cmd
}

// build makes a patch, and tells its package and whether the program was built.
func (c *cached) build(patch string, flags ...string) (rpm []byte, built bool) {
	c.t.Helper()
	work, output := c.t.TempDir(), c.t.TempDir()
	r := finish(c.t, c.command(patch, work, output, flags...))
	require.Zero(c.t, r.code, r.stderr)
	logs, err := filepath.Glob(filepath.Join(work, "syscare-build.*", "build.log"))
	require.NoError(c.t, err)
	require.Len(c.t, logs, 1)
	log, err := os.ReadFile(logs[0])
	require.NoError(c.t, err)
	built = !strings.Contains(string(log), "using the build that was recorded in")
	require.Equal(c.t, built, strings.Contains(string(log), "+ rpmbuild -bc --noclean --nocheck --define"), "from the beginning")
	rpm, err = os.ReadFile(patchRPM(c.t, output))
	require.NoError(c.t, err)
	return rpm, built
}

func (c *cached) fixes() (one, two string) {
	return fix(c.t, "return x >= limits.low", "return x > limits.low"), fix(c.t, "x <= limits.high", "x < limits.high")
}

// The program is built once for all its fixes, and the packages are those that
// building it anew would give.
func TestRecordedBuildIsUsedAgain(t *testing.T) {
	c := newCached(t, smallCompile)
	one, two := c.fixes()
	first, built := c.build(one)
	require.True(t, built)
	second, built := c.build(two)
	require.False(t, built)
	for patch, want := range map[string][]byte{one: first, two: second} {
		again, built := c.build(patch)
		require.False(t, built)
		require.Equal(t, want, again, "the same bytes from the same recorded build")
		anew, built := c.build(patch, "--no-cache")
		require.True(t, built)
		require.Equal(t, want, anew, "and from a new one")
	}
}

// A fix that has to be built as a whole leaves the recorded build as it was.
func TestRecordedBuildOutlivesASecondBuild(t *testing.T) {
	c := newCached(t, "gcc -O2 -g -o small *.c")
	one, _ := c.fixes()
	want, _ := c.build(one)
	whole := fix(t, "return x >= limits.low && x <= limits.high;", "extern int more(int); return more(x);")
	text, err := os.ReadFile(whole)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(whole, append(text, "--- /dev/null\n+++ b/more.c\n@@ -0,0 +1,4 @@\n+int more(int x)\n+{\n+\treturn x + 100;\n+}\n"...), 0o644))
	_, built := c.build(whole) // goes on from the recorded one
	require.False(t, built)
	got, built := c.build(one)
	require.False(t, built)
	require.Equal(t, want, got)
}

// What the program was built with is another thing now: it is built anew.
func TestRecordedBuildOfOtherHeaders(t *testing.T) {
	header := filepath.Join(t.TempDir(), "outside.h")
	require.NoError(t, os.WriteFile(header, []byte("/* nothing */\n"), 0o644))
	c := newCached(t, "gcc -include "+header+" -O2 -g -o small small.c")
	one, two := c.fixes()
	_, built := c.build(one)
	require.True(t, built)
	_, built = c.build(two)
	require.False(t, built)
	require.NoError(t, os.WriteFile(header, []byte("/* something else */\n"), 0o644))
	_, built = c.build(two)
	require.True(t, built)
}

// Where there is no room to keep a build, it is made in the working directory.
func TestNoRoomForRecordedBuilds(t *testing.T) {
	c := newCached(t, smallCompile)
	tool(t, "mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", c.home)
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(c.home, 0)) })
	one, _ := c.fixes()
	for range 2 {
		_, built := c.build(one)
		require.True(t, built)
	}
	r := finish(t, c.command(one, t.TempDir(), t.TempDir(), "--verbose"))
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stderr, "MB are free, less than")
	require.Contains(t, r.stderr, "+ rpmbuild -bc", "with --verbose, commands are shown")
}

// Several builds at once, of which some are killed, do not disturb each other, nor
// those that come after them.
func TestRecordedBuildOfManyAtOnce(t *testing.T) {
	c := newCached(t, smallCompile)
	one, two := c.fixes()
	want := map[string][]byte{}
	want[one], _ = c.build(one, "--no-cache")
	want[two], _ = c.build(two, "--no-cache")
	for round := range 6 {
		var running []*exec.Cmd
		said := map[*exec.Cmd]*bytes.Buffer{}
		outputs := map[string]string{}
		for i, patch := range []string{one, two} {
			output := t.TempDir()
			outputs[patch] = output
			cmd := c.command(patch, t.TempDir(), output)
			said[cmd] = &bytes.Buffer{}
			cmd.Stderr = said[cmd]
			require.NoError(t, cmd.Start())
			running = append(running, cmd)
			if i == 0 {
				victim := c.command(patch, t.TempDir(), t.TempDir())
				require.NoError(t, victim.Start())
				time.Sleep(time.Duration(100+round*60) * time.Millisecond)
				require.NoError(t, victim.Process.Kill())
				_ = victim.Wait()
			}
		}
		for _, cmd := range running {
			require.NoError(t, cmd.Wait(), "%s", said[cmd])
		}
		for patch, output := range outputs {
			got, err := os.ReadFile(patchRPM(t, output))
			require.NoError(t, err)
			require.Equal(t, want[patch], got, fmt.Sprint("round ", round))
		}
		victim := c.command(one, t.TempDir(), t.TempDir())
		require.NoError(t, victim.Start())
		time.Sleep(time.Duration(50+round*50) * time.Millisecond)
		require.NoError(t, victim.Process.Kill())
		_ = victim.Wait()
		got, _ := c.build(two)
		require.Equal(t, want[two], got, "after a build that was killed")
	}
}

// What would be compiled can be told beforehand, and what was made for programs.
func TestDryRunAndJSON(t *testing.T) {
	c := newCached(t, smallCompile)
	one, _ := c.fixes()
	output := t.TempDir()
	r := finish(t, c.command(one, t.TempDir(), output, "--dry-run"))
	require.Zero(t, r.code, r.stderr)
	require.Equal(t, "small (/usr/bin/small)\n  small.c\n", r.stdout)
	made, err := os.ReadDir(output)
	require.NoError(t, err)
	require.Empty(t, made)

	r = finish(t, c.command(one, t.TempDir(), output, "--json"))
	require.Zero(t, r.code, r.stderr)
	var report struct {
		PatchRPM string `json:"patch_rpm"`
		Patch    struct {
			Entities []struct {
				Name      string
				Functions []string
			}
		}
		RecordedBefore bool `json:"recorded_before"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &report), r.stdout)
	require.Equal(t, patchRPM(t, output), report.PatchRPM)
	require.Len(t, report.Patch.Entities, 1)
	require.Equal(t, []string{"allowed"}, report.Patch.Entities[0].Functions)
	require.True(t, report.RecordedBefore)
}

// A fix can be a series of patches, as packagers keep them.
func TestPatchSeries(t *testing.T) {
	c := newCached(t, smallCompile)
	one, two := c.fixes()
	dir := t.TempDir()
	for i, patch := range []string{one, two} {
		copyTo(t, patch, filepath.Join(dir, fmt.Sprint(i, ".patch")))
	}
	tool(t, "xz", filepath.Join(dir, "1.patch"))
	series := filepath.Join(dir, "series")
	require.NoError(t, os.WriteFile(series, []byte("0.patch\n1.patch.xz\n"), 0o644))
	output := t.TempDir()
	r := finish(t, c.command(series, t.TempDir(), output))
	require.NotZero(t, r.code, "they change the same line")
	require.Contains(t, r.stderr, "1.patch")
	require.NoError(t, os.WriteFile(series, []byte("1.patch.xz # alone\n"), 0o644))
	r = finish(t, c.command(series, t.TempDir(), output))
	require.Zero(t, r.code, r.stderr)
	require.FileExists(t, patchRPM(t, output))
}
