package build

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
)

func openObject(t *testing.T, path string) *object.File {
	t.Helper()
	f, err := object.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func writePatch(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fix.patch")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

const onePatch = "--- a/one.c\n+++ b/one.c\n@@ -1,2 +1,2 @@\n #include \"value.h\"\n-int one(void) { return VALUE; }\n+int one(void) { return VALUE + 1; }\n"

func TestPatchesThatFit(t *testing.T) {
	const created = "--- /dev/null\n+++ b/sub/new.h\n@@ -0,0 +1 @@\n+int n;\n"
	const removed = "--- a/two.c\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-#include \"value.h\"\n-int two(void) { return VALUE * 2; }\n"
	const git = "diff --git a/one.c b/one.c\nindex 123..456 100644\n" + onePatch
	for name, row := range map[string]struct {
		patch string
		strip int
		want  string
		note  string
	}{
		"-p1":              {onePatch, 1, "M one.c", ""},
		"-p0 for 1":        {strings.NewReplacer("a/one.c", "one.c", "b/one.c", "one.c").Replace(onePatch), 1, "M one.c", "-p0"},
		"-p2 for 1":        {strings.NewReplacer("a/one.c", "a/x/one.c", "b/one.c", "b/x/one.c").Replace(onePatch), 1, "M one.c", "-p2"},
		"-p1 for 0":        {onePatch, 0, "M one.c", "-p1"},
		"git":              {git, 1, "M one.c", ""},
		"with dates":       {strings.Replace(onePatch, "a/one.c", "a/one.c\t2020-01-01 00:00:00", 1), 1, "M one.c", ""},
		"new file":         {created, 1, "A sub/new.h", ""},
		"removed file":     {removed, 1, "D two.c", ""},
		"with a preamble":  {"Fix: one\n\n---\n one.c | 2 +-\n\n" + onePatch, 1, "M one.c", ""},
		"moved by an line": {strings.Replace(onePatch, "@@ -1,2 +1,2 @@", "@@ -3,2 +3,2 @@", 1), 1, "M one.c", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tree := program.write(t, t.TempDir())
			plan, err := ApplyPatches(context.Background(), tree, t.TempDir(), []string{writePatch(t, row.patch)}, row.strip)
			require.NoError(t, err)
			require.Len(t, plan.Changes, 1)
			c := plan.Changes[0]
			status := "M "
			if c.Old == nil {
				status = "A "
			} else if c.New == nil {
				status = "D "
			}
			assert.Equal(t, row.want, status+c.Path)
			assert.Contains(t, strings.Join(plan.Notes, "\n"), row.note)
			assert.Equal(t, row.note == "", len(plan.Notes) == 0)
			before, err := os.ReadFile(filepath.Join(tree, "one.c"))
			require.NoError(t, err)
			assert.Equal(t, program["one.c"], string(before), "planning writes nothing to the tree")
			require.NoError(t, plan.Apply(nil))
			if c.New != nil {
				after, err := os.ReadFile(filepath.Join(tree, c.Path))
				require.NoError(t, err)
				assert.Equal(t, c.New, after)
			}
		})
	}
}

func TestPatchSeries(t *testing.T) {
	second := strings.NewReplacer("VALUE + 1", "VALUE + 2", "VALUE;", "VALUE + 1;").Replace(onePatch)
	plan, err := ApplyPatches(context.Background(), program.write(t, t.TempDir()), t.TempDir(), []string{writePatch(t, onePatch), writePatch(t, second)}, 1)
	require.NoError(t, err)
	assert.Contains(t, string(plan.Changes[0].New), "VALUE + 2")
}

func TestPatchesThatDoNotFit(t *testing.T) {
	for name, row := range map[string]struct{ patch, reason string }{
		"hunk":           {strings.Replace(onePatch, "VALUE;", "OTHER;", 1), "one.c: hunk #1 does not fit at line 1"},
		"context only":   {strings.Replace(onePatch, " #include \"value.h\"", " #include \"other.h\"", 1), "hunk #1 does not fit"},
		"missing file":   {strings.ReplaceAll(onePatch, "one.c", "none.c"), "the source tree has no file a/none.c"},
		"applied before": {"--- a/one.c\n+++ b/one.c\n@@ -1,2 +1,2 @@\n #include \"value.h\"\n-int one(void) { return 0; }\n+int one(void) { return VALUE; }\n", "has this change already"},
		"no patch":       {"hello\n", "names no file"},
		"truncated":      {onePatch[:len(onePatch)-20], ""},
		"dot dot":        {strings.ReplaceAll(onePatch, "b/one.c", "b/../../one.c"), "outside the source tree"},
		"absolute":       {strings.ReplaceAll(onePatch, "b/one.c", "/etc/passwd"), "outside the source tree"},
		"git rename out": {"diff --git a/one.c b/one.c\nsimilarity index 100%\nrename from one.c\nrename to ../one.c\n", "outside the source tree"},
		"through a link": {strings.ReplaceAll(onePatch, "/one.c", "/link/one.c"), "symbolic link"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := program.write(t, t.TempDir())
			require.NoError(t, os.Symlink(program.write(t, t.TempDir()), filepath.Join(tree, "link")))
			_, err := ApplyPatches(context.Background(), tree, t.TempDir(), []string{writePatch(t, row.patch)}, 1)
			var refused *PatchError
			require.ErrorAs(t, err, &refused)
			assert.Contains(t, err.Error(), row.reason)
		})
	}
}

