package corpus

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/user"
	"github.com/openeuler/syscare/tests/live"
)

func TestMain(m *testing.M) {
	user.RunGuardIfAsked()
	os.Exit(m.Run())
}

// Real fixes of real packages are what the table says: patched, and then in a
// process and out again, or refused for that reason. This looks at the packages
// that build fast; make corpus looks at all.
func TestFastPackages(t *testing.T) {
	for _, tool := range []string{"apt-get", "dpkg-source", "dpkg-buildflags", "cmake"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				require.NoError(t, err, "run `make setup`")
			}
			t.Skipf("needs %s of Debian", tool)
		}
	}
	programs, err := live.BuildPrograms("../..")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(programs) })
	var log bytes.Buffer
	for _, p := range Packages() {
		if !p.Fast {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			log.Reset()
			r, err := p.Record(context.Background(), filepath.Join(programs, "syscare-cc"), &log)
			if err != nil {
				t.Fatalf("%v\n%s", err, log.Bytes()[max(log.Len()-3000, 0):])
			}
			for _, f := range p.Fixes {
				row := r.Try(context.Background(), f, &log)
				t.Log(row.Line())
				assert.Empty(t, row.Wrong(), f.Patch)
			}
		})
	}
}

// The table names each fix once, and says why one is refused.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Packages() {
		require.False(t, seen[p.Name], p.Name)
		seen[p.Name] = true
		require.NotEmpty(t, p.Targets, p.Name)
		fixes := map[string]bool{}
		for _, f := range p.Fixes {
			require.False(t, fixes[f.Patch], f.Patch)
			fixes[f.Patch] = true
			require.False(t, f.Idle && f.Refused != "", f.Patch)
			require.False(t, f.Better != "" && f.Refused == "", f.Patch)
		}
	}
}
