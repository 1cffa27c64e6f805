package tests

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const makefile = `CFLAGS = -O2 -g
kind: main.o answer.o
	$(CC) $(LDFLAGS) -o $@ $^
`

var kinds = map[string]kind{
	"%autosetup with a patch of its own": {
		preamble: "Patch0: own.patch", prep: "%autosetup -n kind -p1",
		sources: map[string]string{"own.patch": "--- a/answer.h\n+++ b/answer.h\n@@ -1,4 +1,5 @@\n #ifdef __cplusplus\n extern \"C\"\n #endif\n int answer(int x);\n+int more(int);\n"},
	},
	"%patch -P with -p0": {
		preamble: "Patch7: own.patch", prep: "%setup -q -n kind\n%patch -P 7 -p0",
		sources: map[string]string{"own.patch": "--- answer.h\n+++ answer.h\n@@ -1,4 +1,5 @@\n #ifdef __cplusplus\n extern \"C\"\n #endif\n int answer(int x);\n+int more(int);\n"},
	},
	"prepared with git am": {
		preamble: "Patch0: own.patch", prep: "export HOME=$PWD\n%autosetup -n kind -S git_am -p1",
		sources: map[string]string{"own.patch": "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: A Packager <a@example.org>\nDate: Thu, 1 Jan 2026 00:00:00 +0000\nSubject: [PATCH] more\n\n---\n answer.h | 1 +\n 1 file changed, 1 insertion(+)\n\ndiff --git a/answer.h b/answer.h\n--- a/answer.h\n+++ b/answer.h\n@@ -1,4 +1,5 @@\n #ifdef __cplusplus\n extern \"C\"\n #endif\n int answer(int x);\n+int more(int);\n-- \n2.39.0\n"},
	},
	"cmake beside the sources": {
		files: map[string]string{"CMakeLists.txt": "cmake_minimum_required(VERSION 3.10)\nproject(kind C)\nadd_library(answer STATIC answer.c)\nadd_executable(kind main.c)\ntarget_link_libraries(kind answer)\n"},
		build: "mkdir ../out && cd ../out && cmake -DCMAKE_BUILD_TYPE=RelWithDebInfo ../kind && make %{?_smp_mflags}", install: "install -D ../out/kind %{buildroot}/usr/bin/kind",
	},
	"cmake with ninja": {
		files: map[string]string{"CMakeLists.txt": "cmake_minimum_required(VERSION 3.10)\nproject(kind C)\nadd_executable(kind main.c answer.c)\n"},
		build: "cmake -G Ninja -B build -DCMAKE_BUILD_TYPE=RelWithDebInfo && ninja -C build", install: "install -D build/kind %{buildroot}/usr/bin/kind",
	},
	"meson": {
		files: map[string]string{"meson.build": "project('kind', 'c', default_options: ['buildtype=debugoptimized', 'b_staticpic=true'])\nlib = static_library('answer', 'answer.c')\nexecutable('kind', 'main.c', link_with: lib)\n"},
		build: "meson setup out && ninja -C out", install: "install -D out/kind %{buildroot}/usr/bin/kind",
	},
	"autotools and libtool": {
		files: map[string]string{
			"configure.ac": "AC_INIT([kind],[1.0])\nAM_INIT_AUTOMAKE([foreign])\nAC_PROG_CC\nAM_PROG_AR\nLT_INIT\nAC_CONFIG_FILES([Makefile])\nAC_OUTPUT\n",
			"Makefile.am":  "noinst_LTLIBRARIES = libinner.la\nlibinner_la_SOURCES = answer.c\nlib_LTLIBRARIES = libkind.la\nlibkind_la_SOURCES =\nlibkind_la_LIBADD = libinner.la\nbin_PROGRAMS = kind\nkind_SOURCES = main.c\nkind_LDADD = libkind.la\n",
		},
		build:   "autoreconf -fi && ./configure --prefix=/usr --libdir=/usr/lib64 CFLAGS='-O2 -g' && make %{?_smp_mflags}",
		install: "make install DESTDIR=%{buildroot}\nrm -f %{buildroot}/usr/lib64/*a",
		list:    "%files\n/usr/bin/*\n/usr/lib64/*",
	},
	"a static archive, with jobs that make shares": {
		files: map[string]string{
			"Makefile":     "export CFLAGS = -O2 -g\nkind: main.o lib/libanswer.a\n\t$(CC) -o $@ $^\nlib/libanswer.a:\n\t+$(MAKE) -C lib\n.PHONY: lib/libanswer.a\n",
			"lib/Makefile": "libanswer.a: answer.o other.o\n\t$(AR) rcs $@ $^\n%.o: %.c\n\t$(CC) $(CFLAGS) -I.. -c -o $@ $<\n",
			"lib/other.c":  "int other(void) { return 1; }\n", "lib/answer.c": answerProgram["answer.c"],
		},
		without: []string{"answer.c"}, build: "make -j4", change: change{"lib/answer.c", "return x + 1;", "return x + 2;"},
	},
	"a generated source": {
		files: map[string]string{
			"generate.sh": "#!/bin/sh\necho '#include \"answer.h\"'\necho 'int answer(int x) { static int n; n++; return x + 1; }'\n",
			"Makefile":    makefile + "answer.c: generate.sh\n\t./generate.sh > $@\n",
		},
		without: []string{"answer.c"}, build: "make", change: change{"generate.sh", "return x + 1;", "return x + 2;"}, says: "built a second time",
	},
	"a parser by bison": {
		files: map[string]string{
			"answer.y": "%{\n#include \"answer.h\"\nstatic int value, result;\nstatic int yylex(void) { int c = value; value = 0; return c ? 'x' : 0; }\nstatic void yyerror(const char *s) { (void)s; }\n%}\n%%\nall: 'x' { result = 1; }\n%%\nint answer(int x) { value = x; yyparse(); return x + result; }\n",
			"Makefile": makefile + "answer.c: answer.y\n\tbison -o $@ $<\n",
		},
		without: []string{"answer.c"}, build: "make", change: change{"answer.y", "{ result = 1; }", "{ result = 2; }"}, says: "built a second time",
	},
	"ccache": {
		files: map[string]string{"Makefile": makefile}, build: "export CCACHE_DIR=$PWD/../ccache\nmake CC='ccache gcc'",
	},
	"names with blanks and letters of all kinds": {
		files:   map[string]string{"größe des puffers/die antwort.c": strings.Replace(answerProgram["answer.c"], "answer.h", "../answer.h", 1)},
		without: []string{"answer.c"}, build: "for f in main.c */*.c; do gcc -O2 -g -c \"$f\"; done; gcc -o kind main.o 'die antwort.o'",
		change: change{"größe des puffers/die antwort.c", "return x + 1;", "return x + 2;"},
	},
	"a build that writes into its sources": {
		files: map[string]string{
			"Makefile":    makefile + "answer.o: config.h\nconfig.h: config.h.in\n\tsed s/@OFFSET@/1/ $< > $@\n\tdate +%N >> stamp\n",
			"config.h.in": "#define OFFSET @OFFSET@\n", "answer.c": strings.Replace(answerProgram["answer.c"], "#include <stdlib.h>", "#include <stdlib.h>\n#include \"config.h\"", 1),
		},
		build: "make", change: change{"answer.c", "return x + 1;", "return x + OFFSET + OFFSET;"},
	},
	"flavours of one file": {
		files: map[string]string{"Makefile": "all: kind kind-large\nkind: main.c answer.c\n\t$(CC) -O2 -g -o $@ $^\nkind-large: main.c answer.c\n\t$(CC) -O2 -g -DLARGE -c -o large-answer.o answer.c\n\t$(CC) -O2 -g -c -o large-main.o main.c\n\t$(CC) -o $@ large-main.o large-answer.o\n",
			"answer.c": strings.Replace(answerProgram["answer.c"], "return x + 1;", "#ifdef LARGE\n\tcalls += x * 1000;\n#endif\n\treturn x + 1;", 1)},
		build: "make", install: "install -D -t %{buildroot}/usr/bin kind kind-large", programs: []string{"kind", "kind-large"},
	},
	"sub-packages": {
		packages: "%package tools\nSummary: More\n%description tools\nMore.\n",
		files:    map[string]string{"tool.c": strings.Replace(answerProgram["main.c"], "answer(5)", "answer(5) + 0 * (int)getpid()", 1)},
		build:    "gcc -O2 -g -o kind main.c answer.c; gcc -O2 -g -o tool tool.c answer.c", install: "install -D -t %{buildroot}/usr/bin kind tool",
		preamble: "%define _debuginfo_subpackages 1", list: "%files\n/usr/bin/kind\n%files tools\n/usr/bin/tool", programs: []string{"kind", "tool"},
	},
	"programs and a library, of which some change": {
		files: map[string]string{
			"common.c": "#include \"answer.h\"\nint common(int x) { return answer(x); }\n", "idle.c": "#include <unistd.h>\nint common(int x);\nint main(void) { for (;;) { usleep(10000); common(1); } }\n",
			"Makefile": "all: kind idle libkind.so\nlibkind.so: answer.c\n\t$(CC) -O2 -g -fPIC -shared -o $@ $^\nkind: main.c libkind.so\n\t$(CC) -O2 -g -o $@ main.c -L. -lkind -Wl,-rpath,'$$ORIGIN/../lib64'\nidle: idle.c common.c libkind.so\n\t$(CC) -O2 -g -o $@ idle.c common.c -L. -lkind -Wl,-rpath,'$$ORIGIN/../lib64'\n",
		},
		build: "make", install: "install -D -t %{buildroot}/usr/bin kind idle; install -D -t %{buildroot}/usr/lib64 libkind.so", list: "%files\n/usr/bin/*\n/usr/lib64/*",
		comment: "idle.c", says: "/usr/bin/idle: nothing that code is generated for is changed",
	},
	"epoch, tilde, caret and plus": {
		epoch: "Epoch: 2", version: "1.0~rc1^20260101.g1234+ds",
		preamble: "%global __brp_strip %{nil}", // it takes a name with a plus for a pattern, and strips the debug files
	},
	"classes": {
		files:   map[string]string{"answer.cc": "#include \"answer.h\"\n#include <vector>\n#include <numeric>\nnamespace { std::vector<int> past; }\nint answer(int x) { past.assign(3, x); return std::accumulate(past.begin(), past.end(), 0) - 2 * x + 1; }\n"},
		without: []string{"answer.c"}, build: "gcc -O2 -g -c main.c; g++ -O2 -g -c answer.cc; g++ -o kind main.o answer.o", change: change{"answer.cc", "2 * x + 1", "2 * x + 2"},
	},
	"the compilers' front of configure, by its absolute path": {
		files: map[string]string{"Makefile": makefile}, build: "make CC=\"$(command -v gcc)\"",
	},
	"types in sections of their own": {build: "gcc -O2 -g -fdebug-types-section -o kind *.c"},
	"debug information shrunk by dwz": {
		preamble: "%define _find_debuginfo_dwz_opts --run-dwz --dwz-low-mem-die-limit 0 --dwz-max-die-limit 10000000", files: map[string]string{"tool.c": answerProgram["main.c"]},
		build: "gcc -O2 -g -o kind main.c answer.c; gcc -O2 -g -o tool tool.c answer.c", install: "install -D -t %{buildroot}/usr/bin kind tool", programs: []string{"kind", "tool"},
	},
}

