package diff

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
)

// ibtKernel is one whose processor checks indirect branches.
var ibtKernel = Kernel{Sizes: kernelSizes, IBT: true}

// A function is called by its address only where the shipped kernel lets it be.
func TestAddressesThatIndirectCallsMayReach(t *testing.T) {
	const elsewhere = `
		int noinline sealed(int x) { return x + 2; }
		int noinline reached(int x) { return x + 3; }
		int (*existing)(int) = reached;
		SEAL(sealed);`
	const text = `
		int sealed(int x), reached(int x);
		int (*pointer)(int);
		static int noinline hidden(int x) { asm(""); return x + 1; }
		static int noinline taken(int x) { asm(""); return x + 4; }
		int (*already)(int) = taken;
		int noinline direct(int x) { return hidden(x) + sealed(x) + reached(x); }
		int noinline changed(int x);
		#ifdef PATCHED
		static int noinline added(int x) { asm(""); return hidden(x); }
		#endif
		int noinline changed(int x)
		{
		#ifdef PATCHED
			pointer = POINTER;
			return hidden(sealed(x));
		#endif
			return x;
		}`
	for pointer, refused := range map[string]bool{"hidden": true, "sealed": true, "reached": false, "taken": false, "added": false, "changed": false} {
		t.Run(pointer, func(t *testing.T) {
			target, units := compiledKernelFor(t, t.TempDir(), ibtKernel, kernelUnit{name: "b.c", text: elsewhere}, kernelUnit{name: "a.c", text: "#define POINTER " + pointer + text})
			_, err := BuildLivepatch(target, units, Options{})
			if !refused {
				require.NoError(t, err)
				return
			}
			var refusal *Refusal
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, "changed", refusal.Function)
			require.ErrorContains(t, err, `it takes the address of "`+pointer+`", which nothing did in the kernel that was shipped`)
		})
	}
}

// The same in a module, whose list is of relocations.
func TestAddressesInAModule(t *testing.T) {
	const text = `
		int (*pointer)(int);
		int noinline sealed(int x) { return x + 2; }
		int noinline reached(int x) { return x + 3; }
		SEAL(sealed);
		int noinline changed(int x)
		{
		#ifdef PATCHED
			pointer = POINTER;
		#endif
			return sealed(x) + reached(x);
		}`
	for pointer, refused := range map[string]bool{"sealed": true, "reached": false} {
		t.Run(pointer, func(t *testing.T) {
			target, units := compiledKernelFor(t, t.TempDir(), ibtKernel, kernelUnit{name: "a.c", module: "mod", text: "#define POINTER " + pointer + text})
			_, err := BuildLivepatch(target, units, Options{})
			require.Equal(t, refused, err != nil, err)
		})
	}
}

// Where objtool runs over the whole kernel, objects have jumps that are nops in what was
// shipped; what it lists is left to its run over the module.
func TestObjtoolRunsOverTheWhole(t *testing.T) {
	const text = `
		struct static_key key;
		int noinline changed(int x)
		{
			RETURN_SITE;
			BUG_ON(x == 7);
			if (BRANCH(key))
				return printk("on");
		#ifdef PATCHED
			x++;
		#endif
			return x * 2;
		}`
	target, units := compiledKernelFor(t, t.TempDir(), ibtKernel, kernelUnit{name: "a.c", text: "#define BRANCH MARKED_BRANCH" + text})
	made, err := BuildLivepatch(target, units, Options{})
	require.NoError(t, err)
	f, err := object.Read(newReader(made.Object))
	require.NoError(t, err)
	assert.NotNil(t, f.Section("__jump_table"))
	assert.NotNil(t, f.Section("__bug_table"))
	assert.Nil(t, f.Section(".return_sites"))
	require.Len(t, made.Patched, 1)
	assert.Equal(t, []Redirect{{Name: "changed", Symbol: "changed"}}, made.Patched[0].Redirects)
	for _, s := range f.Symbols {
		if s.Name == "changed" {
			assert.EqualValues(t, 16, s.Value, "the room before it comes along")
		}
	}

	_, f, err = livepatched(t, kernelUnit{name: "a.c", text: "#define BRANCH STATIC_BRANCH" + text})
	require.NoError(t, err)
	assert.NotNil(t, f.Section(".return_sites"), "where it runs over each object they are there")

	target, units = compiledKernelFor(t, t.TempDir(), ibtKernel, kernelUnit{name: "a.c", text: "#define BRANCH(key) ({ asm volatile(MARKED_NOTHING); x == 9; })\n" +
		"#ifdef RAW\n#define MARKED_NOTHING \".byte 0xeb, 0\"\n#else\n#define MARKED_NOTHING \".byte 0x66, 0x90\"\n#endif\n" + text})
	_, err = BuildLivepatch(target, units, Options{})
	require.ErrorContains(t, err, "1 functions compile to other code than was shipped (changed)", "a jump that nothing marks")
}
