package tests

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/state/metadata"
	"github.com/openeuler/syscare/tests/corpus"
	"github.com/openeuler/syscare/tests/live"
)

// installEntity puts a patch with one entity below root, as its package would.
func installEntity(t *testing.T, root string, e build.Entity) {
	t.Helper()
	sum := sha256.Sum256(e.Object)
	p := &metadata.Patch{
		Schema: metadata.SchemaVersion, UUID: uuid.NewString(), Name: "HP001", Version: "1", Release: "1", Arch: "x86_64", Type: metadata.UserPatch,
		Target:  metadata.Package{Name: "expat", Version: "2.5.0", Release: "1", Arch: "x86_64"},
		License: "MIT", Entities: []metadata.Entity{{
			UUID: e.UUID, Name: e.Name, BuildID: e.BuildID, File: e.UUID, Digest: hex.EncodeToString(sum[:]), Functions: e.Functions,
		}},
	}
	p.Digest = p.ComputeDigest()
	text, err := p.Encode()
	require.NoError(t, err)
	dir := filepath.Join(root, "usr/lib/syscare/patches", p.UUID)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, metadata.FileName), text, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, e.UUID), e.Object, 0o644))
}

func copyTo(t testing.TB, from, to string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
	data, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, data, 0o755))
	return to
}

