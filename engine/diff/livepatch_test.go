package diff

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

// kernelSizes are those of the structures in testdata/kernel/kernel.h.
var kernelSizes = map[string]int{"bug_entry": 12, "jump_entry": 16, "alt_instr": 12}

// kernelUnit is one C file of a small kernel; its fix is compiled with -DPATCHED.
type kernelUnit struct {
	name, text string
	module     string
}

// A kernel always has these.
const kernelBase = `
void notrace __fentry__(void) { asm(""); }
int printk(const char *text, ...) { return !text; }
EXPORT_SYMBOL(__fentry__);
EXPORT_SYMBOL(printk);
void *text_poke(void *at) { return at; }
void text_poke_sync(void) { asm(""); }
int text_mutex = 1;`

// livepatched compiles units as a kernel's build does, links those without a module to a
// kernel, and compares the ones that have a fix.
func livepatched(t testing.TB, units ...kernelUnit) (*Livepatch, *object.File, error) {
	t.Helper()
	target, compared := compiledKernel(t, t.TempDir(), units...)
	made, err := BuildLivepatch(target, compared, Options{})
	if err != nil {
		return nil, nil, err
	}
	f, err := object.Read(newReader(made.Object))
	require.NoError(t, err)
	return made, f, nil
}

func compiledKernel(t testing.TB, dir string, units ...kernelUnit) (KernelTarget, []KernelUnit) {
	t.Helper()
	return compiledKernelFor(t, dir, Kernel{Sizes: kernelSizes}, units...)
}

func compiledKernelFor(t testing.TB, dir string, k Kernel, units ...kernelUnit) (KernelTarget, []KernelUnit) {
	t.Helper()
	flags := []string{"-g", "-O2", "-c", "-Itestdata/kernel", "-include", "kernel.h", "-pg", "-mfentry", "-mrecord-mcount", "-fno-pie", "-mcmodel=kernel",
		"-fno-asynchronous-unwind-tables", "-fno-stack-protector", "-fno-jump-tables"}
	if k.IBT {
		flags = append(flags, "-fcf-protection=branch", "-fpatchable-function-entry=16,16")
	} else {
		flags = append(flags, "-fcf-protection=none")
	}
	flags = slices.Clip(flags)
	target := KernelTarget{Kernel: k, Modules: map[string]*object.File{}}
	var linked []string
	var compared []KernelUnit
	for _, u := range append([]kernelUnit{{name: "base.c", text: kernelBase}}, units...) {
		path := filepath.Join(dir, u.name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(u.text), 0o644))
		name := strings.ReplaceAll(u.name, "/", "-")
		args := slices.Clip(append(flags, path))
		plain := compile(t, dir, name+".o", args...)
		recorded := plain
		if k.IBT { // objtool has run over the kernel, not over its objects
			args = slices.Clip(append(args, "-DRAW"))
			recorded = compile(t, dir, name+".raw.o", args...)
		}
		sections := slices.Clip(append(args, "-ffunction-sections", "-fdata-sections"))
		if u.module == "" {
			linked = append(linked, plain)
		} else {
			target.Modules[u.module] = open(t, plain)
		}
		if !strings.Contains(u.text, "PATCHED") {
			continue
		}
		compared = append(compared, KernelUnit{Module: u.module, Unit: Unit{
			Source: u.name, Recorded: open(t, recorded),
			Original: open(t, compile(t, dir, name+".original.o", sections...)),
			Patched:  open(t, compile(t, dir, name+".patched.o", append(sections, "-DPATCHED")...)),
		}})
	}
	kernel := filepath.Join(dir, "vmlinux")
	run(t, "ld", append([]string{"-o", kernel, "-e", "0", "-Ttext=0xffffffff81000000", "--build-id", "-z", "noexecstack"}, linked...)...)
	target.Vmlinux = open(t, kernel)
	return target, compared
}

