package object

import (
	"debug/dwarf"
	"debug/elf"
	"testing"

	"github.com/stretchr/testify/require"
)

const described = `
#include <stdio.h>
struct point { int x, y; struct point *next; };
static __thread int mine = 4;
int shared;
static struct point points[3];
static inline int sum(const struct point *p) { return p->x + p->y + mine; }
int main(void) { printf("%d\n", sum(points) + shared); return 0; }`

// Debug information is what the standard library reads, in every form that compilers
// write it in.
func TestDebugInformation(t *testing.T) {
	for name, flags := range map[string][]string{
		"object":            {"-c", "-g"},
		"object, DWARF 4":   {"-c", "-gdwarf-4", "-O2"},
		"object, sections":  {"-c", "-g3", "-O2", "-ffunction-sections", "-fdata-sections"},
		"program":           {"-g", "-O2"},
		"DWARF 2":           {"-gdwarf-2", "-gstrict-dwarf"},
		"DWARF 4":           {"-gdwarf-4"},
		"old type units":    {"-gdwarf-4", "-fdebug-types-section"},
		"64 bits wide":      {"-g", "-gdwarf64"},
		"compressed":        {"-g", "-gz"},
		"compressed of old": {"-g", "-gz=zlib-gnu"},
	} {
		t.Run(name, func(t *testing.T) {
			path := compile(t, described, flags...)
			f, err := Open(path)
			require.NoError(t, err)
			defer f.Close()
			ours, err := f.DWARF()
			require.NoError(t, err)
			raw, err := elf.Open(path)
			require.NoError(t, err)
			defer raw.Close()
			theirs, err := raw.DWARF()
			require.NoError(t, err)

			var units []dwarf.Offset
			a, b := ours.Reader(), theirs.Reader()
			for {
				x, errX := a.Next()
				y, errY := b.Next()
				require.NoError(t, errX)
				require.NoError(t, errY)
				require.Equal(t, y, x)
				if x == nil {
					break
				}
				if x.Tag == dwarf.TagCompileUnit || x.Tag == dwarf.TagTypeUnit {
					units = append(units, x.Offset)
				}
			}
			offsets, err := f.UnitOffsets()
			require.NoError(t, err)
			for i, at := range offsets { // those in .debug_types come after them
				require.Equal(t, units[i], at)
				a.Seek(at)
				entry, err := a.Next()
				require.NoError(t, err)
				require.Equal(t, at, entry.Offset)
			}
			require.NotEmpty(t, offsets)
		})
	}
	for _, flags := range [][]string{{"-gdwarf-4"}, {"-gdwarf-5"}} {
		f, err := Open(compile(t, described, append(flags, "-c", "-fdebug-types-section")...))
		require.NoError(t, err)
		defer f.Close()
		_, err = f.DWARF()
		require.ErrorIs(t, err, errTypeUnits)
	}
	f, err := Open(compile(t, described))
	require.NoError(t, err)
	defer f.Close()
	_, err = f.DWARF()
	require.ErrorIs(t, err, errNoDebug)
}
