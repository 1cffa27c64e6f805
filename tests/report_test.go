package tests

import (
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/specgen/hotpatch"
	"github.com/openeuler/syscare/tests/redisrpm"
)

// A build tells for each function why it is in the patch, to people and to programs,
// and writes a page that a browser shows without any network.
func TestExplanationAndReport(t *testing.T) {
	packages := redisrpm.Require(t)
	fix, err := packages.PatchFile("CVE-2025-32023")
	require.NoError(t, err)
	output := t.TempDir()
	page := filepath.Join(output, "fix.html")
	args := []string{
		"build", "--patch_name", "HP001", "--source", packages.SourceRPM, "--debuginfo", packages.DebuginfoRPM,
		"--patch", fix, "--workdir", t.TempDir(), "--output", output,
	}
	told := must(t, append(args, "--explain", "--report", page)...)
	require.Regexp(t, `(?m)^redis-server \(/usr/bin/redis-server\)$`, told)
	require.Regexp(t, `(?m)^  hllSparseToDense +src/hyperloglog\.c:\d+ +changed by the fix$`, told)

	var result hotpatch.Result
	require.NoError(t, json.Unmarshal([]byte(must(t, append(args, "--json")...)), &result))
	require.NotEmpty(t, result.Checks)
	contents := map[string]diff.Content{}
	for _, c := range result.Entities[0].Contents {
		contents[c.Name] = c
		if c.Function {
			require.Equal(t, "src/hyperloglog.c", c.File)
			require.Positive(t, c.Line)
		}
	}
	require.Equal(t, diff.Changed, contents["hllSparseToDense"].Reason)

	t.Run("in a browser", func(t *testing.T) {
		needTools(t, "chromium", "unshare")
		shot := filepath.Join(t.TempDir(), "page.png")
		dom := browse(t, "--dump-dom", "file://"+page)
		browse(t, "--screenshot="+shot, "--window-size=1400,1600", "file://"+page)
		require.Contains(t, dom, "<h1>redis-7.0.15-1/HP001-1-1</h1>")
		require.Regexp(t, `<td class="code">hllSparseToDense</td><td>changed by the fix</td><td class="code">src/hyperloglog.c:\d+</td>`, dom)
		require.Contains(t, dom, "CVE-2025-32023")
		require.Regexp(t, `<span class="add">\+.*</span>`, dom, "the fix")
		require.Regexp(t, `<td class="code del">.*[0-9a-f]+  .*</td>`, dom, "code that is gone")
		require.Regexp(t, `<td class="code add">.*[0-9a-f]+  .*</td>`, dom, "code that is new")
		require.Contains(t, dom, "functions have the addresses and sizes of those that were shipped")
		require.Regexp(t, `<td>the program&#39;s own, at 0x[0-9a-f]+</td>|<td>the program's own, at 0x[0-9a-f]+</td>`, dom)
		require.NotRegexp(t, `(?i)<script|src=|href="(http|//)|url\(`, dom, "nothing is fetched")
		requirePicture(t, shot)
	})
}

// browse opens a page without network and gives what the browser prints.
func browse(t testing.TB, args ...string) string {
	t.Helper()
	profile := t.TempDir()
	return tool(t, "unshare", append([]string{
		"--net", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--user-data-dir=" + profile,
	}, args...)...)
}

// requirePicture wants a picture with text on it: many pixels of several colours.
func requirePicture(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	picture, err := png.Decode(f)
	require.NoError(t, err)
	colours := map[string]int{}
	size := picture.Bounds()
	for y := size.Min.Y; y < size.Max.Y; y += 2 {
		for x := size.Min.X; x < size.Max.X; x += 2 {
			r, g, b, _ := picture.At(x, y).RGBA()
			colours[fmt.Sprint(r>>12, g>>12, b>>12)]++
		}
	}
	require.Greater(t, len(colours), 10, strings.TrimSpace(fmt.Sprint(colours)))
}
