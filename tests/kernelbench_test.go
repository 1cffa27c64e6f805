package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/kernelrpm"
	"github.com/openeuler/syscare/tests/vm"
)

// BenchmarkKernelBuild reports what a patch of one file of the kernel costs, from the
// command to the packages, as a multiple of compiling that file once, and of preparing the
// kernel's sources, in the same run: the first patch of the kernel, and another one. The
// figures are medians.
func BenchmarkKernelBuild(b *testing.B) {
	packages, err := kernelrpm.Make(b.Context(), kernelrpm.Stable, os.Stderr)
	require.NoError(b, err)
	dir := b.TempDir()
	patch := filepath.Join(dir, "fix.patch")
	require.NoError(b, packages.Patch(b.Context(), patch, nil, kernelFixes[0].edits))
	took := map[string][]time.Duration{}
	build := func(what string) (log string) {
		began := time.Now()
		must(b, "build", "--patch_name", "HP001", "--source", packages.SourceRPM, "--debuginfo", packages.DebuginfoRPM, "--workdir", dir, "--output", dir, "--patch", patch, "--skip-cleanup")
		took[what] = append(took[what], time.Since(began))
		logs, err := filepath.Glob(filepath.Join(dir, "syscare-build.*/build.log"))
		require.NoError(b, err)
		require.Len(b, logs, 1)
		text, err := os.ReadFile(logs[0])
		require.NoError(b, err)
		require.NoError(b, os.RemoveAll(filepath.Dir(logs[0])))
		return string(text)
	}
	for b.Loop() {
		require.NoError(b, os.RemoveAll(filepath.Join(bin, "cache")))
		build("cold")
		log := build("warm")
		// The file alone, as the patch build compiles it.
		m := regexp.MustCompile(`(?m)^\+ cd (\S+) && sh -c (set -e; .*original\.o)$`).FindStringSubmatch(log)
		require.NotNil(b, m)
		began := time.Now()
		tool(b, "sh", "-c", "mkdir -p $(dirname "+objectOf(m[2])+"); cd "+m[1]+" && "+m[2])
		took["file"] = append(took["file"], time.Since(began))
		// The sources alone: unpacked, configured and prepared by the kernel's own build.
		began = time.Now()
		tool(b, "sh", "-e", "-c", `dir=$1; mkdir $dir; cd $dir; rpm2cpio "$2" | cpio -idm --quiet; tar -xf linux-source-6.1.tar.xz; mkdir out; cp config-* out/.config
			make -C linux-source-6.1 O=$dir/out CC=gcc-12 KERNELRELEASE=`+packages.Release+` olddefconfig >/dev/null
			make -C linux-source-6.1 O=$dir/out CC=gcc-12 KERNELRELEASE=`+packages.Release+` -j2 modules_prepare >/dev/null`, "sh", filepath.Join(dir, "prepared"), packages.SourceRPM)
		took["prepare"] = append(took["prepare"], time.Since(began))
		require.NoError(b, os.RemoveAll(filepath.Join(dir, "prepared")))
	}
	median := func(what string) float64 {
		slices.Sort(took[what])
		return took[what][len(took[what])/2].Seconds()
	}
	for what := range took {
		b.ReportMetric(median(what), what+"-s/op")
	}
	b.ReportMetric(median("cold")/median("prepare"), "cold/prepare")
	b.ReportMetric(median("warm")/median("file"), "warm/file")
}

// objectOf is the last word of a command.
func objectOf(command string) string {
	words := strings.Fields(command)
	return words[len(words)-1]
}

// BenchmarkKernelTransition reports how long a patch takes into the kernel of a machine, on
// an emulated processor, and out of it.
func BenchmarkKernelTransition(b *testing.B) {
	packages, err := kernelrpm.Make(b.Context(), kernelrpm.Stable, os.Stderr)
	require.NoError(b, err)
	v := vm.New(b)
	tool(b, "make", "-C", "..", "install", "DESTDIR="+v.Root)
	rpm, err := buildKernelPatch(b, packages, b.TempDir(), kernelFixes[0])
	require.NoError(b, err)
	v.Boot()
	putFile(v, "/root/patch.rpm", rpm)
	v.Run("rpm -U --nodeps /root/patch.rpm")
	took := map[string]float64{}
	for b.Loop() {
		for _, verb := range []string{"apply", "remove"} {
			out := v.Run("dmesg -C; date +%s%N; syscare " + verb + " HP-body; date +%s%N; dmesg")
			lines := strings.Split(out, "\n")
			began, err := strconv.ParseInt(lines[0], 10, 64)
			require.NoError(b, err)
			ended, err := strconv.ParseInt(lines[1], 10, 64)
			require.NoError(b, err)
			took[verb] += float64(ended-began) / 1e9
			times := regexp.MustCompile(`\[ *([\d.]+)\] livepatch: .*(?:starting|complete)`).FindAllStringSubmatch(out, -1)
			require.Len(b, times, 2)
			first, err := strconv.ParseFloat(times[0][1], 64)
			require.NoError(b, err)
			last, err := strconv.ParseFloat(times[1][1], 64)
			require.NoError(b, err)
			took[verb+"-transition"] += last - first
		}
	}
	for what, seconds := range took {
		b.ReportMetric(seconds/float64(b.N), what+"-s/op")
	}
}
