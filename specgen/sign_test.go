package specgen

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/specgen/internal/rpmtest"
)

// newKey makes a key for signatures and gives its name and the file of its public
// half.
func newKey(t *testing.T) (name, public string) {
	t.Helper()
	rpmtest.Need(t, "gpg", "rpmsign", "rpmkeys")
	home, err := os.MkdirTemp("", "gpg") // short: there is a socket in it
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--kill", "all").Run()
		_ = os.RemoveAll(home)
	})
	t.Setenv("GNUPGHOME", home)
	const who = "SysCare Test <test@example.org>"
	rpmtest.Run(t, "gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", who, "rsa2048", "sign", "never")
	public = filepath.Join(t.TempDir(), "key.asc")
	require.NoError(t, os.WriteFile(public, []byte(rpmtest.Run(t, "gpg", "--armor", "--export", who)), 0o644))
	return who, public
}

// Signed packages are what rpm and rpmlint want them to be.
func TestSignedPackages(t *testing.T) {
	key, public := newKey(t)
	binary, source := makeBoth(t, sampleContent(t))
	var log bytes.Buffer
	require.NoError(t, Sign(t.Context(), &log, key, binary, source), log.String())
	assert.Contains(t, log.String(), "+ rpmsign --addsign")
	db := t.TempDir()
	rpmtest.Run(t, "rpmkeys", "--dbpath", db, "--import", public)
	for _, path := range []string{binary, source} {
		assert.Regexp(t, `Header V4 RSA/SHA\d+ Signature, key ID [0-9a-f]+: OK`, rpmtest.Run(t, "rpmkeys", "--dbpath", db, "-Kv", path))
	}
	err := Sign(t.Context(), &log, "nobody@example.org", binary)
	require.ErrorIs(t, err, ErrSign)

	rpmtest.Need(t, "rpmlint")
	assert.Contains(t, rpmtest.Run(t, "rpmlint", "--config", "testdata/rpmlint.toml", binary, source), " 0 errors, 0 warnings")
}
