package tests

import (
	"testing"
	"time"

	"github.com/openeuler/syscare/tests/redisrpm"
)

// BenchmarkBuild reports what building a patch costs, as a multiple of one
// plain build of the same source package in the same run.
func BenchmarkBuild(b *testing.B) {
	packages := redisrpm.Require(b)
	var plain, patch time.Duration
	for b.Loop() {
		top := b.TempDir()
		began := time.Now()
		tool(b, "rpmbuild", "--define", "_topdir "+top, "--nodeps", "-rc", packages.SourceRPM)
		plain += time.Since(began)

		began = time.Now()
		runBuild(b, packages, b.TempDir(), "CVE-2025-32023")
		patch += time.Since(began)
	}
	b.ReportMetric(plain.Seconds()/float64(b.N), "plain-s/op")
	b.ReportMetric(patch.Seconds()/float64(b.N), "patch-s/op")
	b.ReportMetric(patch.Seconds()/plain.Seconds(), "patch/plain")
}
