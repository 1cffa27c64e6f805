package rpmfile

import (
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// versions are pairs and their order, from the cases of RPM's documentation
// and test suite.
var versions = []struct {
	a, b string
	want int
}{
	{"1.0", "1.0", 0}, {"1.0", "2.0", -1}, {"2.0.1", "2.0", 1}, {"5.5p1", "5.5p2", -1}, {"5.5p10", "5.5p1", 1},
	{"10xyz", "10.1xyz", -1}, {"xyz10", "xyz10.1", -1}, {"xyz.4", "8", -1}, {"1.05", "1.5", 0}, {"1_0", "1.0", 0},
	{"1.0~rc1", "1.0", -1}, {"1.0~rc1", "1.0~rc2", -1}, {"1.0~rc1~git1", "1.0~rc1", -1}, {"1.0^", "1.0", 1},
	{"1.0^git1", "1.0^git2", -1}, {"1.0^git1", "1.01", -1}, {"1.0^1", "1.0.1", -1}, {"1.0^~1", "1.0", 1},
	{"1.0~rc1^git1", "1.0~rc1", 1}, {"1.0^git1~pre", "1.0^git1", -1}, {"", "", 0}, {"", "1", -1}, {"a", "1", -1},
	{"20101121", "20101122", -1}, {"1.0.", "1.0", 0}, {"é1", "1", 0}, {"99999999999999999999", "100000000000000000000", -1},
}

func TestVersionsAreOrderedAsRPMDoes(t *testing.T) {
	for _, v := range versions {
		assert.Equal(t, v.want, CompareVersions(v.a, v.b), "%q and %q", v.a, v.b)
		assert.Equal(t, -v.want, CompareVersions(v.b, v.a), "%q and %q", v.b, v.a)
	}
}

func TestEpochAndReleaseCount(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1:1.0-1", "2.0-1", 1}, {"0:1.0-1", "1.0-1", 0}, {"1.0", "1.0-5", 0}, {"1.0-1", "1.0-2", -1}, {":1-1", "1-1", 0}, {"2:1-1", "10:1-1", -1},
	} {
		assert.Equal(t, c.want, CompareEVR(c.a, c.b), "%s and %s", c.a, c.b)
	}
}

// TestVersionsAgainstRPM asks RPM itself about the table and random strings.
func TestVersionsAgainstRPM(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import rpm").Run(); err != nil {
		t.Skip("python3-rpm is not installed")
	}
	var pairs [][2]string
	for _, v := range versions {
		if v.a != "" { // labelCompare takes no empty version
			pairs = append(pairs, [2]string{v.a, v.b})
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		const alphabet = "0019aAzZ~^.._+"
		var s strings.Builder
		for range 1 + random.IntN(8) {
			s.WriteByte(alphabet[random.IntN(len(alphabet))])
		}
		return s.String()
	}
	for range 200000 {
		pairs = append(pairs, [2]string{word(), word()})
	}
	cmd := exec.Command(python, "-c", `import rpm, json, sys
print(json.dumps([rpm.labelCompare((None, a, "1"), (None, b, "1")) for a, b in json.load(sys.stdin)]))`)
	input, err := json.Marshal(pairs)
	require.NoError(t, err)
	cmd.Stdin = strings.NewReader(string(input))
	out, err := cmd.Output()
	require.NoError(t, err)
	var want []int
	require.NoError(t, json.Unmarshal(out, &want))
	require.Len(t, want, len(pairs))
	for i, pair := range pairs {
		if got := CompareVersions(pair[0], pair[1]); got != want[i] {
			t.Errorf("%q and %q: %d, RPM says %d", pair[0], pair[1], got, want[i])
		}
	}
}
