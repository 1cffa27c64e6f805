package build

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/patchobject"
)

// A fix with a new source file, and what the Makefile needs for it.
const newFilePatch = `--- a/Makefile
+++ b/Makefile
@@ -6,5 +6,5 @@
 	$(CC) $(LDFLAGS) -o $@ helper.o libl.a
-libl.a: limit.o unused.o
+libl.a: limit.o unused.o extra.o
 	ar rcs $@ $^
 %.o: %.c lib.h
 	$(CC) $(CFLAGS) -c -o $@ $<
--- /dev/null
+++ b/extra.c
@@ -0,0 +1,8 @@
+#include "lib.h"
+#include <stdio.h>
+static int calls;
+int extra(int n)
+{
+	printf("call %d\n", ++calls);
+	return n > 5 ? 5 : n;
+}
--- a/lib.h
+++ b/lib.h
@@ -1,2 +1,3 @@
 #define MAXIMUM 10
 int limit(int n);
+int extra(int n);
--- a/limit.c
+++ b/limit.c
@@ -8,6 +8,6 @@
 	if (n > 10) {
 		puts("too much");
-		return MAXIMUM;
+		return extra(MAXIMUM);
 	}
 	return n;
 }
`

func TestNewSourceFile(t *testing.T) {
	req := request(t, newFilePatch, ship(t, "make"))
	tree, err := req.Tree()
	require.NoError(t, err)
	_, err = recordAndPatch(context.Background(), req)
	var unreplayable *NotReplayableError
	require.ErrorAs(t, err, &unreplayable, "without a second build")

	req.Rebuild = func(_ context.Context, env []string) error { return tryShell(tree, env, "make -j4") }
	before := contents(t, tree)
	result, err := recordAndPatch(context.Background(), req)
	require.NoError(t, err)
	require.Len(t, result.Entities, 1)
	assert.Equal(t, []string{"limit"}, result.Entities[0].Functions)
	obj, err := patchobject.Parse(result.Entities[0].Object)
	require.NoError(t, err)
	assert.Contains(t, obj.Symbols, "extra")
	assert.Contains(t, obj.Symbols, "calls")
	assert.Contains(t, result.Notes[0], "built a second time")
	assert.Equal(t, before["limit.c"], contents(t, tree)["limit.c"])
	assert.Equal(t, before["Makefile"], contents(t, tree)["Makefile"])
	assert.NotContains(t, contents(t, tree), "extra.c")
	assert.NoDirExists(t, tree+".syscare-original")
}

// A second build that fails leaves the tree as it was.
func TestSecondBuildThatFails(t *testing.T) {
	req := request(t, newFilePatch, ship(t, "make"))
	tree, err := req.Tree()
	require.NoError(t, err)
	req.Rebuild = func(_ context.Context, env []string) error { return tryShell(tree, env, "echo broken; exit 3") }
	_, err = recordAndPatch(context.Background(), req)
	require.ErrorContains(t, err, "with the patches applied")
	assert.NotContains(t, contents(t, tree), "extra.c")
	assert.NotContains(t, contents(t, tree)["Makefile"], "extra.o")
	assert.NoDirExists(t, tree+".syscare-original")
}

// A Makefile that changes nothing of the program is no functional change.
func TestMakefileWithoutEffect(t *testing.T) {
	req := request(t, "--- a/Makefile\n+++ b/Makefile\n@@ -1,4 +1,6 @@\n CFLAGS = -O2 -g -Wall -Werror\n LDFLAGS = -Wl,--build-id\n+.PHONY: check\n+# checks come later\n all: service helper\n service: main.o libl.a\n", ship(t, "make"))
	tree, err := req.Tree()
	require.NoError(t, err)
	req.Rebuild = func(_ context.Context, env []string) error { return tryShell(tree, env, "make -j4") }
	_, err = recordAndPatch(context.Background(), req)
	require.ErrorContains(t, err, "no functional change")
}

// contents reads the files of a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	found := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		found[e.Name()] = string(data)
	}
	return found
}
