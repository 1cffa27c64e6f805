package diff

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const explained = `
#ifdef PATCHED
#define BASE 200 /* fix */
#else
#define BASE 100
#endif
extern void abort(void);

static inline __attribute__((always_inline)) int limit(int x)
{
#ifdef PATCHED
	if (x > 40) x = 40; /* fix */
#endif
	return x * 3;
}

#ifdef PATCHED
static int seen = 3;                                                     /* fix */
static __attribute__((noinline)) int added(int x) { return x * seen++; } /* fix */
#endif

static int calls;
__attribute__((noipa)) int based(int x) { return x + BASE; }
__attribute__((noipa)) int inlines(int x) { return limit(x) + calls++; }

static __attribute__((noinline)) int cloned(int x, int constant)
{
	int sum = 0;
	for (int i = 0; i < x; i++)
#ifdef PATCHED
		sum += added(i) / constant; /* fix */
#else
		sum += i / constant;
#endif
	return sum + calls;
}

__attribute__((noipa)) const char *changed(int x)
{
#ifdef PATCHED
	switch (x) { /* fix */
	case 0: return "none";
	case 1: return "one";
	case 2: return "some";
	case 3: return "more";
	case 4: return "many";
	case 5: abort();
	}
#endif
	return "all";
}

__attribute__((noipa)) int calls_cloned(int x) { return cloned(x, 7) + cloned(x + 1, 7); }
int main(int n, char **v) { return based(n) + inlines(n) + calls_cloned(n) + changed(n)[0]; }
`

// Each function and datum of a patch comes with the reason why it is there.
func TestExplain(t *testing.T) {
	touched := func(file string, first, last int) bool {
		require.Equal(t, "why.c", filepath.Base(file))
		for i, line := range strings.Split(explained, "\n") {
			if strings.Contains(line, "/* fix */") && i+1 >= first && (i+1 <= last || last == 0) {
				return true
			}
		}
		return false
	}
	line := func(text string) int {
		before, _, found := strings.Cut(explained, text)
		require.True(t, found)
		return strings.Count(before, "\n") + 1
	}
	result, _, err := diffed(t, []string{"-O2"}, true, Options{Touched: touched}, source{path: "why.c", text: explained})
	require.NoError(t, err)

	type why struct {
		reason Reason
		of     string
		line   int
	}
	want := map[string]why{
		"based":              {Affected, "", line("__attribute__((noipa)) int based")},
		"calls_cloned":       {Affected, "", line("__attribute__((noipa)) int calls_cloned")}, // other registers
		"inlines":            {Inlined, "limit", line("__attribute__((noipa)) int inlines")},
		"added":              {New, "cloned.constprop.0", line("static __attribute__((noinline)) int added")},
		"cloned.constprop.0": {Clone, "cloned", line("static __attribute__((noinline)) int cloned")},
		"changed":            {Changed, "", line("__attribute__((noipa)) const char *changed")},
		"changed.cold":       {Needed, "changed", line("__attribute__((noipa)) const char *changed")},
		"seen":               {New, "added", 0},
	}
	got := map[string]why{}
	for _, c := range result.Contents {
		if c.Name == ".rodata.changed" || strings.HasPrefix(c.Name, "CSWTCH") {
			assert.Equal(t, Needed, c.Reason, "%+v", c)
			assert.Equal(t, []string{"changed"}, c.Of)
			assert.Positive(t, c.NewSize)
			continue
		}
		assert.Equal(t, "why.c", c.Unit)
		got[c.Name] = why{c.Reason, strings.Join(c.Of, " "), c.Line}
	}
	require.Equal(t, want, got)
	assert.Equal(t, "seen", result.Contents[len(result.Contents)-1].Name, "data comes after functions")
}
