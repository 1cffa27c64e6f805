package random

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// csmithOptions keep programs small and their output short. Packed structs are
// left out: a pointer to a member of one is undefined.
var csmithOptions = []string{
	"--concise", "--no-argc", "--no-packed-struct", "--max-funcs", "4", "--max-block-depth", "3", "--max-block-size", "3",
	"--max-array-dim", "2", "--max-array-len-per-dim", "5", "--max-expr-complexity", "6", "--max-struct-fields", "5",
}

// A csmith program in these bounds has something to change and is compiled quickly.
const smallest, biggest = 4_000, 12_000

var (
	placeholder    = regexp.MustCompile(`\b(RANDOM|INITIAL)\((\d+)\)`)
	globalVariable = regexp.MustCompile(`(?m)^static ([^=(;\n]*\bg_\d+\b)`)
	functionLine   = regexp.MustCompile(`(?m)^static ([^=;\n]*?)\b(func_\d+)(\([^\n]*)$`)
)

// newProgram makes the source of a program, with placeholders for constants in
// the part that is ours.
func newProgram(t *testing.T, r *rand.Rand, dir string) string {
	t.Helper()
	header, err := os.ReadFile("testdata/features.h")
	require.NoError(t, err)
	features, err := os.ReadFile("testdata/features.c")
	require.NoError(t, err)
	return string(header) + unitMark + varyLinkage(r, csmith(t, r, dir)) + unitMark + string(features)
}

// unitMark stands between the parts of a program: what both units share,
// csmith's functions, and ours.
const unitMark = "\n// ----\n"

var (
	shared       = strings.NewReplacer("static __thread unsigned feature_thread", "__thread unsigned feature_thread", "static const char *feature_word", "const char *feature_word", "static unsigned feature_plus", "unsigned feature_plus")
	globalScalar = regexp.MustCompile(`(?m)^u?int(?:8|16|32|64)_t g_\d+\b`)
	sharedHas    = regexp.MustCompile(`(?m)^((?:__thread )?unsigned feature_\w+) = \d+;$`)
)

// units are the two translation units of a program.
func units(text string) []string {
	parts := strings.Split(shared.Replace(text), unitMark)
	var externs strings.Builder
	externs.WriteString("#include <stdint.h>\n")
	for _, declaration := range globalScalar.FindAllString(parts[1], -1) {
		externs.WriteString("extern " + declaration + ";\n")
	}
	return []string{sharedHas.ReplaceAllString(parts[0], "extern $1;") + parts[1], parts[0] + externs.String() + parts[2]}
}

// csmith makes a small program whose main function is called csmith_main.
func csmith(t *testing.T, r *rand.Rand, dir string) string {
	t.Helper()
	for range 50 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, "csmith", append(csmithOptions, "--seed", strconv.FormatUint(uint64(r.Uint32()), 10))...)
		cmd.Dir = dir // it leaves a file there
		out, err := cmd.Output()
		cancel()
		require.NoError(t, err, "csmith")
		text := string(out)
		if len(text) >= smallest && len(text) <= biggest && len(functions(text)) >= 3 {
			require.Contains(t, text, "int main (void)")
			return strings.Replace(text, "int main (void)", "int csmith_main (void)", 1)
		}
	}
	require.Fail(t, "csmith makes no small program")
	return ""
}

// varyLinkage makes some of csmith's functions and variables global, and some
// functions such that they are not inlined.
func varyLinkage(r *rand.Rand, text string) string {
	text = globalVariable.ReplaceAllStringFunc(text, func(s string) string {
		if r.IntN(3) == 0 {
			return strings.TrimPrefix(s, "static ")
		}
		return s
	})
	storage := map[string]string{}
	return functionLine.ReplaceAllStringFunc(text, func(s string) string {
		m := functionLine.FindStringSubmatch(s)
		prefix, known := storage[m[2]]
		if !known {
			prefix = []string{"static ", "static ", ""}[r.IntN(3)] + []string{"", "__attribute__((noinline)) "}[r.IntN(2)]
			storage[m[2]] = prefix
		}
		return prefix + m[1] + m[2] + m[3]
	})
}

// fill gives each placeholder a constant. Those at the indices in other get
// another one from the same source of randomness.
func fill(seed uint64, text string, other map[int]bool) string {
	r := rand.New(rand.NewPCG(seed, 1))
	i := -1
	return placeholder.ReplaceAllStringFunc(text, func(s string) string {
		i++
		bound, err := strconv.Atoi(placeholder.FindStringSubmatch(s)[2])
		if err != nil || bound < 2 {
			panic(fmt.Sprintf("features.c: %s is no choice", s))
		}
		first, step := r.IntN(bound), 1+r.IntN(bound-1)
		if other[i] {
			first = (first + step) % bound
		}
		return strconv.Itoa(first + 1)
	})
}
