package diff

import (
	"debug/dwarf"
	"encoding/binary"
	"fmt"
	"path"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// malformed makes an error of a panic of the standard library's reader, or of ours, on
// debug information that no compiler writes. It is to be deferred.
func malformed(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("malformed debug information: %v", r)
	}
}

// compileUnit is what the debug information says of one translation unit.
type compileUnit struct {
	name    string            // source with the directory of compilation
	address map[string]uint64 // of its functions and static variables by name
}

// compileUnitName reads the source name of the first C unit of an object.
func compileUnitName(f *object.File) (name string, language int64) {
	entries, err := f.Entries()
	if err != nil {
		return "", 0
	}
	entry, err := entries.Next()
	if err != nil || entry == nil {
		return "", 0
	}
	// An object's strings are in the object.
	name, language, _ = unitIdentity(f, entry)
	return name, language
}

func unitIdentity(f *object.File, entry *dwarf.Entry) (name string, language int64, err error) {
	if name, err = f.Text(entry, dwarf.AttrName); err != nil {
		return "", 0, err
	}
	dir, err := f.Text(entry, dwarf.AttrCompDir)
	if err != nil {
		return "", 0, err
	}
	language, _ = entry.Val(dwarf.AttrLanguage).(int64)
	if !path.IsAbs(name) {
		name = path.Join(dir, name)
	}
	return path.Clean(name), language, nil
}

// settleByDebugInfo keeps, of several STT_FILE groups, those whose functions
// are those of the compile unit with the same source. The directory of
// compilation may have been rewritten, so the longest common tail counts.
func (t *target) settleByDebugInfo(p *pair, groups []int) ([]int, error) {
	source, _ := compileUnitName(p.original.file)
	if source == "" {
		return groups, nil
	}
	if t.units == nil {
		units, err := t.readUnits()
		if err != nil {
			return nil, err
		}
		t.units = units
	}
	var best *compileUnit
	bestTail, tie := 0, false
	units := t.units[path.Base(source)]
	for i := range units {
		switch tail := commonTail(units[i].name, source); {
		case tail > bestTail:
			best, bestTail, tie = &units[i], tail, false
		case tail == bestTail:
			tie = true
		}
	}
	if best == nil || tie {
		return groups, nil
	}
	var kept []int
	for _, index := range groups {
		matches := 0
		for name, symbols := range t.locals[index] {
			for _, s := range symbols {
				if address, ok := best.address[name]; ok && address == s.Value {
					matches++
				}
			}
		}
		if matches > 0 {
			kept = append(kept, index)
		}
	}
	return kept, nil
}

// commonTail counts the path elements at the end that a and b share.
func commonTail(a, b string) int {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	n := 0
	for n < len(as) && n < len(bs) && as[len(as)-1-n] == bs[len(bs)-1-n] {
		n++
	}
	return n
}

// readUnits lists the compile units of the target with the addresses of their
// functions and static variables.
func (t *target) readUnits() (map[string][]compileUnit, error) {
	units := map[string][]compileUnit{}
	r, err := t.file.Entries()
	if err != nil {
		return nil, err
	}
	var current *compileUnit
	flush := func() {
		if current != nil {
			base := path.Base(current.name)
			units[base] = append(units[base], *current)
		}
	}
	for {
		entry, err := r.Next()
		if err != nil {
			return nil, err
		}
		if entry == nil {
			break
		}
		switch entry.Tag {
		case dwarf.TagCompileUnit:
			flush()
			name, _, err := unitIdentity(t.file, entry)
			if err != nil {
				return nil, err
			}
			current = &compileUnit{name: name, address: map[string]uint64{}}
		case dwarf.TagSubprogram:
			name, err := t.file.Text(entry, dwarf.AttrName)
			if err != nil {
				return nil, err
			}
			if low, ok := entry.Val(dwarf.AttrLowpc).(uint64); ok && current != nil && name != "" {
				current.address[name] = low
			}
			r.SkipChildren()
		case dwarf.TagVariable:
			name, err := t.file.Text(entry, dwarf.AttrName)
			if err != nil {
				return nil, err
			}
			location, _ := entry.Val(dwarf.AttrLocation).([]byte)
			const opAddr = 0x03
			if len(location) == 9 && location[0] == opAddr && current != nil && name != "" {
				current.address[name] = binary.LittleEndian.Uint64(location[1:])
			}
		default:
			if entry.Tag != dwarf.TagNamespace {
				r.SkipChildren()
			}
		}
	}
	flush()
	return units, nil
}
