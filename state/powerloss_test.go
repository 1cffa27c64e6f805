package state

import (
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// writesForPowerLoss says to the test binary that it is to write the store, and where.
const writesForPowerLoss = "SYSCARE_TEST_WRITES"

const lossWrites = 3

func TestMain(m *testing.M) {
	if root := os.Getenv(writesForPowerLoss); root != "" {
		writeForPowerLoss(root)
	}
	os.Exit(m.Run())
}

// writeForPowerLoss is the program that loses its power.
func writeForPowerLoss(root string) {
	for n := 1; n <= lossWrites; n++ {
		s := newStore()
		s.Patches[aUUID] = &record{Name: strings.Repeat("long", 1000), State: Actived, Order: n}
		if err := s.write(root); err != nil {
			panic(err)
		}
		_, _ = os.Stat(fmt.Sprintf("%s/written-%d", root, n)) // for the trace
	}
	os.Exit(0)
}

// disk is what a disk has of one directory, and what only memory has.
type disk struct {
	names   map[string]*content // durable
	pending []func(map[string]*content)
	now     map[string]*content // as programs see it
	open    map[string]*content // by descriptor; nil is the directory
}

type content struct{ durable, now []byte }

func (d *disk) change(f func(map[string]*content)) {
	f(d.now)
	d.pending = append(d.pending, f)
}

// crashes calls f with each state that the disk can have after a loss of power now:
// changes of the directory come in order or not at all, what was not synced of a
// file is there, in part or not.
func (d *disk) crashes(f func(files map[string][]byte)) {
	for n := range len(d.pending) + 1 {
		names := maps.Clone(d.names)
		for _, change := range d.pending[:n] {
			change(names)
		}
		for _, kept := range []func(c *content) []byte{
			func(c *content) []byte { return c.durable },
			func(c *content) []byte { return c.now },
			func(c *content) []byte {
				return append(c.durable[:len(c.durable):len(c.durable)], c.now[len(c.durable):][:(len(c.now)-len(c.durable))/2]...)
			},
		} {
			files := map[string][]byte{}
			for name, c := range names {
				files[name] = kept(c)
			}
			f(files)
		}
	}
}

var (
	traced  = regexp.MustCompile(`^\d+ +(\w+)\((.*)\) += (-?\d+)`)
	quoted  = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"`)
	aNumber = regexp.MustCompile(`^\d+`)
)

// step applies one line of a trace to the disk. It returns the number of the write
// that has returned, 0 if the line is of something else.
func (d *disk) step(t *testing.T, dir, line string) (written int) {
	call := traced.FindStringSubmatch(line)
	if call == nil || call[3] == "-1" && call[1] != "newfstatat" {
		return 0
	}
	name, args, result := call[1], call[2], call[3]
	var texts []string
	for _, q := range quoted.FindAllStringSubmatch(args, -1) {
		text, err := hex.DecodeString(strings.ReplaceAll(q[1], `\x`, ""))
		require.NoError(t, err)
		texts = append(texts, string(text))
	}
	inside := func(path string) (string, bool) { return filepath.Base(path), filepath.Dir(path) == dir }
	fd := aNumber.FindString(args)
	switch name {
	case "openat":
		if texts[0] == dir {
			d.open[result] = nil
		} else if file, ok := inside(texts[0]); ok && strings.Contains(args, "O_CREAT") {
			c := &content{}
			d.open[result] = c
			d.change(func(names map[string]*content) { names[file] = c })
		}
	case "write":
		if c := d.open[fd]; c != nil {
			c.now = append(c.now, texts[0]...)
		}
	case "fsync":
		c, ours := d.open[fd]
		switch {
		case ours && c == nil:
			d.names, d.pending = maps.Clone(d.now), nil
		case ours:
			c.durable = append([]byte(nil), c.now...)
		}
	case "close":
		delete(d.open, fd)
	case "renameat", "renameat2", "rename":
		from, a := inside(texts[0])
		to, b := inside(texts[1])
		require.Equal(t, a, b, line)
		if a {
			d.change(func(names map[string]*content) {
				names[to] = names[from]
				delete(names, from)
			})
		}
	case "unlinkat", "unlink":
		if file, ok := inside(texts[0]); ok {
			d.change(func(names map[string]*content) { delete(names, file) })
		}
	case "newfstatat":
		_, _ = fmt.Sscanf(filepath.Base(texts[0]), "written-%d", &written)
	case "ftruncate", "pwrite64", "writev", "fallocate", "linkat", "truncate":
		require.Fail(t, "this is not understood yet", line)
	}
	return written
}

var cut = regexp.MustCompile(`^(\d+) +(?:(.*) <unfinished \.\.\.>|<\.\.\. \w+ resumed>(.*))\n$`)

// whole puts the lines of a trace together that were cut because threads took turns.
func whole(trace string) (lines []string) {
	begun := map[string]string{}
	for line := range strings.Lines(trace) {
		part := cut.FindStringSubmatch(line)
		switch {
		case part == nil:
			lines = append(lines, line)
		case part[2] != "":
			begun[part[1]] = part[2]
		default:
			lines = append(lines, part[1]+" "+begun[part[1]]+part[3]+"\n")
		}
	}
	return lines
}

// A loss of power after any step of writing the store leaves the old or the new one:
// each state of the disk that the traced system calls allow is read.
func TestPowerLoss(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil && os.Getenv("CI") == "" {
		t.Skip("needs strace")
	}
	root := t.TempDir()
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", "-f", "-qq", "-xx", "-s", "1000000", "-o", trace,
		"-e", "trace=openat,write,fsync,close,rename,renameat,renameat2,unlink,unlinkat,newfstatat,ftruncate,pwrite64,writev,fallocate,linkat,truncate",
		os.Args[0])
	cmd.Env = append(os.Environ(), writesForPowerLoss+"="+root)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	lines, err := os.ReadFile(trace)
	require.NoError(t, err)

	d := &disk{names: map[string]*content{}, now: map[string]*content{}, open: map[string]*content{}}
	copied := t.TempDir()
	states, done, seen := 0, 0, map[int]bool{}
	for _, line := range whole(string(lines)) {
		before := len(d.pending)
		done = max(done, d.step(t, filepath.Join(root, storeDir), line))
		if len(d.pending) == before && !strings.Contains(line, "sync") && !strings.Contains(line, " write(") {
			continue
		}
		d.crashes(func(files map[string][]byte) {
			dir := filepath.Join(copied, fmt.Sprint(states), storeDir)
			states++
			require.NoError(t, os.MkdirAll(dir, 0o755))
			for name, data := range files {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
			}
			s, lost, err := readStore(strings.TrimSuffix(dir, storeDir))
			require.NoError(t, err)
			require.NoError(t, lost, "after %s", line)
			n := 0
			if rec := s.Patches[aUUID]; rec != nil {
				n = rec.Order
			}
			require.GreaterOrEqual(t, n, done, "what was written is lost after %s", line)
			seen[n] = true
		})
	}
	require.Equal(t, lossWrites, done)
	require.Len(t, seen, lossWrites+1, "the trace shows all of them")
	require.Greater(t, states, 50)
}
