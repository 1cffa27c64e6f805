package build

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

// service is a program, a library of which it uses one part, and a helper
// that nobody ships.
var service = files{
	"main.c":   "#include <stdio.h>\n#include <stdlib.h>\n#include \"lib.h\"\nint main(int n, char **v) { printf(\"%d\\n\", limit(atoi(v[n - 1]))); return 0; }\n",
	"limit.c":  "#include \"lib.h\"\n#include <stdio.h>\n#include <assert.h>\n\nint limit(int n)\n{\n\tassert(n > -100);\n\tif (n > 10) {\n\t\tputs(\"too much\");\n\t\treturn MAXIMUM;\n\t}\n\treturn n;\n}\n\nint other(int n)\n{\n\tassert(n != 5);\n\tprintf(\"%d\", n);\n\treturn n + 1;\n}\n",
	"helper.c": "#include \"lib.h\"\nint main(void) { return limit(1); }\n",
	"unused.c": "int unused(int a) { return a * 3; }\n",
	"lib.h":    "#define MAXIMUM 10\nint limit(int n);\n",
	"README":   "hello\n",
	"Makefile": "CFLAGS = -O2 -g -Wall -Werror\nLDFLAGS = -Wl,--build-id\nall: service helper\n" +
		"service: main.o libl.a\n\t$(CC) $(LDFLAGS) -o $@ main.o -L. -ll\nhelper: helper.o libl.a\n\t$(CC) $(LDFLAGS) -o $@ helper.o libl.a\n" +
		"libl.a: limit.o unused.o\n\tar rcs $@ $^\n%.o: %.c lib.h\n\t$(CC) $(CFLAGS) -c -o $@ $<\n",
}

// ship builds the service elsewhere and returns its debuginfo.
func ship(t *testing.T, script string) DebugFile {
	t.Helper()
	dir := service.write(t, t.TempDir())
	shell(t, dir, os.Environ(), script+"\nobjcopy --only-keep-debug service service.debug")
	return DebugFile{Path: filepath.Join(dir, "service.debug"), TargetPath: "/usr/bin/service", Name: "service"}
}

// fixRequest is a request with the build that is recorded for it.
type fixRequest struct {
	Request
	Build func(ctx context.Context, env []string) error
}

// recordAndPatch makes a fix from nothing.
func recordAndPatch(ctx context.Context, req fixRequest) (*Result, error) {
	recording, err := Record(ctx, Options{WorkDir: req.WorkDir, Front: req.Front}, req.Build)
	if err != nil {
		return nil, err
	}
	return recording.Patch(ctx, req.Request)
}

func request(t *testing.T, patch string, debug ...DebugFile) fixRequest {
	t.Helper()
	tree := service.write(t, t.TempDir())
	return fixRequest{
		Build: func(_ context.Context, env []string) error { return tryShell(tree, env, "make -j4") },
		Request: Request{
			WorkDir: t.TempDir(), Front: frontProgram,
			Tree:    func() (string, error) { return tree, nil },
			Patches: []string{writePatch(t, patch)}, Strip: 1, Debug: debug, Jobs: 2,
			UUID: func(id object.BuildID) string { return uuid.NewSHA1(uuid.Nil, []byte(id)).String() }, Tool: "test",
		},
	}
}

const limitPatch = `--- a/limit.c
+++ b/limit.c
@@ -1,6 +1,9 @@
 #include "lib.h"
 #include <stdio.h>
 #include <assert.h>
+/* three
+   more
+   lines */
 
 int limit(int n)
 {
@@ -7,6 +10,7 @@
 	assert(n > -100);
 	if (n > 10) {
 		puts("too much");
+		puts("really");
 		return MAXIMUM;
 	}
 	return n;
`

const commentPatch = "--- a/limit.c\n+++ b/limit.c\n@@ -1,3 +1,4 @@\n+/* a comment */\n #include \"lib.h\"\n #include <stdio.h>\n #include <assert.h>\n"

func TestRunMakesAPatchObject(t *testing.T) {
	var log bytes.Buffer
	req := request(t, limitPatch, ship(t, "make"))
	req.Log = &log
	result, err := recordAndPatch(context.Background(), req)
	require.NoError(t, err)
	require.Len(t, result.Entities, 1)
	e := result.Entities[0]
	assert.Equal(t, []string{"limit"}, e.Functions, "added lines change no other function")
	assert.Equal(t, "service", e.Name)
	parsed, err := patchobject.Parse(e.Object)
	require.NoError(t, err)
	assert.Equal(t, e.BuildID, parsed.Info.TargetID)
	assert.Equal(t, e.UUID, parsed.Info.UUID)
	assert.Contains(t, strings.Join(result.Notes, "\n"), "helper contains changed code, but there is no debuginfo")
	assert.Contains(t, log.String(), "-ffunction-sections")
}

func TestRunOfAHeader(t *testing.T) {
	patch := "--- a/lib.h\n+++ b/lib.h\n@@ -1,2 +1,2 @@\n-#define MAXIMUM 10\n+#define MAXIMUM 9\n int limit(int n);\n"
	result, err := recordAndPatch(context.Background(), request(t, patch, ship(t, "make")))
	require.NoError(t, err)
	assert.Equal(t, []string{"limit"}, result.Entities[0].Functions)
}

