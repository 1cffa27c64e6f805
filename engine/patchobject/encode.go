package patchobject

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/openeuler/syscare/engine/object"
)

// Digest gives Function.Digest for code.
func Digest(code []byte) string {
	sum := sha256.Sum256(code)
	return hex.EncodeToString(sum[:])
}

// Encode adds the format's own sections to b, which holds the ordinary
// sections and all symbols, writes the file, and reads it back with Parse, so
// that nothing leaves this package that it would not accept.
func Encode(b *object.Builder, info Info, funcs []Function, binds []Bind) ([]byte, error) {
	info.Format = FormatVersion
	for _, part := range []struct {
		name  string
		value any
	}{{InfoSection, info}, {FuncsSection, funcs}, {BindsSection, binds}} {
		data, err := json.MarshalIndent(part.value, "", " ")
		if err != nil {
			return nil, fmt.Errorf("section %q: %w", part.name, err)
		}
		b.AddSection(&object.BuildSection{Name: part.name, Type: elf.SHT_PROGBITS, Align: 1, Data: data})
	}
	data, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	if _, err := Parse(data); err != nil {
		return nil, fmt.Errorf("patch object just written: %w", err)
	}
	return data, nil
}
