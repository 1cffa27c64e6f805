package patchobject

import (
	"debug/elf"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
)

// example is a valid patch object, as its parts.
type example struct {
	builder *object.Builder
	text    *object.BuildSection
	info    Info
	funcs   []Function
	binds   []Bind
}

func newExample() *example {
	b := object.NewBuilder(elf.EM_X86_64)
	text := b.AddSection(&object.BuildSection{
		Name: ".text.f", Type: elf.SHT_PROGBITS, Flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, Align: 16,
		Data: []byte{0xe8, 0, 0, 0, 0, 0xc3},
	})
	b.AddSymbol(&object.BuildSymbol{Name: "f", Section: text, Size: 6, Bind: elf.STB_LOCAL, Type: elf.STT_FUNC})
	outside := b.AddSymbol(&object.BuildSymbol{Name: "puts", Bind: elf.STB_GLOBAL})
	text.Relocs = []object.BuildReloc{{Offset: 1, Type: uint32(elf.R_X86_64_PLT32), Symbol: outside, Addend: -4}}
	code := []byte{1, 2, 3, 4, 5, 6}
	return &example{
		builder: b, text: text,
		info: Info{
			UUID: "980fa0d0-e753-447c-8494-01de595f35d0", Entity: "server", TargetID: "abcd", TargetName: "server", Arch: "x86_64",
		},
		funcs: []Function{{
			Name: "f", Source: "f.c", Kind: Replaced, OldAddress: 0x1000, OldSize: 6, Symbol: "f", NewSize: 6,
			Code: code, Holes: []Hole{{Offset: 1, Length: 4}}, Digest: Digest(code),
		}},
		binds: []Bind{{Symbol: "puts", Kind: BindDynamic, Name: "puts", Type: Func}},
	}
}

func (e *example) encode() ([]byte, error) { return Encode(e.builder, e.info, e.funcs, e.binds) }

func TestWhatIsEncodedIsParsed(t *testing.T) {
	e := newExample()
	data, err := e.encode()
	require.NoError(t, err)
	obj, err := Parse(data)
	require.NoError(t, err)
	e.info.Format = FormatVersion
	require.Equal(t, e.info, obj.Info)
	require.Equal(t, e.funcs, obj.Funcs)
	require.Equal(t, e.binds[0], obj.Binds["puts"])
	require.Equal(t, []Reloc{{Offset: 1, Type: uint32(elf.R_X86_64_PLT32), Addend: -4, Bind: "puts"}}, obj.Sections[0].Relocs)
	require.Equal(t, Symbol{Name: "f", Size: 6, Func: true}, obj.Symbols["f"])
}

func TestBrokenRulesAreRefused(t *testing.T) {
	for _, row := range []struct {
		name, reason string
		spoil        func(*example)
	}{
		{"a UUID in capitals", "canonical", func(e *example) { e.info.UUID = strings.ToUpper(e.info.UUID) }},
		{"no build ID", "build ID", func(e *example) { e.info.TargetID = "" }},
		{"another processor", "architecture", func(e *example) { e.info.Arch = "vax" }},
		{"no function", "no function is replaced", func(e *example) { e.funcs = nil }},
		{"code that is not what its digest says", "digest", func(e *example) { e.funcs[0].Code = []byte{9, 9, 9, 9, 9, 9} }},
		{"less code than the size says", "bytes of code", func(e *example) { e.funcs[0].OldSize = 7 }},
		{"a hole outside", "hole", func(e *example) { e.funcs[0].Holes[0].Length = 6 }},
		{"an address range that wraps", "wraps", func(e *example) { e.funcs[0].OldAddress = ^object.Address(0) - 2 }},
		{"functions that overlap", "overlap", func(e *example) {
			second := e.funcs[0]
			second.Name, second.OldAddress = "g", 0x1003
			e.funcs = append(e.funcs, second)
		}},
		{"new code that is not there", "not there", func(e *example) { e.funcs[0].Symbol = "g" }},
		{"an unknown kind of function", "kind", func(e *example) { e.funcs[0].Kind = "extended" }},
		{"a symbol without a bind", "no bind", func(e *example) { e.binds = nil }},
		{"a bind without a symbol", "no undefined symbol", func(e *example) {
			e.binds = append(e.binds, Bind{Symbol: "x", Kind: BindTarget, Name: "x", Type: Data})
		}},
		{"a bind twice", "twice", func(e *example) { e.binds = append(e.binds, e.binds[0]) }},
		{"an unknown kind of bind", "kind", func(e *example) { e.binds[0].Kind = "magic" }},
		{"memory that is writable and executable", "both writable and executable", func(e *example) { e.text.Flags |= elf.SHF_WRITE }},
		{"thread-local data", "thread-local", func(e *example) { e.text.Flags = elf.SHF_ALLOC | elf.SHF_TLS }},
		{"more memory than allowed", "more than", func(e *example) {
			e.builder.AddSection(&object.BuildSection{Name: ".bss", Type: elf.SHT_NOBITS, Flags: elf.SHF_ALLOC | elf.SHF_WRITE, Size: MaxSize})
		}},
		{"a relocation outside its section", "not valid", func(e *example) { e.text.Relocs[0].Offset = 6 }},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := newExample()
			row.spoil(e)
			_, err := e.encode()
			require.ErrorIs(t, err, ErrCorrupt)
			require.ErrorContains(t, err, row.reason)
		})
	}
}

func TestUnknownMembersAreRefused(t *testing.T) {
	e := newExample()
	data, err := e.encode()
	require.NoError(t, err)
	_, err = Parse([]byte(strings.Replace(string(data), `"entity"`, `"entitz"`, 1)))
	require.ErrorIs(t, err, ErrCorrupt)
}

func FuzzParse(f *testing.F) {
	data, err := newExample().encode()
	require.NoError(f, err)
	f.Add(data)
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = Parse(data) })
}
