package tests

import (
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/redisrpm"
)

// BenchmarkRedisPause reports for how long a redis-server with 8 threads stands
// still when CVE-2025-32023 is applied and removed: the medians, without
// clients and with 50.
func BenchmarkRedisPause(b *testing.B) {
	packages := redisrpm.Require(b)
	root := b.TempDir()
	install(b, root, packages.RPM, patchRPM(b, buildPatch(b, packages, "CVE-2025-32023")))
	for _, clients := range []string{"0", "50"} {
		b.Run(clients+" clients", func(b *testing.B) {
			server := redisrpm.StartServer(b, root, "", "--io-threads", "5")
			if clients != "0" {
				defer load(b, root, server.Socket(), "-c", clients, "-P", "8")()
			}
			var apply, remove []time.Duration
			for b.Loop() {
				apply = append(apply, pause(b, root, "apply"))
				remove = append(remove, pause(b, root, "remove"))
			}
			for unit, list := range map[string][]time.Duration{"µs-apply/op": apply, "µs-remove/op": remove} {
				slices.Sort(list)
				b.ReportMetric(float64(list[len(list)/2].Microseconds()), unit)
			}
		})
	}
}

var stopped = regexp.MustCompile(`8 threads, stopped for (\d+) µs`)

// pause moves HP001 and gives how long its one process stood still.
func pause(b *testing.B, root, verb string) time.Duration {
	out := must(b, "--root", root, "--verbose", verb, "HP001")
	match := stopped.FindAllStringSubmatch(out, -1)
	require.Len(b, match, 1, out)
	n, err := strconv.Atoi(match[0][1])
	require.NoError(b, err)
	return time.Duration(n) * time.Microsecond
}