// undefined lists what an object refers to outside of itself.
func undefined(f *object.File) (names []string) {
	for _, s := range f.Symbols {
		if s.Section == nil && s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return names
}

// Of a name that is local and global, the position counts all symbols in the order of
// their addresses, and what refers to the other one goes on doing so.
func TestPositionOfASymbol(t *testing.T) {
	global := kernelUnit{name: "keys/user.c", text: `int noinline user_read(int x) { return x + 1; }`}
	local := kernelUnit{name: "selinux/policy.c", text: `
		static int noinline user_read(int x) { return x
		#ifdef PATCHED
			* 2
		#endif
		; }
		int policy(int x) { return user_read(x) + 1; }`}
	for name, row := range map[string]struct {
		units    []kernelUnit
		position int
	}{
		"the global one before": {[]kernelUnit{global, local}, 2},
		"the global one behind": {[]kernelUnit{local, global}, 1},
		"no other":              {[]kernelUnit{local}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			made, _, err := livepatched(t, row.units...)
			require.NoError(t, err)
			require.Len(t, made.Patched, 1)
			assert.Equal(t, []Redirect{{Name: "user_read", Position: row.position, Symbol: "user_read"}}, made.Patched[0].Redirects)
		})
	}
}

// specialFunctions are functions with entries in the tables beside the code.
const specialFunctions = `
	struct static_key ours, theirs;
	int noinline changed(int x)
	{
		BUG_ON(x == 7);
		ALTERNATIVE("nop", "call printk");
		if (STATIC_BRANCH(ours))
			return 3;
	#ifdef PATCHED
		x++;
	#endif
		return x * 2;
	}
	int noinline other(int x)
	{
		BUG_ON(x == 8);
		BUG_ON(x == 9);
		ALTERNATIVE("nop", "call other_one");
		return STATIC_BRANCH(theirs) + x;
	}
	int noinline other_one(int x) { BUG_ON(x); return x; }
	int use(int x) { return changed(x) + other(x); }`

// The entries of the tables beside the code come with the functions that they are about,
// and no others.
func TestSpecialSections(t *testing.T) {
	made, f, err := livepatched(t, kernelUnit{name: "a.c", text: specialFunctions})
	require.NoError(t, err)
	require.Equal(t, []string{"changed"}, made.Functions())
	for name, size := range map[string]uint64{"__bug_table": 12, "__jump_table": 16, ".altinstructions": 12, "__mcount_loc": 8, ".altinstr_replacement": 5} {
		s := f.Section(name)
		require.NotNil(t, s, name)
		assert.Equal(t, size, s.Size, name)
		relocs, err := f.Relocs(s)
		require.NoError(t, err)
		if name != ".altinstr_replacement" {
			assert.Equal(t, ".text.changed", relocs[0].Symbol.Section.Name, name)
		}
	}
	assert.Contains(t, undefined(f), ".syscare.reference.vmlinux.vmlinux.ours,0")
	assert.NotContains(t, strings.Join(undefined(f), " "), "theirs")
	assert.Contains(t, undefined(f), "printk", "what is exported has its own name")
	assert.Equal(t, []string{"__fentry__", "printk"}, made.Exports)
}

// A function without the call that tracers use is replaced by replacing those that call it.
func TestCallersOfUntraceableFunctions(t *testing.T) {
	const body = `
		static int notrace noinline inner(int x) { return x
		#ifdef PATCHED
			+ 5
		#endif
		; }`
	made, f, err := livepatched(t, kernelUnit{name: "a.c", text: body + `
		int noinline one(int x) { return inner(x) * 2; }
		int noinline two(int x) { return inner(x) * 3; }
		int noinline three(int x) { return one(x) * 3; }`})
	require.NoError(t, err)
	assert.Equal(t, []string{"one", "two"}, made.Functions())
	require.NotNil(t, f.Section(".text.inner"))
	reasons := map[string]Reason{}
	for _, c := range made.Contents {
		reasons[c.Name] = c.Reason
	}
	assert.Equal(t, map[string]Reason{"inner": Changed, "one": Caller, "two": Caller}, map[string]Reason{"inner": Changed, "one": reasons["one"], "two": reasons["two"]})

	for name, text := range map[string]string{
		"its address is taken": body + `int (*pointer)(int) = inner; int noinline one(int x) { return inner(x) * 2; }`,
		"others may call it":   strings.Replace(body, "static", "", 1) + `int one(int x) { return inner(x) * 2; }`,
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := livepatched(t, kernelUnit{name: "a.c", text: text})
			var refusal *Refusal
			require.ErrorAs(t, err, &refusal)
			assert.Equal(t, "inner", refusal.Function)
			assert.Contains(t, refusal.Reason, "notrace")
		})
	}
}

