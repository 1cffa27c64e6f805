package kernelbuild

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

// compile makes an object of C text.
func compile(t testing.TB, text string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	source, path := filepath.Join(dir, "file.c"), filepath.Join(dir, "file.o")
	require.NoError(t, os.WriteFile(source, []byte(text), 0o600))
	out, err := exec.Command("gcc", append([]string{"-c", source, "-o", path, "-fno-pie", "-mcmodel=kernel", "-O2", "-ffunction-sections", "-fcf-protection=none"}, args...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

func open(t testing.TB, path string) *object.File {
	t.Helper()
	f, err := object.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

// The configuration here has to be the one that was shipped, but for names of tools.
func TestSameConfig(t *testing.T) {
	const shipped = "CONFIG_CC_VERSION_TEXT=\"gcc-12 (Debian)\"\nCONFIG_A=y\nCONFIG_B=m\nCONFIG_PAHOLE_VERSION=124\n# CONFIG_C is not set\n"
	for name, row := range map[string]struct{ here, says string }{
		"the same":         {shipped, ""},
		"other tools":      {strings.NewReplacer("gcc-12 (Debian)", "gcc", "=124", "=0").Replace(shipped), ""},
		"one is gone":      {strings.Replace(shipped, "CONFIG_A=y\n", "", 1), "CONFIG_A: y became n"},
		"one is new":       {shipped + "CONFIG_C=y\n", "CONFIG_C: n became y"},
		"one is another":   {strings.Replace(shipped, "B=m", "B=y", 1), "CONFIG_B: m became y"},
		"a tool is absent": {shipped + "CONFIG_DEBUG_INFO_BTF=y\n", "install pahole"},
	} {
		t.Run(name, func(t *testing.T) {
			err := sameConfig([]byte(shipped), []byte(row.here))
			if row.says == "" {
				require.NoError(t, err)
				return
			}
			var differs *ConfigError
			require.ErrorAs(t, err, &differs)
			require.ErrorContains(t, err, row.says)
		})
	}
}

func TestConfigInTheKernel(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write([]byte("CONFIG_A=y\n"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	data := filepath.Join(t.TempDir(), "config.gz")
	require.NoError(t, os.WriteFile(data, packed.Bytes(), 0o600))
	f := open(t, compile(t, `asm(".section .rodata\n.ascii \"IKCFG_ST\"\n.incbin \"`+data+`\"\n.ascii \"IKCFG_ED\"");`))
	config, err := ConfigOf(f)
	require.NoError(t, err)
	assert.Equal(t, "CONFIG_A=y\n", string(config))
	config, err = ConfigOf(open(t, compile(t, "const int a = 1;")))
	require.NoError(t, err)
	assert.Nil(t, config)
	_, err = ConfigOf(open(t, compile(t, `asm(".section .rodata\n.ascii \"IKCFG_ST nothing IKCFG_ED\"");`)))
	require.ErrorContains(t, err, "the configuration in vmlinux")
}

func TestReadRelease(t *testing.T) {
	release, err := ReadRelease(open(t, compile(t, `const char linux_banner[] = "Linux version 6.1.0-54-cloud-amd64 (builder) (gcc-12) #1 SMP\n";`)))
	require.NoError(t, err)
	assert.Equal(t, "6.1.0-54-cloud-amd64", release)
	for _, text := range []string{`const char linux_banner[] = "Linux";`, "int a;"} {
		_, err = ReadRelease(open(t, compile(t, text)))
		require.ErrorContains(t, err, "does not say which kernel it is")
	}
}

// An exported symbol whose type has another sum than in the shipped kernel is refused.
func TestCheckExports(t *testing.T) {
	r := &runner{exports: map[string]diff.Export{"one": {CRC: 1}, "two": {CRC: 2}}}
	r.units = []*unit{{Source: "a.c", crcs: map[string]uint32{"one": 1, "new": 9}}}
	require.NoError(t, r.checkExports())
	r.units = append(r.units, &unit{Source: "b.c", crcs: map[string]uint32{"two": 3}})
	var refusal *diff.Refusal
	require.ErrorAs(t, r.checkExports(), &refusal)
	assert.Equal(t, []string{"b.c", "two"}, []string{refusal.Source, refusal.Function})
}

func TestPaths(t *testing.T) {
	for _, path := range []string{"/tmp/a b", "/tmp/a:b", "/tmp/$(x)", "/tmp/a;b", "/tmp/'a", "/tmp/a\nb"} {
		require.ErrorContains(t, checkPath(path), "blanks or colons", path)
		_, err := Build(t.Context(), Request{Tree: &Tree{}, WorkDir: path})
		require.ErrorContains(t, err, "blanks or colons")
	}
	require.NoError(t, checkPath("/root/.cache/syscare/builds/0f-1_2/out+x@y,z"))
}

func TestReadCommand(t *testing.T) {
	u := &unit{Source: "fs/a.c", object: "fs/a.o"}
	require.NoError(t, u.readCommand("savedcmd_fs/a.o := gcc -Wp,-MMD,fs/.a.o.d -DNAME='\"a\"' -DCOST='$$1\\#' -c -o fs/a.o /tree/fs/a.c ; ./tools/objtool/objtool --orc fs/a.o\n\n#SYMVER one 0x1234abcd\n#SYMVER two 0x1\nsource_fs/a.o := x\n"))
	assert.Equal(t, `gcc -Wp,-MMD,fs/.a.o.d -DNAME='"a"' -DCOST='$1#' -c -o fs/a.o /tree/fs/a.c ; ./tools/objtool/objtool --orc fs/a.o`, u.command)
	assert.Equal(t, map[string]uint32{"one": 0x1234abcd, "two": 1}, u.crcs)
	require.Error(t, u.readCommand("nothing\n"))
	require.Error(t, u.readCommand("cmd_fs/a.o := ld -r -o other.o x\n"))
}

// A file that the fix changes is a source or a header, is of no matter, or cannot be.
func TestKindsOfFiles(t *testing.T) {
	for name, row := range map[string]struct {
		kind, refused string
		old, removed  bool
	}{
		"fs/exec.c": {kind: ".c", old: true}, "include/linux/fs.h": {kind: ".h", old: true}, "include/linux/new.h": {kind: ".h"},
		"Documentation/x.rst": {}, "tools/perf/perf.c": {old: true}, "samples/a.c": {},
		"fs/new.c":                  {refused: "a new source file"},
		"fs/gone.c":                 {refused: "removes it", old: true, removed: true},
		"fs/Makefile":               {refused: "how the kernel is configured or built", old: true},
		"fs/Kconfig":                {refused: "how the kernel is configured or built", old: true},
		"arch/x86/a.S":              {refused: "assembler", old: true},
		"scripts/mod.c":             {refused: "the kernel's build", old: true},
		"arch/x86/entry/vdso/vma.c": {refused: "vDSO", old: true}, "arch/x86/realmode/init.c": {refused: "before the kernel", old: true},
		"arch/x86/entry/syscalls/syscall_64.tbl": {refused: "generated", old: true},
	} {
		t.Run(name, func(t *testing.T) {
			kind, err := kindOf(name, row.old, row.removed)
			if row.refused != "" {
				var refusal *diff.Refusal
				require.ErrorAs(t, err, &refusal)
				assert.Contains(t, refusal.Reason, row.refused)
				assert.Equal(t, name, refusal.Source)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, row.kind, kind)
		})
	}
}

func TestRegistration(t *testing.T) {
	made := &diff.Livepatch{Patched: []diff.PatchedObject{
		{Redirects: []diff.Redirect{{Name: "f.isra.0", Symbol: "f.isra.0"}, {Name: "user_read", Position: 2, Symbol: "user_read"}}, Hooks: map[patchobject.HookKind]string{patchobject.PreApply: "before"}},
		{Module: "xfs", Redirects: []diff.Redirect{{Name: "g", Symbol: "g"}}, Hooks: map[patchobject.HookKind]string{patchobject.PostRemove: "after"}, Places: 3},
	}}
	source, err := registrationSource(made, []string{"SPACE"})
	require.NoError(t, err)
	for _, line := range []string{
		`extern int syscare_0(struct klp_object *object) __asm__("f.isra.0");`,
		`{ .old_name = "f.isra.0", .new_func = (void *)syscare_0, .old_sympos = 0 },`,
		`{ .old_name = "user_read", .new_func = (void *)syscare_1, .old_sympos = 2 },`,
		`.callbacks.pre_patch = syscare_2,`, `.name = "xfs",`, `.callbacks.post_unpatch = clear_1,`, "\tsyscare_4(object);\n", `MODULE_IMPORT_NS(SPACE);`,
	} {
		assert.Contains(t, string(source), line)
	}
	assert.NotContains(t, string(source), ".callbacks.post_unpatch = (void *)syscare_4")
	_, err = registrationSource(&diff.Livepatch{Patched: []diff.PatchedObject{{Redirects: []diff.Redirect{{Name: "f", Symbol: "f\"); evil("}}}}}, nil)
	require.Error(t, err)
}

const referring = `
	extern int known;
	extern int early __asm__(".syscare.reference.vmlinux.vmlinux.early_2");
	extern int late __asm__(".syscare.reference.xfs.xfs.late_0");
	int f(void) { return known + early + late; }
	static const char kept[] __attribute__((section(".modinfo"), used)) = "name=x";`

// References become livepatch relocations in sections of their own; the rest stays.
func TestConvertReferences(t *testing.T) {
	data, err := os.ReadFile(compile(t, referring, "-g"))
	require.NoError(t, err)
	// A comma cannot be written in assembler.
	data = bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("early_2"), []byte("early,2")), []byte("late_0"), []byte("late,0"))
	made, err := convertReferences(data)
	require.NoError(t, err)
	f, err := object.Read(bytes.NewReader(made))
	require.NoError(t, err)
	for section, symbol := range map[string]string{
		".klp.rela.vmlinux..text.f": ".klp.sym.vmlinux.early,2", ".klp.rela.xfs..text.f": ".klp.sym.xfs.late,0", ".rela.text.f": "known",
	} {
		s := f.Section(section)
		require.NotNil(t, s, section)
		relocs, err := f.ReadRela(s)
		require.NoError(t, err)
		require.Len(t, relocs, 1)
		assert.Equal(t, symbol, relocs[0].Symbol.Name)
		assert.Equal(t, strings.HasPrefix(section, ".klp"), s.Flags&livepatchFlag != 0)
		assert.Equal(t, strings.HasPrefix(section, ".klp"), relocs[0].Symbol.Shndx == livepatchSection)
		assert.Equal(t, ".text.f", f.Sections[s.Info].Name)
	}
	assert.NotNil(t, f.Section(".modinfo"))
	assert.Nil(t, f.Section(".debug_info"))
	again, err := convertReferences(data)
	require.NoError(t, err)
	assert.Equal(t, made, again)
}

func FuzzConvertReferences(f *testing.F) {
	data, err := os.ReadFile(compile(f, referring))
	require.NoError(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		made, err := convertReferences(data)
		if err != nil {
			return
		}
		_, err = elf.NewFile(bytes.NewReader(made))
		require.NoError(t, err)
	})
}

func FuzzReadCommand(f *testing.F) {
	f.Add("cmd_fs/a.o := gcc -c -o fs/a.o a.c\n#SYMVER a 0x1\n")
	f.Fuzz(func(t *testing.T, text string) {
		u := &unit{object: "fs/a.o"}
		if u.readCommand(text) == nil {
			require.Contains(t, u.command, "fs/a.o")
		}
	})
}
