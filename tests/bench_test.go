package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/redisrpm"
)

// BenchmarkBuild reports what building a patch costs, as a multiple of one plain
// build of the same source package in the same run: the first of the package, another
// fix, and one that needs a second build of the whole.
func BenchmarkBuild(b *testing.B) {
	packages := redisrpm.Require(b)
	whole := filepath.Join(b.TempDir(), "whole.patch")
	require.NoError(b, os.WriteFile(whole, []byte("--- /dev/null\n+++ b/src/added.c\n@@ -0,0 +1 @@\n+int added;\n"), 0o644))
	file, err := packages.PatchFile("CVE-2025-32023")
	require.NoError(b, err)
	took := map[string]time.Duration{}
	measure := func(what string, f func()) {
		began := time.Now()
		f()
		took[what] += time.Since(began)
	}
	for b.Loop() {
		require.NoError(b, os.RemoveAll(filepath.Join(bin, "cache")))
		measure("plain", func() {
			tool(b, "rpmbuild", "--define", "_topdir "+b.TempDir(), "--nodeps", "-rc", packages.SourceRPM)
		})
		measure("cold", func() { runBuild(b, packages, b.TempDir(), "CVE-2025-32023") })
		measure("warm", func() { runBuild(b, packages, b.TempDir(), "CVE-2025-49844") })
		measure("whole", func() {
			must(b, "build", "--patch_name", "HP001", "--source", packages.SourceRPM, "--debuginfo", packages.DebuginfoRPM,
				"--workdir", b.TempDir(), "--output", b.TempDir(), "--patch", file, whole)
		})
	}
	for what, d := range took {
		b.ReportMetric(d.Seconds()/float64(b.N), what+"-s/op")
		if what != "plain" {
			b.ReportMetric(d.Seconds()/took["plain"].Seconds(), what+"/plain")
		}
	}
}

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
