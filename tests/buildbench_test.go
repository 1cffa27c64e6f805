package tests

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/debian"
	"github.com/openeuler/syscare/tests/redisrpm"
)

// benched is a package of Debian of which a source RPM is made, without two of
// Debian's fixes.
type benched struct {
	name     string
	needs    []string // packages of Debian
	build    string
	programs []string // paths in the built tree, to be installed
	fixes    [2]string
	added    string // a new source file of the fix that builds the whole again
}

var benchedPackages = []benched{
	{
		name: "nginx", needs: []string{"libpcre2-dev", "libssl-dev", "zlib1g-dev"},
		build: `./configure --with-cc-opt="%{optflags}" --with-threads --with-http_ssl_module --with-http_v2_module --with-http_mp4_module ` +
			`--with-http_dav_module --with-stream --with-stream_ssl_module --with-mail --with-mail_ssl_module && make %{?_smp_mflags}`,
		programs: []string{"objs/nginx"}, fixes: [2]string{"CVE-2024-7347-1.patch", "CVE-2025-53859.patch"}, added: "src/core/added.c",
	},
	{
		name: "haproxy", build: `make %{?_smp_mflags} TARGET=linux-glibc DEBUG_CFLAGS="%{optflags} -g" V=1`, programs: []string{"haproxy"},
		fixes: [2]string{"0001-BUG-MEDIUM-sample-fix-risk-of-overflow-when-replacin.patch", "0001-BUG-CRITICAL-mjson-fix-possible-DoS-when-parsing-num.patch"}, added: "src/added.c",
	},
	{
		name: "libde265", needs: []string{"cmake"},
		build:    `cmake -S . -B b -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS="%{optflags} -g" -DCMAKE_CXX_FLAGS="%{optflags} -g" -DENABLE_SDL=OFF -DENABLE_DECODER=OFF -DENABLE_ENCODER=OFF && make -C b %{?_smp_mflags}`,
		programs: []string{"b/libde265/libde265.so"}, fixes: [2]string{"CVE-2023-27102.patch", "CVE-2023-47471.patch"}, added: "libde265/added.cc",
	},
}

const benchedSpec = `%%global _unique_debug_names 1
Name: %s
Version: 1
Release: 1
Summary: A package of Debian
License: any
Source0: tree.tar.gz
%%description
A package of Debian.
%%debug_package
%%prep
%%setup -q -n tree
%%build
%s
%%install
install -D -t %%{buildroot}/usr/bin %s
%%files
/usr/bin/*
`

// buildable is what a patch is built from, and two fixes.
type buildable struct {
	source, debuginfo string
	fixes             [2]string
	added             string
}

// pack makes the packages, or takes them from the cache.
func (p benched) pack(b *testing.B) buildable {
	b.Helper()
	for _, name := range p.needs {
		if out, err := exec.Command("dpkg-query", "-W", "-f", "${Status}", name).Output(); err != nil || string(out) != "install ok installed" {
			tool(b, "apt-get", "-q", "install", "-y", "--no-install-recommends", name)
		}
	}
	cache, err := debian.Cache()
	require.NoError(b, err)
	dir := filepath.Join(cache, fmt.Sprintf("benched-%s-%.6x", p.name, sha256.Sum256(fmt.Append(nil, p, benchedSpec))))
	require.NoError(b, debian.Entry(dir, func(dir string) error {
		source, err := debian.Unpack(b.Context(), dir, os.Stderr, p.name, "")
		if err != nil {
			return err
		}
		for _, patch := range source.Series {
			if name := filepath.Base(patch); name != p.fixes[0] && name != p.fixes[1] {
				// Not all of them fit without the two; they are of no matter here.
				_ = exec.Command("patch", "-d", source.Tree, "-p1", "-s", "-N", "-f", "-r", "-", "-i", patch).Run()
			}
		}
		for i, name := range p.fixes {
			if err := os.Rename(filepath.Join(source.Tree, "debian/patches", name), filepath.Join(dir, fmt.Sprintf("fix%d.patch", i))); err != nil {
				return err
			}
		}
		top := filepath.Join(dir, "top")
		if err := os.MkdirAll(filepath.Join(top, "SOURCES"), 0o755); err != nil {
			return err
		}
		spec := filepath.Join(top, "benched.spec")
		if err := os.WriteFile(spec, fmt.Appendf(nil, benchedSpec, p.name, p.build, strings.Join(p.programs, " ")), 0o644); err != nil {
			return err
		}
		if err := debian.Run(b.Context(), dir, os.Stderr, "tar", "-czf", filepath.Join(top, "SOURCES/tree.tar.gz"), "tree"); err != nil {
			return err
		}
		return debian.Run(b.Context(), dir, os.Stderr, "rpmbuild", "--define", "_topdir "+top, "--nodeps", "-ba", spec)
	}))
	return buildable{
		source:    filepath.Join(dir, "top/SRPMS", p.name+"-1-1.src.rpm"),
		debuginfo: filepath.Join(dir, "top/RPMS/x86_64", p.name+"-debuginfo-1-1.x86_64.rpm"),
		fixes:     [2]string{filepath.Join(dir, "fix0.patch"), filepath.Join(dir, "fix1.patch")}, added: p.added,
	}
}

// BenchmarkBuild reports what building a patch costs, as a multiple of one plain build
// of the same source package in the same run: the first of the package, another fix, and
// one that needs a second build of the whole. The figures are medians.
func BenchmarkBuild(b *testing.B) {
	b.Run("redis", func(b *testing.B) {
		packages := redisrpm.Require(b)
		p := buildable{source: packages.SourceRPM, debuginfo: packages.DebuginfoRPM, added: "src/added.c"}
		for i, name := range []string{"CVE-2025-32023", "CVE-2025-49844"} {
			var err error
			p.fixes[i], err = packages.PatchFile(name)
			require.NoError(b, err)
		}
		p.measure(b)
	})
	for _, p := range benchedPackages {
		b.Run(p.name, func(b *testing.B) { p.pack(b).measure(b) })
	}
}

func (p buildable) measure(b *testing.B) {
	whole := filepath.Join(b.TempDir(), "whole.patch")
	require.NoError(b, os.WriteFile(whole, []byte("--- /dev/null\n+++ b/"+p.added+"\n@@ -0,0 +1 @@\n+int added;\n"), 0o644))
	took := map[string][]time.Duration{}
	measure := func(what string, f func()) {
		began := time.Now()
		f()
		took[what] = append(took[what], time.Since(began))
	}
	build := func(patches ...string) {
		must(b, append([]string{"build", "--patch_name", "HP001", "--source", p.source, "--debuginfo", p.debuginfo,
			"--workdir", b.TempDir(), "--output", b.TempDir(), "--patch"}, patches...)...)
	}
	for b.Loop() {
		require.NoError(b, os.RemoveAll(filepath.Join(bin, "cache")))
		measure("plain", func() {
			tool(b, "rpmbuild", "--define", "_topdir "+b.TempDir(), "--nodeps", "-rc", p.source)
		})
		measure("cold", func() { build(p.fixes[0]) })
		measure("warm", func() { build(p.fixes[1]) })
		measure("whole", func() { build(p.fixes[0], whole) })
	}
	median := func(what string) float64 {
		slices.Sort(took[what])
		return took[what][len(took[what])/2].Seconds()
	}
	for what := range took {
		b.ReportMetric(median(what), what+"-s/op")
		if what != "plain" {
			b.ReportMetric(median(what)/median("plain"), what+"/plain")
		}
	}
}
