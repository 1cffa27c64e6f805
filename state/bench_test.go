package state

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkList reports what it costs to read many installed patches and their
// states.
func BenchmarkList(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("%d patches", n), func(b *testing.B) {
			root, engine := b.TempDir(), newFake(1)
			for i := range n {
				addPatch(b, root, patchSpec{name: "HP" + strconv.Itoa(i)})
			}
			m := newManager(b, root, engine)
			for b.Loop() {
				all, err := m.List(b.Context())
				require.NoError(b, err)
				require.Len(b, all, n)
			}
		})
	}
}