func TestLivepatchRefusals(t *testing.T) {
	const f = `int noinline f(int x) { return x; }`
	for name, row := range map[string]struct {
		unit     kernelUnit
		function string
		reason   string
	}{
		"an __init function": {kernelUnit{name: "a.c", text: f + `
			int __init first(int x) { return x; }
			int __init second(int x) { return x
			#ifdef PATCHED
				+ 1
			#endif
			; }`}, "second", "__init function"},
		"a static key": {kernelUnit{name: "a.c", text: `
			struct static_key key = {
			#ifdef PATCHED
				1
			#else
				2
			#endif
			}; int f(void) { return STATIC_BRANCH(key); }`}, "key", "static key"},
		"data": {kernelUnit{name: "a.c", text: f + `
			#ifdef PATCHED
			int limit = 5;
			#else
			int limit = 4;
			#endif
			int use(void) { return limit; }`}, "limit", "initial value of existing data changed"},
		"a section with several functions": {kernelUnit{name: "a.c", text: `
			#define __sched __attribute__((section(".sched.text"))) noinline
			int __sched one(int x) { return x; }
			int __sched two(int x) { return x
			#ifdef PATCHED
				+ 1
			#endif
			; }`}, "two", "together with other functions"},
		"a table for the start": {kernelUnit{name: "a.c", text: f + `
			#ifdef PATCHED
			static void *call __attribute__((section(".initcall6.init"), used)) = f;
			#endif
			`}, "call", "is for the start"},
		"what the kernel does not have": {kernelUnit{name: "a.c", text: `
			int missing(void);
			int f(void) { return 0
			#ifdef PATCHED
				+ missing()
			#endif
			; }`}, "f", `it refers to "missing"`},
		"the static key of a module": {kernelUnit{name: "m.c", module: "m", text: `
			struct static_key key; int noinline f(int x) { return STATIC_BRANCH(key) + x
			#ifdef PATCHED
				+ 1
			#endif
			; }`}, "f", "static key"},
		"what the kernel does not export": {kernelUnit{name: "m.c", module: "m", text: `
			int inner(void); int noinline f(int x) { return x
			#ifdef PATCHED
				+ inner()
			#endif
			; }`}, "f", "does not export"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := livepatched(t, row.unit, kernelUnit{name: "inner.c", text: "int inner(void) { return 1; }"})
			var refusal *Refusal
			require.ErrorAs(t, err, &refusal)
			assert.Equal(t, row.function, refusal.Function)
			assert.Contains(t, refusal.Reason, row.reason)
		})
	}
}

// Variables in a section that the source names are told apart: a new one is no change of
// the others, and the memory of a warning may be a new one.
func TestVariablesOfOneSection(t *testing.T) {
	made, f, err := livepatched(t, kernelUnit{name: "a.c", text: `
		#define warn_once(text) ({ static char __already_done __attribute__((section(".data.once"))); if (!__already_done) { __already_done = 1; printk(text); } })
		int first __read_mostly = 1;
		#ifdef PATCHED
		int added __read_mostly = 7;
		#endif
		int second __read_mostly = 2;
		int noinline f(int x)
		{
			warn_once("one");
		#ifdef PATCHED
			warn_once("two");
			x += added;
		#endif
			warn_once("three");
			return x + second;
		}
		int noinline g(int x) { warn_once("four"); return x + first; }`})
	require.NoError(t, err)
	assert.Equal(t, []string{"f"}, made.Functions())
	names := undefined(f)
	assert.Contains(t, names, ".syscare.reference.vmlinux.vmlinux.second,0")
	assert.NotContains(t, strings.Join(names, " "), "first")
	s := f.Section(".data..read_mostly")
	require.NotNil(t, s)
	data, err := s.Bytes()
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(data), 4)
	assert.Equal(t, uint32(7), binary.LittleEndian.Uint32(data))
}

