package diff

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
)

// bigUnit is the source of a unit with n functions that have structs, strings,
// jump tables and static data of their own; the fix changes one.
func bigUnit(n int) string {
	var s strings.Builder
	s.WriteString("extern int printf(const char *, ...);\nextern void *calloc(unsigned long, unsigned long);\n")
	for i := range n {
		fmt.Fprintf(&s, `
struct item%[1]d { int a, b[%[2]d]; struct item%[1]d *next; };
static int count%[1]d, limit%[1]d = %[1]d;
__attribute__((noinline)) int work%[1]d(struct item%[1]d *p, int x)
{
	static int seen;
	seen += x + limit%[1]d;
	switch (x) {
	case 1: return p->a + seen;
	case 2: return p->b[1] - count%[1]d++;
	case 3: printf("item %[1]d has %%d\n", p->a); break;
	case 4: p->next = calloc(1, sizeof *p); break;
	case 5: p->b[0] = seen * %[3]s; break;
	case 6: for (int k = 0; k < %[2]d; k++) p->b[k] ^= k * x; break;
	}
	return p->next ? work%[1]d(p->next, x - 1) : seen;
}
`, i, i%7+3, map[bool]string{true: "FACTOR", false: "3"}[i == n/2])
	}
	return s.String()
}

// BenchmarkBuild reports what a comparison costs for each byte of the object,
// and how large the patch is beside the function that changed.
func BenchmarkBuild(b *testing.B) {
	for _, functions := range []int{10, 100, 1000, 3000, 10000, 36000} {
		if functions > 3000 && os.Getenv("SYSCARE_BENCH_LARGE") == "" {
			continue // compiling takes minutes
		}
		b.Run(fmt.Sprintf("%d functions", functions), func(b *testing.B) {
			dir := b.TempDir()
			source := filepath.Join(dir, "big.c")
			require.NoError(b, os.WriteFile(source, []byte(bigUnit(functions)+"int main(void) { return work0(0, 0); }\n"), 0o600))
			flags := []string{"-O0", "-g", "-c", source, "-DFACTOR=2"}
			sections := append(flags, "-ffunction-sections", "-fdata-sections", "-fno-common")
			recorded := compile(b, dir, "recorded.o", flags...)
			original, patched := compile(b, dir, "original.o", sections...), compile(b, dir, "patched.o", append(sections, "-UFACTOR", "-DFACTOR=5")...)
			target := compile(b, dir, "program", recorded, "-Wl,--build-id")
			info, err := os.Stat(original)
			require.NoError(b, err)
			var result *Result
			b.ReportAllocs()
			for b.Loop() {
				result = once(b, target, recorded, original, patched)
			}
			require.Equal(b, []string{fmt.Sprintf("work%d", functions/2)}, result.Functions)
			size := float64(info.Size())
			b.ReportMetric(size/1024, "object-KB")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/size, "ns/byte")
			b.ReportMetric(float64(len(result.Object))/1024, "patch-KB")
		})
	}
}

// BenchmarkLayouts reports what comparing the types of a unit costs for each of
// them.
func BenchmarkLayouts(b *testing.B) {
	for _, types := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprintf("%d types", types), func(b *testing.B) {
			dir := b.TempDir()
			var text strings.Builder
			text.WriteString("typedef unsigned long word;\nstruct inner { word w[3]; };\n")
			for i := 1; i <= types; i++ {
				fmt.Fprintf(&text, `struct type%[1]d {
	struct inner inner; struct type%[1]d *next; union { word w; char bytes[%[2]d]; }; unsigned flag : 1, other : 7;
	struct later%[1]d *later; enum { FIRST%[1]d, SECOND%[1]d } state; int (*call)(struct type%[1]d *, word);
};
struct type%[1]d *object%[1]d;
`, i, i%9+1)
			}
			source := filepath.Join(dir, "types.c")
			require.NoError(b, os.WriteFile(source, []byte(text.String()), 0o600))
			f, err := object.Open(compile(b, dir, "types.o", "-g", "-c", source))
			require.NoError(b, err)
			defer f.Close()
			p := &pair{original: &unit{file: f}, patched: &unit{file: f}}
			b.ReportAllocs()
			for b.Loop() {
				_, refusals := p.guardLayouts(nil)
				require.Empty(b, refusals)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(types), "ns/type")
		})
	}
}

// once does what a build does for one unit, from the files.
func once(b *testing.B, target, recorded, original, patched string) *Result {
	var files []*object.File
	read := func(path string) *object.File {
		f, err := object.Open(path)
		require.NoError(b, err)
		files = append(files, f)
		return f
	}
	result, err := Build(read(target), []Unit{{Source: "big.c", Recorded: read(recorded), Original: read(original), Patched: read(patched)}},
		Options{UUID: testUUID, Entity: "program"})
	require.NoError(b, err)
	for _, f := range files {
		require.NoError(b, f.Close())
	}
	return result
}
