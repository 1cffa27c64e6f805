package diff

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A new static local must not take the place of an existing one of its name
// when both functions are inlined into the same one.
func TestNewStaticLocalBesideExistingOne(t *testing.T) {
	const header = "#include <stdio.h>\n"
	const added = `
		static unsigned added(unsigned x) {
		#ifdef PATCHED
			static unsigned calls = 4;
			calls += 2;
			printf("%u", calls);
		#endif
			return x * 3;
		}`
	const existing = `
		static unsigned existing(unsigned x) { static unsigned calls = 3; return calls++ * 10 + x; }`
	const users = `
		__attribute__((noinline)) void both(unsigned x) { printf("%u %u\n", added(x), existing(x)); }
		int main(int argc, char **argv) { both(argc); return 0; }`

	for _, row := range []struct{ name, text string }{
		{"before it", header + added + existing + users},
		{"behind it", header + existing + added + users},
	} {
		for _, optimise := range []string{"-O0", "-O2", "-Os"} {
			t.Run(row.name+" "+optimise, func(t *testing.T) {
				t.Parallel()
				_, obj, err := diffed(t, []string{optimise}, true, Options{}, source{"program.c", row.text})
				require.NoError(t, err)
				var copied []byte
				for _, s := range obj.Sections {
					if s.Writable {
						copied = append(copied, s.Data...)
					}
				}
				require.Equal(t, []byte{4, 0, 0, 0}, copied, "the new variable, and no copy of the existing one")
			})
		}
	}
}

// Of several static locals of one name in one function, nothing tells which is
// the new one.
func TestStaticLocalsOfOneNameInOneFunction(t *testing.T) {
	_, _, err := diffed(t, []string{"-O2"}, true, Options{}, source{"program.c", `
		__attribute__((noinline)) unsigned work(unsigned x) {
		#ifdef PATCHED
			if (x > 5) { static unsigned calls; return calls += 5; }
		#endif
			if (x > 1) { static unsigned calls; return calls += x; }
			return x;
		}
		int main(int argc, char **argv) { return work(argc); }`})
	var refusal *Refusal
	require.ErrorAs(t, err, &refusal)
	require.Contains(t, refusal.Reason, "cannot be told apart")
}
