package diff

import (
	"fmt"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

// codeOf returns the code of the function that like names in this object, with
// what the linker fills in set to zero and listed as holes.
func (u *unit) codeOf(like *object.Symbol) ([]byte, []patchobject.Hole, error) {
	for _, s := range u.file.Symbols {
		n := u.bySection[s.Section]
		if s.Name != like.Name || s.Type != like.Type || s.Section == nil || n == nil || !n.isFunction() {
			continue
		}
		if s.Value > uint64(len(n.data)) || s.Size > uint64(len(n.data))-s.Value {
			return nil, nil, fmt.Errorf("symbol %q lies outside its section", s.Name)
		}
		code := append([]byte(nil), n.data[s.Value:s.Value+s.Size]...)
		var holes []patchobject.Hole
		for _, r := range n.relocs {
			if r.Offset < s.Value || r.Offset >= s.Value+s.Size {
				continue
			}
			before, after := 16, 16 // more than any sequence that linkers rewrite
			if typ, err := u.arch.Reloc(r.Type); err == nil {
				before, after = typ.Before, typ.After
			}
			at := int(r.Offset - s.Value)
			start, end := max(at-before, 0), min(at+after, len(code))
			clear(code[start:end])
			holes = append(holes, patchobject.Hole{Offset: uint32(start), Length: uint32(end - start)})
		}
		return code, holes, nil
	}
	return nil, nil, fmt.Errorf("the object that the target was built from has no function %q", like.Name)
}
