package user

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/patchobject"
)

// runWorker applies and removes a patch until it is killed.
func runWorker(spec string) {
	var pid int
	var path string
	if _, err := fmt.Sscanf(spec, "%d %s", &pid, &path); err != nil {
		os.Exit(2)
	}
	obj, err := patchobject.Load(path)
	if err != nil {
		os.Exit(3)
	}
	p, err := Open(pid)
	if err != nil {
		os.Exit(4)
	}
	ctx := context.Background()
	for {
		_, _ = Apply(ctx, p, obj, Options{})
		_, _ = Remove(ctx, p, obj.Info.UUID, Options{})
	}
}

// TestKilledAtAnyMoment kills a worker in the middle of its transactions. The
// guard alone must put the target right, whatever the moment. Every other time
// the patch is not in memory from an earlier round, so that mapping is hit, too.
func TestKilledAtAnyMoment(t *testing.T) {
	ctx := context.Background()
	program := pie.program(t, "target.c")
	var r *running
	var text []byte
	deadline := time.Now().Add(60 * time.Second)
	states := map[string]int{}
	for i := range 220 {
		require.True(t, time.Now().Before(deadline), "too slow: only %d moments", i)
		if i%20 == 0 {
			r = start(t, program, "busy", "3")
			text = r.text()
		}
		raw := pie.patchBytes(t, program, "patch.c", everything...)
		path := filepath.Join(t.TempDir(), strconv.Itoa(i))
		require.NoError(t, os.WriteFile(path, raw, 0o600))
		obj, err := patchobject.Parse(raw)
		require.NoError(t, err)
		worker := exec.Command("/proc/self/exe")
		worker.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", workerVariable, r.PID, path))
		require.NoError(t, worker.Start())
		began := time.Now()
		for state := 0; state == 0 && time.Since(began) < time.Second; { // first sign of life
			if data, err := os.ReadFile("/proc/" + strconv.Itoa(worker.Process.Pid) + "/comm"); err == nil && len(data) > 0 {
				state = 1
			}
		}
		time.Sleep(2*time.Millisecond + rand.N(25*time.Millisecond))
		require.NoError(t, worker.Process.Kill())
		_ = worker.Wait()

		settled := func() bool {
			list, err := Applied(ctx, r.PID)
			require.NoError(t, err)
			for _, a := range list {
				if a.State.transitional() {
					states[a.State.String()]++
					return false
				}
			}
			return true
		}
		require.Eventually(t, settled, 5*time.Second, time.Millisecond, "the guard did not repair")
		require.NoError(t, Repair(ctx, r.Process))
		r.runsOn()
		list, err := Applied(ctx, r.PID)
		require.NoError(t, err)
		for _, a := range list {
			if a.UUID != obj.Info.UUID || a.State == Removed {
				continue
			}
			for _, f := range a.Functions {
				require.Equal(t, a.State == Active, f.Redirect)
			}
			_, err = Remove(ctx, r.Process, a.UUID, Options{})
			require.NoError(t, err)
		}
		r.pristine(text)
		r.runsOn()
	}
	t.Logf("transitional states seen after the kill: %v", states)
}
