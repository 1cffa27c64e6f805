package specgen

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/rpmhooks"
	"github.com/openeuler/syscare/specgen/internal/rpmtest"
)

// stubSpec stands for the target, SysCare and the shell in a private root.
const stubSpec = `
Name: %{stub}
Epoch: 1
Version: %{stub_version}
Release: 1
Summary: Stub
License: MIT
BuildArch: noarch
Provides: /bin/sh
%description
Stub.
%files
`

// testRoot is a private root with a shell, into which rpm installs.
type testRoot struct {
	t   *testing.T
	dir string
}

func newRoot(t *testing.T) *testRoot {
	t.Helper()
	rpmtest.Need(t, "rpm", "ldd")
	if os.Geteuid() != 0 {
		t.Skip("rpm --root needs root")
	}
	r := &testRoot{t, t.TempDir()}
	// The shell with the libraries that ldd names by absolute path.
	for _, word := range append(strings.Fields(rpmtest.Run(t, "ldd", "/bin/sh")), "/bin/sh") {
		if !strings.HasPrefix(word, "/") {
			continue
		}
		data, err := os.ReadFile(word)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(put(t, filepath.Join(r.dir, word), string(data)), 0o755))
	}
	put(t, filepath.Join(r.dir, "etc/passwd"), "root:x:0:0::/root:/bin/sh\n")
	put(t, filepath.Join(r.dir, "etc/group"), "root:x:0:\n")
	require.NoError(t, os.MkdirAll(filepath.Join(r.dir, "var/tmp"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(r.dir, "tmp"), 0o755))
	return r
}

func (r *testRoot) stub(name, version string) string {
	for file, path := range rpmtest.Build(r.t, stubSpec, nil, "stub "+name, "stub_version "+version) {
		if strings.HasSuffix(file, ".noarch.rpm") {
			return path
		}
	}
	r.t.Fatal("no stub")
	return ""
}

// rpm runs rpm in the root; it never touches the machine's own packages.
func (r *testRoot) rpm(args ...string) (string, error) {
	argv := append([]string{"--root", r.dir, "--dbpath", "/var/lib/rpm", "--nosignature"}, args...)
	out, err := exec.Command("rpm", argv...).CombinedOutput()
	return string(out), err
}

func (r *testRoot) must(args ...string) string {
	r.t.Helper()
	out, err := r.rpm(args...)
	require.NoError(r.t, err, out)
	return out
}

// helper puts a hook into the root that records its arguments.
func (r *testRoot) helper(status string) {
	path := put(r.t, filepath.Join(r.dir, rpmhooks.Helper), "#!/bin/sh\necho \"$@\" >> /hook.log\nexit "+status+"\n")
	require.NoError(r.t, os.Chmod(path, 0o755))
}

func (r *testRoot) calls() string {
	data, err := os.ReadFile(filepath.Join(r.dir, "hook.log"))
	if err == nil {
		err = os.Remove(filepath.Join(r.dir, "hook.log"))
	}
	if err != nil {
		return ""
	}
	return string(data)
}

func versions(t *testing.T) (v1, v2 string) {
	t.Helper()
	c := sampleContent(t)
	v1, err := WriteBinary(c, t.TempDir())
	require.NoError(t, err)
	c.Patch.Version, c.Patch.UUID = "3", "33333333-3333-4333-8333-333333333333"
	v2, err = WriteBinary(c, t.TempDir())
	require.NoError(t, err)
	return v1, v2
}

const (
	name    = "patch-redis-7.0.15-1-HP001"
	uuid1   = "980fa0d0-e753-447c-8494-01de595f35d0"
	uuid2   = "33333333-3333-4333-8333-333333333333"
	patches = PatchRoot + "/"
)

func TestInstallUpgradeAndEraseCallTheHook(t *testing.T) {
	r := newRoot(t)
	v1, v2 := versions(t)
	out, err := r.rpm("-i", v1)
	require.Error(t, err, "needs its target and SysCare")
	assert.Contains(t, out, "redis >= 1:7.0.15-1 is needed")
	assert.Contains(t, out, "syscare is needed")

	r.must("-i", r.stub("redis", "7.0.15"), r.stub("syscare", "1"))
	r.helper("0")
	r.must("-i", v1)
	assert.Equal(t, "posttrans "+uuid1+"\n", r.calls())
	assert.FileExists(t, filepath.Join(r.dir, patches, uuid1, "patch.json"))
	assert.Empty(t, r.must("-V", name))
	r.must("-U", v2)
	assert.Equal(t, "preun "+uuid1+" 1\nposttrans "+uuid2+"\n", r.calls())
	r.must("-U", r.stub("redis", "7.0.16"))
	r.must("-e", name)
	assert.Equal(t, "preun "+uuid2+" 0\n", r.calls())
	assert.NoDirExists(t, filepath.Join(r.dir, patches, uuid2))
}

func TestAFailingHookKeepsThePackageOnEraseAndNothingElse(t *testing.T) {
	r := newRoot(t)
	v1, v2 := versions(t)
	r.must("-i", r.stub("redis", "7.0.15"), r.stub("syscare", "1"))
	r.helper("1")
	r.must("-i", v1)
	r.must("-U", v2)
	assert.Equal(t, name+"-3-1.x86_64\n", r.must("-qa", "patch-*"), "one version is left")
	_, err := r.rpm("-e", name)
	require.Error(t, err)
	assert.FileExists(t, filepath.Join(r.dir, patches, uuid2, "patch.json"))
}

func TestWithoutTheHookNothingFails(t *testing.T) {
	r := newRoot(t)
	v1, _ := versions(t)
	r.must("-i", r.stub("redis", "7.0.15"), r.stub("syscare", "1"))
	assert.NotContains(t, r.must("-i", v1), "warning")
	assert.Contains(t, r.must("-e", name), "is missing")
	assert.NoDirExists(t, filepath.Join(r.dir, patches, uuid1))
}
