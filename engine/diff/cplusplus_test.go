package diff

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each row is a C++ program whose fix is in #ifdef PATCHED. Without a reason it
// can be patched, and functions are those that it replaces.
func TestCPlusPlus(t *testing.T) {
	const tail = "\nint main(int argc, char **argv) { return work(argc); }\n"
	for _, row := range []struct {
		name, text, reason string
		functions          []string
	}{
		{
			"a virtual function",
			`struct Base { virtual int f(int); virtual ~Base() {} };
			#ifdef PATCHED
			int Base::f(int x) { return x * x * 3; }
			#else
			int Base::f(int x) { return x * x; }
			#endif
			__attribute__((noinline)) int work(int x) { static Base *b = new Base; return b->f(x); }`,
			"", []string{"_ZN4Base1fEi", "_Z4worki"}, // it is inlined there, behind a guess
		}, {
			"another handler for the same code",
			`extern "C" int puts(const char *);
			__attribute__((noinline)) void may(int x) { if (x > 3) throw x; if (x > 2) throw "x"; }
			__attribute__((noinline)) int work(int x) {
				try { may(x); }
			#ifdef PATCHED
				catch (const char *) { return 1; }
			#else
				catch (int) { return 1; }
			#endif
				return 0;
			}`,
			"", []string{"_Z4worki"},
		}, {
			"an inline function and its static local",
			`inline __attribute__((noinline)) int counted() { static int n; return
			#ifdef PATCHED
				n += 2;
			#else
				++n;
			#endif
			}
			__attribute__((noinline)) int work(int x) { return counted() + x; }`,
			"", []string{"_Z7countedv"},
		}, {
			"a new virtual function",
			`struct Base { virtual int f(int x) { return x; }
			#ifdef PATCHED
				virtual int g(int x) { return x + 1; }
			#endif
			};
			__attribute__((noinline)) int work(int x) { static Base b; Base *volatile p = &b; return p->f(x); }`,
			"_ZTV4Base: a table of virtual functions changed", nil,
		}, {
			"a global object",
			`struct Thing { int n; Thing(); };
			int start;
			#ifdef PATCHED
			Thing::Thing() : n(start + 2) {}
			Thing thing, another;
			#else
			Thing::Thing() : n(start + 1) {}
			Thing thing;
			#endif
			__attribute__((noinline)) int work(int x) { return x + thing.n; }`,
			"ran when the program started", nil,
		}, {
			"a lambda before another",
			`#include <functional>
			std::function<int(int)> kept;
			__attribute__((noinline)) int work(int x) {
			#ifdef PATCHED
				std::function<int(int)> also = [&x](int n) { return n < x; };
				if (also(100)) return 8;
			#endif
				kept = [x](int n) { return n + x; };
				return kept(1);
			}`,
			"which gives the others new numbers", nil,
		}, {
			"a member of a class",
			`class Account { public: int a;
			#ifdef PATCHED
				int b;
			#endif
				int get() { return a; } };
			Account account;
			__attribute__((noinline)) int work(int x) { account.a += x;
			#ifdef PATCHED
				account.b = x;
			#endif
				return account.get(); }`,
			"account: the size of existing data changed", nil,
		}, {
			"a member of a class that others make",
			`namespace bank { class Account { public: int a;
			#ifdef PATCHED
				int b;
			#endif
			}; }
			bank::Account *open(int);
			__attribute__((noinline)) int work(int x) { bank::Account *p = open(x);
			#ifdef PATCHED
				p->b = x;
			#endif
				return p->a; }
			bank::Account *open(int x) { static char room[100]; return (bank::Account *)(room + 8 * (x & 3)); }`,
			"layout of class bank::Account changed", nil,
		}, {
			"another base class",
			`struct Red { int x; }; struct Blue { int x; };
			#ifdef PATCHED
			struct Thing : Blue { int y; };
			#else
			struct Thing : Red { int y; };
			#endif
			__attribute__((noinline)) int work(int x) { static Thing t; t.y +=
			#ifdef PATCHED
				2 *
			#endif
				x; return t.x; }`,
			"layout of struct Thing changed", nil,
		}, {
			"a virtual function of an interface",
			`struct Shape { virtual int area() = 0;
			#ifdef PATCHED
				virtual int volume() = 0;
			#endif
			};
			Shape *volatile shape;
			__attribute__((noinline)) int work(int x) { return shape ? shape->
			#ifdef PATCHED
				volume()
			#else
				area()
			#endif
				+ x : 0; }`,
			"virtual function", nil,
		}, {
			"types of one name in two namespaces",
			`namespace one { struct Item { int a; }; }
			namespace two { struct Item { long b, c; }; }
			one::Item first; two::Item second;
			__attribute__((noinline)) int work(int x) {
			#ifdef PATCHED
				if (x > 100) return 0;
			#endif
				return first.a + second.c + x; }`,
			"", []string{"_Z4worki"},
		}, {
			"main",
			`__attribute__((noinline)) int work(int x) { return x; }
			#ifdef PATCHED
			int main(int argc, char **argv) { return work(argc + 1); }
			#else
			int main(int argc, char **argv) { return work(argc); }
			#endif`,
			"every process is in main", nil,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			text := row.text
			if !strings.Contains(text, "int main") {
				text += tail
			}
			result, _, err := diffed(t, []string{"-O2", "-femit-class-debug-always"}, true, Options{}, source{"program.cc", text})
			if row.reason == "" {
				require.NoError(t, err)
				require.Equal(t, row.functions, result.Functions)
				return
			}
			var refusal *Refusal
			require.ErrorAs(t, err, &refusal)
			require.Contains(t, refusal.Function+": "+refusal.Reason, row.reason)
		})
	}
}
