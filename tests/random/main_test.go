package random

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/openeuler/syscare/tests/live"
)

var (
	firstSeed = flag.Uint64("seed", 1, "seed of the first random program")
	programs  = flag.Int("programs", 100, "number of random programs")
	keep      = flag.String("keep", "", "keep the files of each program below this `directory`")
)

// syscare is the program under test.
var syscare string

func TestMain(m *testing.M) {
	flag.Parse()
	status, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := live.BuildPrograms("../..")
	if dir != "" {
		defer os.RemoveAll(dir)
	}
	if err != nil {
		return 0, err
	}
	syscare = filepath.Join(dir, "syscare")
	return m.Run(), nil
}
