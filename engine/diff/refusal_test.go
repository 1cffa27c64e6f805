package diff

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Each row is a program whose fix is in #ifdef PATCHED, and what is to be said
// of it.
func TestChangesThatCannotBePatchedAreRefused(t *testing.T) {
	const tail = "\nint main(int argc, char **argv) { return work(argc); }\n"
	for _, row := range []struct{ name, text, function, reason string }{
		{
			"a changed initialiser of a struct",
			`struct limits { int low, high; };
			#ifdef PATCHED
			struct limits limits = {1, 20};
			#else
			struct limits limits = {1, 10};
			#endif
			__attribute__((noinline)) int work(int x) { return x < limits.high; }`,
			"limits", "initial value of existing data changed",
		}, {
			"a changed constant table",
			`#ifdef PATCHED
			static const char *const names[] = {"a", "c"};
			#else
			static const char *const names[] = {"a", "b"};
			#endif
			__attribute__((noinline)) int work(int x) { return names[x & 1][0]; }`,
			"names", "initial value of existing data changed",
		}, {
			"a bigger array",
			`#ifdef PATCHED
			int slots[20];
			#else
			int slots[10];
			#endif
			__attribute__((noinline)) int work(int x) { return slots[x]++; }`,
			"slots", "size of existing data changed from 40 to 80",
		}, {
			"a new thread-local variable",
			`#ifdef PATCHED
			static __thread int depth;
			#else
			static int depth;
			#endif
			__attribute__((noinline)) int work(int x) { return depth += x; }`,
			"depth", "new thread-local variable",
		}, {
			"a function too short for a jump",
			`#ifdef PATCHED
			__attribute__((noinline, naked)) int work(int x) { __asm__("mov %edi,%eax; inc %eax; ret"); }
			#else
			__attribute__((noinline, naked)) int work(int x) { __asm__("ret"); }
			#endif`,
			"work", "too short to be redirected: 3 bytes, what follows begins at 3, and 5 are needed",
		}, {
			"assembly at file level",
			`#ifdef PATCHED
			__asm__(".text\n.globl answer\nanswer: mov $43,%eax\nret\n");
			#else
			__asm__(".text\n.globl answer\nanswer: mov $42,%eax\nret\n");
			#endif
			int answer(void);
			__attribute__((noinline)) int work(int x) { return x + answer(); }`,
			"", "belongs to no function (assembly at file level)",
		}, {
			"a new constructor",
			`static int ready;
			#ifdef PATCHED
			__attribute__((constructor)) static void prepare(void) { ready = 1; }
			#endif
			__attribute__((noinline)) int work(int x) { return x + ready++; }`,
			"", "it runs when the program starts (.init_array)",
		}, {
			"a changed choice of implementation (ifunc)",
			`static int one(int x) { return x + 1; }
			static int two(int x) { return x + 2; }
			#ifdef PATCHED
			static int (*choose(void))(int) { return two; }
			#else
			static int (*choose(void))(int) { return one; }
			#endif
			int work(int) __attribute__((ifunc("choose")));
			int (*keep[])(int) = {one, two};`,
			"", "ifunc",
		}, {
			"a member appended to a struct",
			`struct client {
				int id;
			#ifdef PATCHED
				int limit;
			#endif
			};
			__attribute__((noinline)) int use(struct client *c) {
			#ifdef PATCHED
				c->limit = 3;
			#endif
				return c->id;
			}
			__attribute__((noinline)) int work(int x) { struct client c = {x}; return use(&c); }`,
			"", `layout of struct client changed: new member "4 limit int of 4 bytes"`,
		}, {
			"members that changed places inside a typedef",
			`typedef struct {
			#ifdef PATCHED
				short b, a;
			#else
				short a, b;
			#endif
			} both;
			__attribute__((noinline)) int use(both *c) { return c->a; }
			__attribute__((noinline)) int work(int x) { both c = {1, 2}; return use(&c) + x; }`,
			"", "layout of typedef both changed",
		}, {
			"a changed value of an enumeration",
			`enum kind {
				NONE,
			#ifdef PATCHED
				EARLY,
			#endif
				LATE
			};
			enum kind seen;
			__attribute__((noinline)) int work(int x) { return seen == LATE ? x : 2; }`,
			"", `layout of enum kind changed: "LATE = 1" is no longer there`,
		}, {
			"a static local whose users all changed",
			`#ifdef PATCHED
			__attribute__((noinline)) static int other(int x) { static int calls; return calls += x; }
			__attribute__((noinline)) int work(int x) { return other(x) + 1; }
			#else
			__attribute__((noinline)) static int first(int x) { static int calls; return calls -= x; }
			__attribute__((noinline)) int work(int x) { return first(x); }
			#endif`,
			"other", "cannot be told apart",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := diffed(t, []string{"-O2"}, true, Options{}, source{"program.c", row.text + tail})
			var refusal *Refusal
			require.ErrorAs(t, err, &refusal)
			require.Contains(t, refusal.Reason, row.reason)
			if row.function != "" {
				require.Contains(t, refusal.Function, row.function)
			}
			require.Equal(t, "program.c", refusal.Source)
		})
	}
}