// One fix of libexpat reaches 20 programs at once: Python, a daemon, programs
// of ours of all kinds, others that were made to load it; in a chroot, in other
// namespaces, and where the library's file is gone or another one by now.
func TestLibraryOfManyPrograms(t *testing.T) {
	p := corpus.Find("expat")
	for _, tool := range []string{"cmake", "/usr/bin/python3", "dbus-daemon", "perl", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil && os.Getenv("CI") == "" {
			t.Skipf("needs %s: run `make setup`", tool)
		}
	}
	r, err := p.Record(t.Context(), filepath.Join(bin, "syscare-cc"), io.Discard)
	require.NoError(t, err)
	entities, err := r.Entities(t.Context(), p.Fixes[0], io.Discard)
	require.NoError(t, err)
	require.Len(t, entities, 1)
	built := entities[0].TargetPath

	dir := t.TempDir()
	lib := copyTo(t, built, filepath.Join(dir, "lib", "libexpat.so.1"))
	require.NoError(t, os.Symlink("libexpat.so.1", filepath.Join(dir, "lib", "libexpat.so")))
	environment := append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Dir(lib))
	compile := func(name string, flags ...string) string {
		path := filepath.Join(dir, name)
		tool(t, "gcc", append([]string{"-pthread", "testdata/parses.c", "-o", path}, flags...)...)
		return path
	}
	linked := []string{"-DLINKED", "-L" + filepath.Dir(lib), "-lexpat"}

	var ours []*live.Process
	start := func(cmd *exec.Cmd) {
		if cmd.Env == nil {
			cmd.Env = environment
		}
		ours = append(ours, live.Start(t, cmd))
	}
	// Programs of ours, compiled in all ways, alone and with threads at work.
	for i, flags := range [][]string{
		{"-O0", "-DTHREADS=0"}, {"-O2", "-DTHREADS=1"}, {"-O2", "-fno-pie", "-no-pie", "-DTHREADS=2"}, {"-Os", "-Wl,-z,now", "-DTHREADS=3"},
		{"-O2", "-Wl,-z,lazy", "-fcf-protection", "-DTHREADS=0"}, {"-O2", "-fno-plt", "-DTHREADS=1"},
	} {
		start(exec.Command(compile(fmt.Sprintf("ours%d", i), append(flags, linked...)...)))
	}
	start(exec.Command(compile("loads", "-O2", "-DTHREADS=2"), lib))

	// The library's file was deleted, or is another one by now.
	for _, how := range []string{"deleted", "replaced"} {
		own := copyTo(t, built, filepath.Join(dir, how, "libexpat.so.1"))
		cmd := exec.Command(filepath.Join(dir, "ours1"))
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Dir(own))
		start(cmd)
		require.NoError(t, os.Remove(own))
		if how == "replaced" {
			copyTo(t, "/lib/x86_64-linux-gnu/libexpat.so.1", own)
		}
	}

	// A chroot, and other namespaces in which the path means something else.
	jail := filepath.Join(dir, "jail")
	copyTo(t, filepath.Join(dir, "ours1"), filepath.Join(jail, "program"))
	copyTo(t, built, filepath.Join(jail, "lib/x86_64-linux-gnu/libexpat.so.1"))
	copyTo(t, "/lib/x86_64-linux-gnu/libc.so.6", filepath.Join(jail, "lib/x86_64-linux-gnu/libc.so.6"))
	copyTo(t, "/lib64/ld-linux-x86-64.so.2", filepath.Join(jail, "lib64/ld-linux-x86-64.so.2"))
	cmd := exec.Command("/program")
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: jail}
	start(cmd)
	start(exec.Command("unshare", "-m", "sh", "-c",
		"mount -t tmpfs none /mnt && cp "+lib+" /mnt/ && LD_LIBRARY_PATH=/mnt exec "+filepath.Join(dir, "ours2")))

	// Programs of others: users of the library, and some that load it for no
	// reason.
	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	config := filepath.Join(dir, "bus.conf")
	require.NoError(t, os.WriteFile(config, []byte(`<busconfig><type>session</type><listen>unix:dir=`+dir+
		`</listen><policy context="default"><allow send_destination="*"/><allow own="*"/></policy></busconfig>`), 0o600))
	others := 0
	for _, argv := range [][]string{
		{"/usr/bin/python3", "-c", "import time, xml.parsers.expat as e\nwhile True:\n p = e.ParserCreate(); p.Parse('<a><b/></a>', True); time.sleep(.01)"},
		{"dbus-daemon", "--nofork", "--nosyslog", "--config-file=" + config},
		{"sleep", "1000"}, {"tail", "-f", "/dev/null"}, {"cat", fifo}, {"bash", "-c", "read <" + fifo}, {"perl", "-e", "sleep 1000"},
		{"awk", "1", fifo}, {"sed", "p", fifo},
	} {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = environment
		if others > 1 {
			cmd.Env = append(cmd.Env, "LD_PRELOAD="+lib)
		}
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		others++
	}
	all := len(ours) + others
	require.GreaterOrEqual(t, all, 20)

	root := t.TempDir()
	installEntity(t, root, entities[0])
	status := func() (running, patched int) {
		var st []struct{ Running, Patched int }
		require.NoError(t, json.Unmarshal([]byte(must(t, "--root", root, "status", "--json", "HP001")), &st))
		require.Len(t, st, 1)
		return st[0].Running, st[0].Patched
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		running, _ := status()
		if running == all {
			break
		}
		require.True(t, time.Now().Before(deadline), "%d of %d programs run:\n%s", running, all, must(t, "--root", root, "status", "--json", "HP001"))
	}
	for range 3 {
		before := map[*live.Process]string{}
		for _, l := range ours {
			before[l] = l.Ask("error")
			require.NotEqual(t, "41", before[l])
		}
		began := time.Now()
		must(t, "--root", root, "apply", "HP001")
		t.Logf("%d processes in %v", all, time.Since(began))
		running, patched := status()
		require.Equal(t, all, running)
		require.Equal(t, all, patched)
		for _, l := range ours {
			require.Equal(t, "41", l.Ask("error"), "XML_ERROR_INVALID_ARGUMENT")
		}
		must(t, "--root", root, "remove", "HP001")
		running, patched = status()
		require.Equal(t, all, running, "all programs are alive")
		require.Zero(t, patched)
		for _, l := range ours {
			require.Equal(t, before[l], l.Ask("error"))
			require.Equal(t, "0", l.Ask("wrong"))
		}
	}
}