// Packages of every kind that distributions have are built once, as their packagers
// build them, and the patch changes what their running programs do.
func TestKindsOfPackages(t *testing.T) {
	needTools(t, "rpmbuild", "git", "cmake", "meson", "ninja", "autoreconf", "libtoolize", "bison", "ccache", "dwz", "g++")
	for name, k := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := k.pack(t)
			output := t.TempDir()
			args := append([]string{"build", "--patch_name", "HP001", "--workdir", t.TempDir(), "--output", output, "--source", p.source, "--patch", p.patch, "--debuginfo"}, p.debuginfo...)
			r := syscare(t, append(args, k.extra...)...)
			require.Zero(t, r.code, r.stderr)
			require.Contains(t, r.stderr, k.says)
			root := t.TempDir()
			install(t, root, append(p.binaries, patchRPM(t, output))...)
			k.live(t, root)
		})
	}
}

// live starts the programs of a kind and sees them change and change back.
func (k kind) live(t *testing.T, root string) {
	t.Helper()
	programs := k.programs
	if programs == nil {
		programs = []string{"kind"}
	}
	var all []*talker
	for _, name := range programs {
		all = append(all, startTalker(t, filepath.Join(root, "usr/bin", name), "LD_LIBRARY_PATH="+filepath.Join(root, "usr/lib64")))
	}
	say := func(want string) {
		t.Helper()
		for _, p := range all {
			p.says(want)
		}
	}
	say("6")
	for range 2 {
		must(t, "--root", root, "apply", "HP001")
		say("7")
		must(t, "--root", root, "remove", "HP001")
		say("6")
	}
}

// talker is a program that prints lines.
type talker struct {
	t     *testing.T
	path  string
	lines chan string
}

func startTalker(t *testing.T, path string, env ...string) *talker {
	t.Helper()
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	p := &talker{t, path, make(chan string)}
	go func() {
		for in := bufio.NewScanner(out); in.Scan(); {
			select {
			case p.lines <- in.Text():
			case <-time.After(time.Minute):
				return
			}
		}
	}()
	return p
}

// says waits for a line.
func (p *talker) says(want string) {
	p.t.Helper()
	for deadline := time.After(10 * time.Second); ; {
		select {
		case line := <-p.lines:
			if line == want {
				return
			}
		case <-deadline:
			require.Fail(p.t, p.path+" does not say "+want)
		}
	}
}