// Whoever wants to know all that stands in the way of a fix is told at once.
func TestAllRefusals(t *testing.T) {
	files := []source{{"program.c", `
		#ifdef PATCHED
		int low = 2, high = 20;
		#else
		int low = 1, high = 10;
		#endif
		int other(int x);
		int main(int argc, char **argv) { return other(argc) < high && argc > low; }`},
		{"other.c", `
		#ifdef PATCHED
		static __thread int depth;
		#else
		static int depth;
		#endif
		struct shape { int a;
		#ifdef PATCHED
			int b;
		#endif
		};
		struct size { long a[
		#ifdef PATCHED
			2 *
		#endif
			3]; };
		struct shape *shapes;
		struct size *sizes;
		__attribute__((noinline)) int other(int x) { return depth += x + (int)(sizeof(struct shape) + sizeof(struct size)); }`}}
	_, _, err := diffed(t, []string{"-O2"}, true, Options{}, files...)
	require.ErrorContains(t, err, "program.c: ")
	require.NotContains(t, err.Error(), "\n", "the first")
	_, _, err = diffed(t, []string{"-O2"}, true, Options{KeepGoing: true}, files...)
	for _, name := range []string{"program.c: low: ", "program.c: high: ", "other.c: depth: ", "other.c: the layout of struct shape", "other.c: the layout of struct size"} {
		require.ErrorContains(t, err, name)
	}
	var refusal *Refusal
	require.ErrorAs(t, err, &refusal)

	// What cannot be bound to the program is looked for when nothing else is refused.
	_, _, err = diffed(t, []string{"-O2"}, true, Options{KeepGoing: true}, source{"binds.c", `
		#ifdef PATCHED
		extern __thread int nowhere __attribute__((tls_model("initial-exec")));
		#else
		#define nowhere 3
		#endif
		__attribute__((noipa)) int first(int x) { return x + nowhere; }
		__attribute__((noipa)) int second(int x) { return x - nowhere; }
		int main(int argc, char **argv) { return first(argc) + second(argc); }`})
	require.ErrorContains(t, err, "first: it uses the thread-local variable")
	require.ErrorContains(t, err, "second: it uses the thread-local variable")
}

func TestAcceptedLayoutIsNoted(t *testing.T) {
	result, _, err := diffed(t, []string{"-O2"}, true, Options{Accept: Accept{Layouts: []string{"scratch"}}}, source{"program.c", `
		struct scratch { int a;
		#ifdef PATCHED
			int b;
		#endif
		};
		__attribute__((noinline)) int fill(struct scratch *s);
		__attribute__((noinline)) int work(int x) { struct scratch s = {x}; return fill(&s) + (int)sizeof s; }
		__attribute__((noinline)) int fill(struct scratch *s) { return s->a; }
		int main(int argc, char **argv) { return work(argc); }`})
	require.NoError(t, err)
	require.Len(t, result.Notes, 1)
	require.Contains(t, result.Notes[0], "struct scratch")
}

func TestNothingFunctionalChanged(t *testing.T) {
	for _, row := range []struct{ name, text string }{
		{"a comment", "int main(void) { return 0; } /* PATCHED */"},
		{"a declaration that nobody uses", `
			#ifdef PATCHED
			struct unused { int x; };
			extern int missing(void);
			#endif
			int main(void) { return 0; }`},
		{"renumbered static locals, strings, tables and clones", `
			#include <stdio.h>
			#ifdef PATCHED
			static inline int unused(int x) { static int state; return state += x; }
			#endif
			__attribute__((noinline)) static int one(int x) { static int state; printf("%s %d\n", __func__, state++); return x; }
			__attribute__((noinline)) static int two(int x) { static int state = 4; switch (x) {
				case 0: return state++; case 1: return one(2); case 2: puts("two"); case 3: return 8; case 4: return 1; case 5: puts("five"); } return 0; }
			int main(int argc, char **argv) { return one(argc) + two(argc); }`},
	} {
		for _, optimise := range []string{"-O0", "-O2", "-O3"} {
			t.Run(row.name+" "+optimise, func(t *testing.T) {
				t.Parallel()
				_, _, err := diffed(t, []string{optimise}, true, Options{}, source{"program.c", row.text})
				require.ErrorIs(t, err, ErrNoChange)
			})
		}
	}
}

// An exception that is thrown through a patched function would not find its
// unwind tables, so C++ is refused by name.
func TestAssemblyIsRefused(t *testing.T) {
	_, _, err := diffed(t, []string{"-g"}, true, Options{}, source{"program.S", `
		.globl main, work
		.text
		.type work, @function
		work: lea 1(%rdi), %rax
		#ifdef PATCHED
		nop
		#endif
		ret
		.skip 16, 0x90
		.size work, .-work
		.section .text.main,"ax",@progbits
		.type main, @function
		main: jmp work
		.size main, .-main
		.section .note.GNU-stack,"",@progbits
		`})
	var refusal *Refusal
	require.ErrorAs(t, err, &refusal)
	require.Contains(t, refusal.Reason, "assembly")
}
