package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A build takes less than 512 MB of memory for a program with more than 200 MB of debug
// information. (The compilers that it starts take what they take.)
func TestMemoryOfABuild(t *testing.T) {
	const copies, types = 40, 60000
	var text strings.Builder
	for i := range types {
		fmt.Fprintf(&text, "struct record_%d { int first_%d, *second_%d; struct record_%d *next; long table_%d[%d]; };\n", i, i, i, max(i-1, 0), i, i+1)
	}
	text.WriteString("int large(void) { return 1; }\n")
	k := kind{
		files: map[string]string{"large.c": text.String()},
		build: fmt.Sprintf("gcc -O2 -g -c main.c answer.c; gcc -g -fno-eliminate-unused-debug-types -c large.c\n"+
			"for i in $(seq %d); do objcopy --redefine-sym large=large$i large.o large$i.o; done\ngcc -o kind *.o", copies),
		preamble: "%define _find_debuginfo_dwz_opts %{nil}",
	}
	p := k.pack(t)
	unpacked := t.TempDir()
	tool(t, "sh", "-c", "cd "+unpacked+" && rpm2cpio "+p.debuginfo[0]+" | cpio -idm --no-absolute-filenames --quiet")
	var size int64
	require.NoError(t, filepath.WalkDir(unpacked, func(path string, d os.DirEntry, err error) error {
		if info, _ := d.Info(); err == nil && info.Size() > size {
			size = info.Size()
		}
		return err
	}))
	require.Greater(t, size, int64(200<<20), "the debug information is not that large")

	cmd := command(t, "build", "--patch_name", "HP001", "--workdir", t.TempDir(), "--output", t.TempDir(),
		"--source", p.source, "--debuginfo", p.debuginfo[0], "--patch", p.patch)
	require.NoError(t, cmd.Start())
	peak := 0
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for running := true; running; {
		select {
		case err := <-ended:
			require.NoError(t, err)
			running = false
		case <-time.After(5 * time.Millisecond):
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			if m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status); m != nil {
				peak, _ = strconv.Atoi(string(m[1]))
			}
		}
	}
	t.Logf("%d MB for %d MB of debug information", peak>>10, size>>20)
	require.Positive(t, peak)
	require.Less(t, peak, 512<<10, "kB")
}
