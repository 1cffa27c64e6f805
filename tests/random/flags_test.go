package random

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
)

// flags are how a program and its objects are compiled and linked.
type flags struct {
	compile, link []string
}

// randomFlags picks from what distributions and their packages use.
func randomFlags(r *rand.Rand) flags {
	one := func(choices ...[]string) []string { return choices[r.IntN(len(choices))] }
	optimise := one([]string{"-O0"}, []string{"-O1"}, []string{"-O2"}, []string{"-O2"}, []string{"-O3"}, []string{"-Os"})
	f := flags{compile: append([]string{"-g"}, optimise...)}
	kinds := []struct {
		weight        int
		compile, link []string
	}{
		{5, []string{"-fPIE"}, []string{"-pie"}},
		{3, []string{"-fPIE"}, []string{"-pie", "-Wl,-z,now"}},
		{2, []string{"-fPIC"}, []string{"-pie"}},
		{4, []string{"-fno-pie"}, []string{"-no-pie"}},
		{1, []string{"-fno-pie"}, []string{"-no-pie", "-static"}},
		{1, []string{"-fPIE"}, []string{"-static-pie"}},
	}
	pick, kind := r.IntN(16), kinds[0]
	for _, kind = range kinds {
		if pick -= kind.weight; pick < 0 {
			break
		}
	}
	f.compile = append(f.compile, kind.compile...)
	f.link = append(f.link, kind.link...)
	f.compile = append(f.compile, one([]string{"-fcf-protection=full"}, []string{"-fcf-protection=none"})...)
	sometimes := func(chances int, add ...string) {
		if r.IntN(chances) == 0 {
			f.compile = append(f.compile, add...)
		}
	}
	sometimes(4, "-fno-plt")
	sometimes(3, "-fstack-protector-strong")
	sometimes(5, "-fvisibility=hidden")
	sometimes(5, "-fno-omit-frame-pointer")
	if optimise[0] != "-O0" {
		sometimes(3, "-D_FORTIFY_SOURCE=3")
	}
	for _, rare := range []string{
		"-fpatchable-function-entry=5", "-fno-asynchronous-unwind-tables", "-falign-functions=1", "-fstack-clash-protection",
		"-mtls-dialect=gnu2", "-fzero-call-used-regs=used-gpr", "-ftrivial-auto-var-init=zero",
		"-fexceptions", "-funroll-loops", "-fno-strict-aliasing", "-fno-inline", "-fmerge-all-constants", "-fno-toplevel-reorder",
		"-fno-jump-tables", "-pg", "-g3", "-gdwarf-4", "-gz",
	} {
		sometimes(10, rare)
	}
	if slices.Contains(f.compile, "-fcf-protection=none") {
		sometimes(6, "-mindirect-branch=thunk") // the two exclude each other
	}
	if haveAVX2() {
		sometimes(6, "-march=x86-64-v3")
	}
	if r.IntN(8) == 0 {
		f.compile = append(f.compile, "-ffunction-sections", "-fdata-sections")
		f.link = append(f.link, "-Wl,--gc-sections")
	}
	for _, rare := range []string{"-Wl,-z,noseparate-code", "-Wl,-z,norelro", "-Wl,-Bsymbolic-functions"} {
		if r.IntN(10) == 0 {
			f.link = append(f.link, rare)
		}
	}
	return f
}

// haveAVX2 reports whether this processor runs what is compiled for x86-64-v3.
func haveAVX2() bool {
	info, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && strings.Contains(string(info), " avx2 ")
}