// What a fix exports is no part of the patch, which is said.
func TestNewExports(t *testing.T) {
	const export = `asm(".pushsection ___ksymtab+f,\"a\"\n.long f - .\n.popsection");`
	made, _, err := livepatched(t, kernelUnit{name: "a.c", text: "int noinline f(int x) { return x\n#ifdef PATCHED\n+ 1\n#endif\n; }\n#ifdef PATCHED\n" + export + "\n#endif"})
	require.NoError(t, err)
	require.Len(t, made.Notes, 1)
	require.Contains(t, made.Notes[0], "a.c: the fix exports f to modules")
}

// A module's own symbols are filled in when it is there, those of the kernel at once.
func TestModuleReferences(t *testing.T) {
	made, f, err := livepatched(t,
		kernelUnit{name: "core.c", text: "int core(int x) { return x; } EXPORT_SYMBOL(core);"},
		kernelUnit{name: "lib.c", module: "lib", text: "int shared(int x) { return x; }"},
		kernelUnit{name: "m.c", module: "m", text: `
			int core(int), shared(int);
			static int state;
			int noinline f(int x) { return core(x) + shared(++state)
			#ifdef PATCHED
				+ 1
			#endif
			; }`})
	require.NoError(t, err)
	require.Len(t, made.Patched, 1)
	assert.Equal(t, "m", made.Patched[0].Module)
	assert.Subset(t, undefined(f), []string{"__fentry__", "core", ".syscare.reference.m.lib.shared,0", ".syscare.reference.m.m.state,0"})
	places := f.Section(".rodata." + PlacesPrefix + "m")
	require.NotNil(t, places, "what is to be cleared when the module goes")
	relocs, err := f.Relocs(places)
	require.NoError(t, err)
	assert.Len(t, relocs, made.Patched[0].Places)
	code, err := f.Relocs(f.Section(".text.f"))
	require.NoError(t, err)
	var late []uint64
	for _, r := range code {
		if strings.HasPrefix(r.Symbol.Name, ".syscare.reference.m.") {
			late = append(late, r.Offset)
		}
	}
	for i, r := range relocs {
		assert.Equal(t, late[i], uint64(r.Addend))
	}
	reached, name, ok := ParseReference(".syscare.reference.m.lib.shared,0")
	assert.Equal(t, []any{"m", "lib.shared,0", true}, []any{reached, name, ok})
}

// Where there is no code to compare with, it is said that sizes had to do.
func TestShippedBySize(t *testing.T) {
	dir := t.TempDir()
	target, units := compiledKernel(t, dir, kernelUnit{name: "m.c", module: "m", text: "int noinline f(int x) { return x\n#ifdef PATCHED\n+ 1\n#endif\n; }"})
	made, err := BuildLivepatch(target, units, Options{})
	require.NoError(t, err)
	require.Empty(t, made.Notes)
	require.Contains(t, strings.Join(made.Checks, "\n"), "all functions of 1 files, compiled here as they were then")

	debug := filepath.Join(dir, "m.ko.debug")
	run(t, "objcopy", "--only-keep-debug", filepath.Join(dir, "m.c.o"), debug)
	target.Modules["m"] = open(t, debug)
	made, err = BuildLivepatch(target, units, Options{})
	require.NoError(t, err)
	require.Len(t, made.Notes, 1)
	require.Contains(t, made.Notes[0], "m.c: there is no code in the debuginfo")
	require.NotContains(t, strings.Join(made.Checks, "\n"), "compiled here as they were then")
}