func TestAffected(t *testing.T) {
	r, tree := record(t, program, "make")
	change := func(path string) Change { return Change{Path: path, Old: []byte("a"), New: []byte("b")} }
	for path, want := range map[string][]string{
		"one.c": {"one.c"}, "value.h": {"main.c", "one.c", "two.c"}, "README": nil, "tests/run.sh": nil, "unused.c": nil, "unused.h": nil, "docs/Makefile": nil,
	} {
		units, notes, err := r.Affected(context.Background(), &Plan{Tree: tree, Changes: []Change{change(path)}}, t.TempDir(), 2, nil)
		require.NoError(t, err, path)
		assert.Equal(t, want, sourcesOf(units), path)
		assert.Equal(t, want == nil, len(notes) == 1, path)
	}
	for _, path := range []string{"Makefile", "configure.ac", "src/parse.y", "config.h.in", "gen.py", "sub/CMakeLists.txt", "x.mk", "lib.map", "src/Makefile.am"} {
		_, _, err := r.Affected(context.Background(), &Plan{Tree: tree, Changes: []Change{change(path)}}, t.TempDir(), 2, nil)
		var refused *NotReplayableError
		require.ErrorAs(t, err, &refused, path)
		assert.Equal(t, path, refused.File)
	}
	for _, c := range []Change{{Path: "new.c", New: []byte("int x;")}, {Path: "one.c", Old: []byte("x")}} {
		_, _, err := r.Affected(context.Background(), &Plan{Tree: tree, Changes: []Change{c}}, t.TempDir(), 2, nil)
		require.ErrorAs(t, err, new(*NotReplayableError))
	}
	r, tree = record(t, program, "gcc -S one.c; gcc -c one.s")
	_, _, err := r.Affected(context.Background(), &Plan{Tree: tree, Changes: []Change{change("one.c")}}, t.TempDir(), 2, nil)
	require.ErrorContains(t, err, "in a step of its own")
}

// lineSource has every place at which a directive must not stand.
var lineSource = `#include <assert.h>
int first(int a) { assert(a > 0); return a; }
/* a comment
   of "several lines
*/
#define CALL(x, y) \
	((x) + \
	 (y))
#if defined(A) && \
	!defined(B)
int dead(int a) { assert(a)
#else
int second(int a) {
	assert(a >
	       2);
#endif
	return CALL(a,
	            __LINE__) +
	    (a
	     - __LINE__);
}
const char *text = "one \
two ( (";
int third(int a) { assert(a != ')' && a != '"'); return __LINE__; }
static int table[] = {
	__LINE__, 2,
	__LINE__,
};
int fourth(int a)
{
	assert(a);
	return table[a];
}
`

