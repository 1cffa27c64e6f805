package diff

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Changed data are copied for new code if the user names them, and only then.
func TestAllowedData(t *testing.T) {
	const tail = "\nint main(int argc, char **argv) { return work(argc) + other(argc); }\n"
	for _, row := range []struct {
		name, text string
		allow      []string
		functions  []string // replaced; nil if refused
		says       string   // note or reason
	}{
		{
			"a constant table and all who use it",
			`static const struct { const char *name; int value; } table[] = {{"one", 1}, {"two", 2},
			#ifdef PATCHED
				{"three", 3},
			#endif
			};
			__attribute__((noinline)) int other(int x) { return table[x & 1].value; }
			__attribute__((noinline)) int work(int x) { return table[x & 1].name[0]; }`,
			[]string{"table"}, []string{"other", "work"}, "table is a new constant for the functions that use it (other, work)",
		}, {
			"a constant behind a constant",
			`static const int first[] = {1, 2
			#ifdef PATCHED
				, 3
			#endif
			};
			static const int *const all[] = {first, first + 1};
			__attribute__((noinline)) int other(int x) { return x; }
			__attribute__((noinline)) int work(int x) { return all[x & 1][0]; }`,
			[]string{"first"}, []string{"work"}, "first is a new constant for the functions that use it",
		}, {
			"a constant that a variable points to",
			`static const int first[] = {1, 2
			#ifdef PATCHED
				, 3
			#endif
			};
			const int *current = first;
			__attribute__((noinline)) int other(int x) { return x; }
			__attribute__((noinline)) int work(int x) { return current[x & 1] + first[0]; }`,
			[]string{"first"}, nil, "whoever reads it keeps the old one",
		}, {
			"a variable with another initial value",
			`int limit =
			#ifdef PATCHED
				20;
			#else
				10;
			#endif
			__attribute__((noinline)) int other(int x) { return x < limit; }
			__attribute__((noinline)) int work(int x) {
			#ifdef PATCHED
				if (x < 0) return 0;
			#endif
				return x + limit++;
			}`,
			[]string{"program.c:limit"}, []string{"work"}, "only patched and new functions see the new limit",
		}, {
			"a static local",
			`__attribute__((noinline)) int other(int x) { return x; }
			__attribute__((noinline)) int work(int x) {
			#ifdef PATCHED
				static int seen[20]; x++;
			#else
				static int seen[10];
			#endif
				return seen[x & 7]++;
			}`,
			[]string{"seen"}, []string{"work"}, "only patched and new functions see the new seen",
		}, {
			"another variable than the one named",
			`int limit =
			#ifdef PATCHED
				20;
			#else
				10;
			#endif
			__attribute__((noinline)) int other(int x) { return x < limit; }
			__attribute__((noinline)) int work(int x) { return x; }`,
			[]string{"other.c:limit", "limits"}, nil, "--allow-data limit gives new code a copy",
		}, {
			"a thread-local variable",
			`__thread int limit =
			#ifdef PATCHED
				20;
			#else
				10;
			#endif
			__attribute__((noinline)) int other(int x) { return x < limit; }
			__attribute__((noinline)) int work(int x) { return x; }`,
			[]string{"limit"}, nil, "thread-local",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			result, _, err := diffed(t, []string{"-O1"}, true, Options{Accept: Accept{Data: row.allow}}, source{"program.c", row.text + tail})
			if row.functions == nil {
				var refusal *Refusal
				require.ErrorAs(t, err, &refusal)
				require.Contains(t, refusal.Reason, row.says)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.functions, result.Functions)
			require.Contains(t, result.Notes[0], row.says)
		})
	}
}

// A new value of an enumeration means nothing in any object that is alive.
func TestAppendedEnumerator(t *testing.T) {
	result, _, err := diffed(t, []string{"-O1"}, true, Options{}, source{"program.c", `
		enum result { FINE, WRONG,
		#ifdef PATCHED
			REFUSED,
		#endif
		};
		enum result last;
		__attribute__((noinline)) enum result work(int x) {
		#ifdef PATCHED
			if (x < 0) return last = REFUSED;
		#endif
			return last = x > 10 ? WRONG : FINE;
		}
		int main(int argc, char **argv) { return work(argc) == WRONG; }`})
	require.NoError(t, err)
	require.Equal(t, []string{"work"}, result.Functions)
}
