package rpmfile

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/specgen/internal/rpmtest"
)

const treeSpec = `
%global debug_package %{nil}
Name: tree
Epoch: 3
Version: 1.0
Release: 2
Summary: A tree
License: MIT
%description
All kinds of files.
%install
mkdir -p %{buildroot}/opt/tree/sub
echo hello > %{buildroot}/opt/tree/plain
head -c 300000 /dev/zero > %{buildroot}/opt/tree/sub/big
ln %{buildroot}/opt/tree/sub/big %{buildroot}/opt/tree/link1
ln %{buildroot}/opt/tree/sub/big %{buildroot}/opt/tree/link2
: > %{buildroot}/opt/tree/empty1
ln %{buildroot}/opt/tree/empty1 %{buildroot}/opt/tree/empty2
ln -s ../plain %{buildroot}/opt/tree/sub/rel
cp /bin/true %{buildroot}/opt/tree/setuid
chmod 4777 %{buildroot}/opt/tree/setuid
touch -d @1000000000 %{buildroot}/opt/tree/plain
%files
/opt/tree
`

// payloads are the compressors that rpmbuild writes.
var payloads = map[string]string{
	"gzip": "w9.gzdio", "bzip2": "w9.bzdio", "xz": "w6.xzdio", "lzma": "w6.lzdio", "zstd": "w19.zstdio", "none": "w.ufdio",
}

func TestEachCompressorOfRpmbuildIsExtracted(t *testing.T) {
	for name, flags := range payloads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openTree(t, flags)
			assert.Equal(t, "3:1.0-2", p.EVR())
			assert.Equal(t, "tree-1.0-2", p.FullName())
			assert.Equal(t, "tree-1.0-2.src.rpm", p.SourceRPM)
			assert.Equal(t, "MIT", p.License)
			assert.False(t, p.Source)
			assert.Contains(t, p.Files, "/opt/tree/sub/big")

			dir := t.TempDir()
			entries, err := p.Extract(context.Background(), dir, ExtractOptions{})
			require.NoError(t, err)
			assert.Len(t, entries, len(p.Files))
			checkTree(t, filepath.Join(dir, "opt/tree"))
		})
	}
}

func openTree(t *testing.T, flags string) *Package {
	t.Helper()
	rpmtest.Need(t, "rpmbuild")
	made := rpmtest.Build(t, treeSpec, nil, "_binary_payload "+flags, "_target_cpu x86_64")
	for name, path := range made {
		if filepath.Ext(name[:len(name)-len(".rpm")]) != ".src" {
			p, err := Open(path)
			require.NoError(t, err)
			return p
		}
	}
	t.Fatal("rpmbuild made no package")
	return nil
}

func checkTree(t *testing.T, tree string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tree, "plain"))
	require.NoError(t, err)
	assert.Equal(t, "hello\n", string(text))
	for _, linked := range [][]string{{"sub/big", "link1", "link2"}, {"empty1", "empty2"}} {
		first, err := os.Stat(filepath.Join(tree, linked[0]))
		require.NoError(t, err)
		for _, name := range linked[1:] {
			info, err := os.Stat(filepath.Join(tree, name))
			require.NoError(t, err)
			assert.True(t, os.SameFile(first, info), "%s is a hard link of %s", name, linked[0])
		}
	}
	big, err := os.Stat(filepath.Join(tree, "link1"))
	require.NoError(t, err)
	assert.EqualValues(t, 300000, big.Size())
	target, err := os.Readlink(filepath.Join(tree, "sub/rel"))
	require.NoError(t, err)
	assert.Equal(t, "../plain", target)
	setuid, err := os.Stat(filepath.Join(tree, "setuid"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o755), setuid.Mode(), "no set-user-ID, not writable by others")
	plain, err := os.Stat(filepath.Join(tree, "plain"))
	require.NoError(t, err)
	assert.Equal(t, time.Unix(1000000000, 0).UTC(), plain.ModTime().UTC())
}

func TestFilterOfAHardLinkWithoutContentStillGetsTheContent(t *testing.T) {
	p := openTree(t, "w1.gzdio")
	for _, name := range []string{"opt/tree/sub/big", "opt/tree/link1", "opt/tree/link2"} {
		dir := t.TempDir()
		_, err := p.Extract(context.Background(), dir, ExtractOptions{Filter: func(e Entry) bool { return e.Name == name }})
		require.NoError(t, err)
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.EqualValues(t, 300000, info.Size())
	}
}

func TestExtractStaysWithinItsBounds(t *testing.T) {
	p := openTree(t, "w1.gzdio")
	_, err := p.Extract(context.Background(), t.TempDir(), ExtractOptions{MaxBytes: 100000})
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = p.Extract(context.Background(), t.TempDir(), ExtractOptions{MaxBytes: 100000, Filter: func(Entry) bool { return false }})
	require.ErrorIs(t, err, ErrTooLarge, "what is skipped counts")
	_, err = p.Extract(context.Background(), t.TempDir(), ExtractOptions{MaxFiles: 3})
	require.ErrorIs(t, err, ErrTooLarge)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = p.Extract(ctx, t.TempDir(), ExtractOptions{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestTruncatedPackagesAreNamedAsSuch(t *testing.T) {
	for name, flags := range payloads {
		p := openTree(t, flags)
		whole, err := os.ReadFile(p.Path)
		require.NoError(t, err)
		for _, size := range []int64{0, 3, 4, 50, 96, 105, 1000, p.payload - 1, p.payload, p.payload + 10, (p.payload + int64(len(whole))) / 2, int64(len(whole)) - 30} {
			path := filepath.Join(t.TempDir(), "cut.rpm")
			require.NoError(t, os.WriteFile(path, whole[:size], 0o644))
			cut, err := Open(path)
			if size < p.payload {
				want := ErrTruncated
				if size < 4 {
					want = ErrNotRPM
				}
				require.ErrorIs(t, err, want, "%d bytes", size)
				require.ErrorContains(t, err, path)
				continue
			}
			require.NoError(t, err)
			_, err = cut.Extract(context.Background(), t.TempDir(), ExtractOptions{})
			require.Error(t, err, "%s, %d of %d bytes", name, size, len(whole))
			assert.True(t, errorIsAny(err, ErrTruncated, ErrCorrupt), "%v", err)
			assert.ErrorContains(t, err, path)
		}
	}
}

func TestOpenNamesWhatIsNoPackage(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.rpm")
	require.NoError(t, os.WriteFile(text, []byte("PK\x03\x04 this is a zip file"), 0o644))
	for _, path := range []string{text, dir} {
		_, err := Open(path)
		require.ErrorIs(t, err, ErrNotRPM)
		require.ErrorContains(t, err, path)
	}
	_, err := Open(filepath.Join(dir, "missing.rpm"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestKindAndArchitectureAreChecked(t *testing.T) {
	made := rpmtest.Build(t, treeSpec, nil)
	p, err := Open(made["tree-1.0-2.src.rpm"])
	require.NoError(t, err)
	assert.True(t, p.Source)
	require.NoError(t, p.WantSource())
	require.ErrorIs(t, p.WantBinary("x86_64"), ErrKind)
	p = openTree(t, "w1.gzdio")
	require.ErrorIs(t, p.WantSource(), ErrKind)
	require.NoError(t, p.WantBinary(p.Arch))
	err = p.WantBinary("s390x")
	require.ErrorIs(t, err, ErrArch)
	require.ErrorContains(t, err, p.Path)
}
