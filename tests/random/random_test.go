package random

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A random program that takes a random fix while it runs does what the rebuilt
// program does, and is itself again when the fix is removed.
func TestRandomPrograms(t *testing.T) {
	if _, err := exec.LookPath("csmith"); err != nil {
		if os.Getenv("CI") != "" {
			require.NoError(t, err, "scripts/setup.sh installs csmith where it is packaged")
		}
		t.Skip("csmith is missing: scripts/setup.sh installs it where it is packaged")
	}
	var mutex sync.Mutex
	var outcomes []outcome
	t.Run("programs", func(t *testing.T) {
		for i := range *programs {
			seed := *firstSeed + uint64(i)
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				o := run(t, seed)
				mutex.Lock()
				defer mutex.Unlock()
				outcomes = append(outcomes, o)
			})
		}
	})
	summarise(t, outcomes)
}

// summarise prints what was tried and fails if it proves too little.
func summarise(t *testing.T, outcomes []outcome) {
	count, patched, visible := map[string]int{}, 0, 0
	for _, o := range outcomes {
		switch {
		case o.refused != "":
			count["refused: "+o.refused]++
		case o.unchanged:
			count["nothing functional changed"]++
		default:
			patched++
			if o.visible {
				visible++
			}
			if o.observing {
				count["patched, and the state compared"]++
			}
			for _, f := range slices.Concat(o.flags.compile, o.flags.link) {
				count["patched with "+f]++
			}
			for _, m := range o.mutations {
				kind, _, _ := strings.Cut(m, " in ")
				kind, _, _ = strings.Cut(kind, "value ")
				if kind == "" {
					kind = "value"
				}
				count["patched mutation "+kind]++
			}
		}
	}
	t.Logf("%d programs, %d patched, %d of them print something else with the fix", len(outcomes), patched, visible)
	for _, line := range slices.Sorted(maps.Keys(count)) {
		t.Logf("%6d %s", count[line], line)
	}
	if len(outcomes) < 50 {
		return // too few for figures
	}
	assert.Greater(t, 2*patched, len(outcomes), "more than half of the programs are patched")
	assert.Greater(t, 2*visible, patched, "more than half of the fixes can be seen")
	for _, m := range slices.Concat(mutations, csmithMutations, observations) {
		assert.NotZero(t, count["patched mutation "+m.name], "no program was patched with the mutation %q", m.name)
	}
}