func TestRunRefuses(t *testing.T) {
	good := ship(t, "make")
	for name, row := range map[string]struct {
		patch string
		debug DebugFile
		want  error
		text  string
	}{
		"a comment only": {commentPatch, good, diff.ErrNoChange, "same code"},
		"a document":     {"--- a/README\n+++ b/README\n@@ -1 +1 @@\n-hello\n+hallo\n", good, diff.ErrNoChange, "README is no part of the program"},
		"what is not linked into the program": {"--- a/unused.c\n+++ b/unused.c\n@@ -1 +1 @@\n-int unused(int a) { return a * 3; }\n+int unused(int a) { return a * 4; }\n",
			good, diff.ErrNoChange, "unused.c"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := recordAndPatch(context.Background(), request(t, row.patch, row.debug))
			require.ErrorIs(t, err, row.want)
			assert.Contains(t, err.Error(), row.text)
		})
	}
	t.Run("debuginfo of another build", func(t *testing.T) {
		other := ship(t, "sed -i 's/return n;/return n + 77;/; s/too much/much/; s/int other/int another/' limit.c; make CFLAGS='-g -O0'")
		_, err := recordAndPatch(context.Background(), request(t, limitPatch, other))
		var mismatch *OtherBuildError
		require.ErrorAs(t, err, &mismatch)
		assert.Contains(t, err.Error(), other.Path)
	})
	t.Run("link-time optimisation", func(t *testing.T) {
		_, err := recordAndPatch(context.Background(), request(t, limitPatch, ship(t, "make CFLAGS='-g -O2 -flto' LDFLAGS='-g -O2 -flto -Wl,--build-id'")))
		var compiler *CompilerError
		require.ErrorAs(t, err, &compiler)
		assert.Contains(t, err.Error(), "link-time optimisation")
	})
	t.Run("a build that fails", func(t *testing.T) {
		req := request(t, limitPatch, good)
		req.Build = func(_ context.Context, env []string) error { return tryShell("/", env, "exit 3") }
		_, err := recordAndPatch(context.Background(), req)
		require.ErrorContains(t, err, "exit status 3")
	})
	t.Run("a fix that does not compile", func(t *testing.T) {
		_, err := recordAndPatch(context.Background(), request(t, strings.Replace(limitPatch, `puts("really");`, "return return;", 1), good))
		require.ErrorContains(t, err, "with the patches applied")
	})
	t.Run("interruption", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := recordAndPatch(ctx, request(t, limitPatch, good))
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestCompilerCheck(t *testing.T) {
	debug := openObject(t, ship(t, "make").Path)
	r, _ := record(t, program, "gcc -c one.c")
	local, err := r.Producers(context.Background(), t.TempDir(), nil)
	require.NoError(t, err)
	require.Len(t, local, 1)
	require.NoError(t, CompilerCheck("x", debug, local))
	err = CompilerCheck("x.debug", debug, []string{"GNU C17 7.3.0 -O2"})
	var mismatch *CompilerError
	require.ErrorAs(t, err, &mismatch)
	assert.Contains(t, err.Error(), "GNU 7.3.0")
	assert.Contains(t, err.Error(), "x.debug")
}

func TestParseProducer(t *testing.T) {
	for text, want := range map[string]producer{
		"GNU C17 12.2.0 -mtune=generic -O2":                       {compiler: "GNU", version: "12.2.0"},
		"GNU C++14 11.4.1 20230605 (Red Hat 11.4.1-2) -g":         {compiler: "GNU", version: "11.4.1 20230605 (Red Hat 11.4.1-2)"},
		"GNU GIMPLE 12.2.0 -g":                                    {compiler: "GNU", version: "12.2.0"},
		"Debian clang version 14.0.6":                             {compiler: "clang", version: "14.0.6"},
		"clang version 12.0.1 (openEuler 12.0.1-1.oe2203 b1c2d3)": {compiler: "clang", version: "12.0.1"},
		"GNU AS 2.40": {}, "rustc version 1.70": {}, "GNU Fortran2008 12.2.0": {},
	} {
		got, ok := parseProducer(text)
		assert.Equal(t, want.compiler != "", ok, text)
		assert.Equal(t, want.compiler, got.compiler, text)
		assert.Equal(t, want.version, got.version, text)
	}
}

func TestMatchTargets(t *testing.T) {
	debug := ship(t, "make")
	tree := service.write(t, t.TempDir())
	links := func(script string) []*Link {
		r, err := Record(context.Background(), Options{WorkDir: t.TempDir(), Front: frontProgram}, func(_ context.Context, env []string) error {
			return tryShell(tree, env, script)
		})
		require.NoError(t, err)
		return r.Links()
	}
	copied := debug
	copied.TargetPath = "/usr/sbin/service"
	pairings, others, err := MatchTargets(links("make"), []DebugFile{debug, copied})
	require.NoError(t, err)
	assert.Empty(t, others)
	require.Len(t, pairings, 1, "copies of one file count once")
	p := pairings[0]
	assert.True(t, p.Exact)
	assert.Equal(t, "service", filepath.Base(p.Link.Path))
	assert.True(t, p.SameFunction("limit"))
	assert.Empty(t, p.Differences())

	pairings, _, err = MatchTargets(links("make clean >/dev/null 2>&1 || rm -f *.o *.a service helper; sed -i 's/return n + 1;/return printf(\"more code\") + n * 77;/' limit.c; make"), []DebugFile{debug})
	require.NoError(t, err)
	if len(pairings) == 1 {
		p = pairings[0]
		assert.False(t, p.Exact)
		assert.False(t, p.SameFunction("other"))
		assert.True(t, p.SameFunction("main"))
	}
}
