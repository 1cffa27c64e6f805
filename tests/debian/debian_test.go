package debian

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSourceListFromOneLineForm(t *testing.T) {
	etc := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(etc, "sources.list"), []byte(`
# deb http://commented.example bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib
deb http://mirror.example/security bookworm-security main
deb http://vendor.example cloud-sdk-bookworm main
deb http://other.example bookworm stable
`), 0o600))
	assert.Equal(t, `Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm
Components: main
Signed-By: /k.gpg

Types: deb-src
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

`, sourceList(etc))
}

func TestSourceListFromDeb822Form(t *testing.T) {
	etc := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(etc, "sources.list.d"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(etc, "sources.list.d", "debian.sources"), []byte(
		`Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main
Signed-By: /k.gpg

Enabled: no
Types: deb
URIs: http://off.example
Suites: bookworm
Components: main
`), 0o600))
	list := sourceList(etc)
	assert.Contains(t, list, "URIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n")
	assert.NotContains(t, list, "off.example")
	assert.Contains(t, list, "URIs: http://deb.debian.org/debian-security\n", "the missing archive is Debian's own")
}

func TestFailedEntryLeavesNothing(t *testing.T) {
	cache := t.TempDir()
	err := Entry(filepath.Join(cache, "entry"), func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "no", "such", "directory"), nil, 0o600)
	})
	require.Error(t, err)
	left, err := os.ReadDir(cache)
	require.NoError(t, err)
	assert.Empty(t, left)
}
