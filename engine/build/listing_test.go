package build

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/diff"
)

// A patch says why each function is in it, what was checked, and shows the code before
// and after side by side.
func TestContentsAndListings(t *testing.T) {
	req := request(t, limitPatch, ship(t, "make"))
	req.Listings = true
	result, err := recordAndPatch(context.Background(), req)
	require.NoError(t, err)
	e := result.Entities[0]
	require.Len(t, e.Contents, 2, "the function, and the name of it that assert prints")
	c := e.Contents[0]
	assert.Equal(t, "limit", c.Name)
	assert.Equal(t, "limit.c", c.File)
	assert.Equal(t, diff.Changed, c.Reason)
	assert.Equal(t, 5, c.Line, "where the function begins before the fix")
	assert.Greater(t, c.NewSize, c.OldSize)
	assert.Contains(t, strings.Join(e.Checks, "\n"), "functions have the addresses and sizes of those that were shipped")
	assert.Contains(t, strings.Join(result.Checks, "\n"), "patch files that fit without fuzz: 1; files that they change: 1")

	require.Len(t, e.Listings, 1)
	var kept, changed int
	var text strings.Builder
	for _, row := range e.Listings[0].Rows {
		fmt.Fprintf(&text, "%v|%-60s|%s\n", row.Same, row.Before, row.After)
		switch {
		case row.Same:
			kept++
			require.NotEmpty(t, row.Before)
			require.NotEmpty(t, row.After)
		default:
			changed++
		}
	}
	t.Log(text.String())
	assert.Positive(t, kept, text.String())
	assert.Positive(t, changed, text.String())
	assert.Contains(t, text.String(), `"really"`, "strings are shown, not their labels")
	assert.Regexp(t, `(call|jmp) +puts`, text.String(), "and what is called")
}

func TestTouchedLines(t *testing.T) {
	const old = "int before;\nint f(void)\n{\n\treturn 1;\n}\n\nint between;\n\nint g(void)\n{\n\treturn 2;\n}\n"
	for name, row := range map[string]struct {
		now  string
		f, g bool
	}{
		"in a function":           {strings.Replace(old, "return 1", "return 3", 1), true, false},
		"its first line":          {strings.Replace(old, "int f(void)", "int f(void) /* f */", 1), true, false},
		"new lines in it":         {strings.Replace(old, "\treturn 2;\n", "\tf();\n\treturn 2;\n", 1), false, true},
		"before its last line":    {strings.Replace(old, "\treturn 2;\n", "\treturn 2;\n\tf();\n", 1), false, true},
		"new lines between both":  {strings.Replace(old, "int between;\n", "int between;\nint h(void)\n{\n\treturn 3;\n}\n", 1), false, false},
		"what is between":         {strings.Replace(old, "int between;\n", "", 1), false, false},
		"both":                    {strings.ReplaceAll(old, "return", "return 1 +"), true, true},
		"before all":              {strings.Replace(old, "int before;\n", "", 1), false, false},
		"lines taken from a body": {strings.Replace(old, "\treturn 2;\n", "", 1), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			plan := &Plan{Changes: []Change{
				{Path: "src/a.c", Old: []byte(old), New: []byte(row.now)},
				{Path: "a.c", Old: []byte("int other;\n"), New: []byte("int more;\n")},
			}}
			touched, err := plan.Touched(context.Background(), t.TempDir())
			require.NoError(t, err)
			assert.Equal(t, row.f, touched("/usr/src/debug/x/src/a.c", 2, 8), "f")
			assert.Equal(t, row.g, touched("src/a.c", 9, 0), "g")
			assert.False(t, touched("/usr/include/b.h", 1, 0))
			assert.True(t, touched("/build/a.c", 1, 0), "the other file of that name")
		})
	}
}