func TestLivepatchHooks(t *testing.T) {
	hook := func(kind string) string {
		return `int (*hook_` + kind + `)(void) __attribute__((used, section(".syscare.hook.` + kind + `"))) = hook;`
	}
	text := `
		int noinline f(int x) { return x
		#ifdef PATCHED
			+ 1
		#endif
		; }
		#ifdef PATCHED
		static int hook(void) { return printk("hook"); }
		HOOKS
		#endif`
	made, _, err := livepatched(t, kernelUnit{name: "a.c", text: strings.Replace(text, "HOOKS", hook("pre_apply")+hook("post_remove"), 1)})
	require.NoError(t, err)
	assert.Equal(t, map[patchobject.HookKind]string{patchobject.PreApply: "hook", patchobject.PostRemove: "hook"}, made.Patched[0].Hooks)
	second := `int (*again)(void) __attribute__((used, section(".syscare.hook.pre_apply"))) = hook;`
	for says, text := range map[string]string{
		"no hooks of the kind":                             strings.Replace(text, "HOOKS", hook("no_such"), 1),
		`a second hook of the kind "pre_apply"`:            strings.Replace(text, "HOOKS", hook("pre_apply")+second, 1),
		"a hook (pre_apply) where no function is replaced": strings.Replace(strings.Replace(text, "+ 1", "", 1), "HOOKS", hook("pre_apply"), 1),
	} {
		_, _, err = livepatched(t, kernelUnit{name: "a.c", text: text})
		require.ErrorContains(t, err, says)
	}
}

// What does not compile to the code that was shipped is not patched.
func TestOtherCodeThanShipped(t *testing.T) {
	dir := t.TempDir()
	flags := []string{"-g", "-O2", "-c", "-Itestdata/kernel", "-include", "kernel.h", "-pg", "-mfentry", "-mrecord-mcount", "-fno-pie", "-mcmodel=kernel", "-fno-asynchronous-unwind-tables", "-fcf-protection=none"}
	flags = slices.Clip(flags)
	const text = kernelBase + `
		int helper(int x) { return x; }
		int noinline f(int x) { return helper(x) + FACTOR; }
		int noinline g(int x) { return x
		#ifdef PATCHED
			+ 1
		#endif
		; }`
	source := filepath.Join(dir, "a.c")
	require.NoError(t, os.WriteFile(source, []byte(text), 0o644))
	shipped := compile(t, dir, "shipped.o", append(flags, source, "-DFACTOR=2")...)
	kernel := filepath.Join(dir, "vmlinux")
	run(t, "ld", "-o", kernel, "-e", "0", "-Ttext=0xffffffff81000000", "--build-id", "-z", "noexecstack", shipped)
	for factor, same := range map[string]bool{"2": true, "3": false} {
		args := slices.Clip(append(flags, source, "-DFACTOR="+factor))
		sections := slices.Clip(append(args, "-ffunction-sections", "-fdata-sections"))
		_, err := BuildLivepatch(KernelTarget{Kernel: Kernel{Sizes: kernelSizes}, Vmlinux: open(t, kernel)}, []KernelUnit{{Unit: Unit{
			Source: "a.c", Recorded: open(t, compile(t, dir, "recorded.o", args...)), Original: open(t, compile(t, dir, "original.o", sections...)),
			Patched: open(t, compile(t, dir, "patched.o", append(sections, "-DPATCHED")...)),
		}}}, Options{})
		if same {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "1 functions compile to other code than was shipped (f)")
	}
}

func TestReadExports(t *testing.T) {
	_, _, err := livepatched(t, kernelUnit{name: "a.c", text: "int f(int x) { return x\n#ifdef PATCHED\n+1\n#endif\n; }"})
	require.NoError(t, err)
	dir := t.TempDir()
	f := open(t, compile(t, dir, "none.o", "-c", "-x", "c", "/dev/null"))
	_, err = ReadExports(f)
	require.ErrorContains(t, err, "exports nothing")
}
