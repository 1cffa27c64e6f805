package tests

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/redisrpm"
)

// kills is how many commands are killed at a random moment.
const kills = 200

// Whenever syscare is killed, the server keeps serving, and the next command
// finds the truth and goes on from there.
func TestKilledAtAnyMoment(t *testing.T) {
	packages := redisrpm.Require(t)
	fix := namedFix(t, "CVE-2025-32023")
	root := t.TempDir()
	install(t, root, packages.RPM, patchRPM(t, buildPatch(t, packages, fix.Name)))
	server := redisrpm.StartServer(t, root, "")
	stop := load(t, root, server.Socket(), "-c", "5")
	status := func() string { return must(t, "--root", root, "status", "HP001") }

	// How long a command takes here and now bounds the moment of the kill.
	began := time.Now()
	must(t, "--root", root, "apply", "HP001")
	must(t, "--root", root, "remove", "HP001")
	span := time.Since(began)/2 + time.Millisecond

	for i := range kills {
		verb := []string{"apply", "remove"}[i%2]
		cmd := command(t, "--root", root, verb, "HP001")
		require.NoError(t, cmd.Start())
		time.Sleep(time.Duration(rand.Int64N(int64(span))))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()

		switch now := status(); now {
		case "redis-7.0.15-1/HP001-1-1: ACTIVED\n":
			require.NoError(t, server.Holds(fix.Check, true), "kill %d of %s", i, verb)
		case "redis-7.0.15-1/HP001-1-1: NOT-APPLIED\n", "redis-7.0.15-1/HP001-1-1: DEACTIVED\n":
			require.NoError(t, server.Holds(fix.Check, false), "kill %d of %s", i, verb)
		default:
			require.Fail(t, "unexpected state", now)
		}
		must(t, "--root", root, verb, "HP001")
		require.NoError(t, server.Holds(fix.Check, verb == "apply"), "after kill %d the next %s is right", i, verb)
	}
	require.Positive(t, stop(), "the clients were served")
}
