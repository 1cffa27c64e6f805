package redisrpm

import (
	"os"
	"strings"
	"testing"
)

// Require returns the packages to a test. On a machine where they cannot be
// made for want of tools the test is skipped; with CI set in the environment
// that is a failure, lest tests vanish unseen.
func Require(t testing.TB) *Packages {
	t.Helper()
	if missing := Tools(); len(missing) > 0 && os.Getenv("CI") == "" {
		t.Skipf("needs %s: run `make setup`", strings.Join(missing, ", "))
	}
	packages, err := Make(t.Context(), testLog{t})
	if err != nil {
		t.Fatalf("make the redis packages: %v", err)
	}
	return packages
}

// testLog shows the progress of a build in the log of a test.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
