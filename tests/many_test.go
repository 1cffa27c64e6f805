package tests

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/live"
)

// herd starts n processes and returns a function that counts what they say.
func (m *machine) herd(n int) func() string {
	l := live.Start(m.t, exec.Command(m.program, strconv.Itoa(n)))
	return func() string { return strings.TrimSpace(l.Ask("count")) }
}

// running lists the processes that a patch concerns.
func (m *machine) running(name string) (pids []int, patched int) {
	var status []struct {
		Patched   int
		Processes []struct{ PID int }
	}
	require.NoError(m.t, json.Unmarshal([]byte(m.must("status", "--json", name)), &status))
	for _, p := range status[0].Processes {
		pids = append(pids, p.PID)
	}
	return pids, status[0].Patched
}

// Two patches on 200 processes, in and out in any order; and when one process
// refuses, none is patched, or all the others with --best-effort.
func TestManyProcesses(t *testing.T) {
	m := newMachine(t, "herd.c")
	m.patch("A", "-DFIRST=2")
	m.patch("B", "-DSECOND=20")
	count := m.herd(200)
	require.Equal(t, "11:200", count())
	for _, step := range []struct{ verb, patch, says string }{
		{"apply", "A", "12:200"}, {"apply", "B", "22:200"}, {"remove", "A", "21:200"}, {"apply", "A", "22:200"},
		{"deactive", "B", "12:200"}, {"active", "B", "22:200"}, {"remove", "B", "12:200"}, {"remove", "A", "11:200"},
	} {
		m.must(step.verb, step.patch)
		require.Equal(t, step.says, count(), "%s %s", step.verb, step.patch)
	}

	pids, _ := m.running("A")
	odd := pids[len(pids)/2]
	spoil(t, odd, m.program, "second", 10)
	r := syscare(t, "--root", m.root, "apply", "B")
	require.Equal(t, 5, r.code, r.stderr)
	require.Contains(t, r.stderr, strconv.Itoa(odd), "the process is named")
	require.Equal(t, "11:199 12:1", count(), "all or nothing")
	_, patched := m.running("B")
	require.Zero(t, patched)
	r = syscare(t, "--root", m.root, "apply", "--best-effort", "B")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stderr, strconv.Itoa(odd))
	_, patched = m.running("B")
	require.Equal(t, 200, patched, "the counting process and all others but the odd one")
	require.Equal(t, "12:1 21:199", count())
	m.must("remove", "B")
}

// spoil makes a function return one more in one process.
func spoil(t *testing.T, pid int, program, function string, from byte) {
	f, err := elf.Open(program)
	require.NoError(t, err)
	defer f.Close()
	symbols, err := f.Symbols()
	require.NoError(t, err)
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	require.NoError(t, err)
	before := "" // the line of the program's first mapping
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, " 00000000 ") && strings.HasSuffix(line, program+"\n") {
			before = line
			break
		}
	}
	base, err := strconv.ParseInt(strings.Split(before, "-")[0], 16, 64)
	require.NoError(t, err)
	for _, s := range symbols {
		if s.Name == function {
			mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
			require.NoError(t, err)
			defer mem.Close()
			code := make([]byte, s.Size)
			_, err = mem.ReadAt(code, base+int64(s.Value))
			require.NoError(t, err)
			at := bytes.IndexByte(code, from)
			require.GreaterOrEqual(t, at, 0)
			_, err = mem.WriteAt([]byte{from + 1}, base+int64(s.Value)+int64(at))
			require.NoError(t, err)
			return
		}
	}
	require.Fail(t, "no function "+function)
}

// 4,000 processes are patched in one call.
func TestThousandsOfProcesses(t *testing.T) {
	m := newMachine(t, "herd.c")
	m.patch("A", "-DFIRST=2")
	count := m.herd(4000)
	require.Equal(t, "11:4000", count())
	m.must("apply", "A")
	require.Equal(t, "12:4000", count())
	_, patched := m.running("A")
	require.Equal(t, 4001, patched)
	m.must("remove", "A")
	require.Equal(t, "11:4000", count())
}