func TestLinesKeepTheirNumbers(t *testing.T) {
	lines := strings.SplitAfter(lineSource, "\n")
	dir := t.TempDir()
	compile := func(text string) map[string][]byte {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a.c"), []byte(text), 0o644))
		cmd := exec.Command("gcc", "-O2", "-Wall", "-Werror", "-ffunction-sections", "-fdata-sections", "-c", "a.c", "-o", "a.o")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", text, out)
		f := openObject(t, filepath.Join(dir, "a.o"))
		code := map[string][]byte{}
		for _, s := range f.Sections {
			if strings.HasPrefix(s.Name, ".text.") || strings.Contains(s.Name, "data.table") {
				code[s.Name], err = s.Bytes()
				require.NoError(t, err)
			}
		}
		return code
	}
	want := compile(lineSource)
	require.Len(t, want, 5)
	// New lines at every place where they do not break the text.
	for _, at := range []int{0, 1, 2, 5, 21, 23, 24, 28} {
		changed := strings.Join(lines[:at], "") + "extern int new_" + string(rune('a'+at%26)) + ";\n\n\n" + strings.Join(lines[at:], "")
		numbered, err := keepLineNumbers(context.Background(), dir, []byte(lineSource), []byte(changed))
		require.NoError(t, err)
		require.NotEqual(t, changed, string(numbered))
		assert.Equal(t, want, compile(string(numbered)), "lines added before line %d", at+1)
	}
	shorter := strings.Join(lines[:2], "") + strings.Join(lines[5:], "") // the comment goes
	numbered, err := keepLineNumbers(context.Background(), dir, []byte(lineSource), []byte(shorter))
	require.NoError(t, err)
	assert.Equal(t, want, compile(string(numbered)), "lines removed")
	assert.NotEqual(t, want, compile(shorter), "without directives functions differ")
}

func TestOneChangedFunctionAmongMany(t *testing.T) {
	var before bytes.Buffer
	before.WriteString("#include <assert.h>\n")
	for i := range 100 {
		before.WriteString("int f" + strings.Repeat("x", i) + "(int a)\n{\n\tassert(a);\n\treturn __LINE__;\n}\n")
	}
	after := "int new1;\nint new2;\nint new3;\n" + before.String()
	numbered, err := keepLineNumbers(context.Background(), t.TempDir(), before.Bytes(), []byte(after))
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(numbered), "#line"))
}

func TestGeneratedFilesKeepTheirDirectives(t *testing.T) {
	before, after := []byte("# 1 \"a.y\"\nint a;\n"), []byte("int b;\n# 1 \"a.y\"\nint a;\n")
	numbered, err := keepLineNumbers(context.Background(), t.TempDir(), before, after)
	require.NoError(t, err)
	assert.Equal(t, after, numbered)
}

// A plan that was applied is taken back: changed, new and removed files.
func TestRevert(t *testing.T) {
	tree, work := t.TempDir(), t.TempDir()
	before := map[string]string{"a.c": "one\ntwo\n", "old.c": "gone\n"}
	for name, text := range before {
		require.NoError(t, os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644))
	}
	patch := writePatch(t, `--- a/a.c
+++ b/a.c
@@ -1,2 +1,2 @@
 one
-two
+three
--- /dev/null
+++ b/new.c
@@ -0,0 +1 @@
+new
--- a/old.c
+++ /dev/null
@@ -1 +0,0 @@
-gone
`)
	plan, err := ApplyPatches(context.Background(), tree, work, []string{patch}, 1)
	require.NoError(t, err)
	require.NoError(t, plan.Apply(nil))
	require.FileExists(t, filepath.Join(tree, "new.c"))
	require.NoFileExists(t, filepath.Join(tree, "old.c"))
	for range 2 { // once more does no harm
		require.NoError(t, plan.Revert())
		require.NoFileExists(t, filepath.Join(tree, "new.c"))
		for name, text := range before {
			now, err := os.ReadFile(filepath.Join(tree, name))
			require.NoError(t, err)
			require.Equal(t, text, string(now))
		}
	}
}

func FuzzPatchFile(f *testing.F) {
	f.Add([]byte("--- a/x.c\t2020\n+++ b/x.c\n@@ -1 +1 @@\n-a\n+b\n"))
	f.Add([]byte("diff --git \"a/\\t x\" b/x\nrename from x\nrename to \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range namesInPatch(data) {
			require.NotEmpty(t, name)
		}
		groups, err := parseGroups(string(data))
		if err != nil {
			return
		}
		// However wrong the groups are, only directives are added.
		var kept []byte
		for _, line := range bytes.SplitAfter(insertLineDirectives(data, groups), []byte("\n")) {
			if !bytes.HasPrefix(line, []byte("#line ")) {
				kept = append(kept, line...)
			}
		}
		if !bytes.Contains(data, []byte("#line ")) {
			require.Equal(t, string(data), string(kept))
		}
	})
}
