package rpmfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"
	"github.com/google/rpmpack"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func errorIsAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// archive writes a cpio archive of the given headers; link is the content of
// a symbolic link.
func archive(t testing.TB, entries ...cpio.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := cpio.NewWriter(&out)
	for _, h := range entries {
		content := h.Linkname
		if h.Mode&^cpio.ModePerm == cpio.TypeReg {
			content = "content"
		}
		if h.Links == 0 {
			h.Links = 1
		}
		h.Linkname, h.Size = "", int64(len(content))
		require.NoError(t, w.WriteHeader(&h))
		_, err := io.WriteString(w, content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func regular(name string) cpio.Header {
	return cpio.Header{Name: name, Mode: cpio.TypeReg | 0o644}
}

func link(name, target string) cpio.Header {
	return cpio.Header{Name: name, Linkname: target, Mode: cpio.TypeSymlink | 0o777}
}

func TestArchivesThatLeaveTheirDestinationAreRefused(t *testing.T) {
	for name, entries := range map[string][]cpio.Header{
		"a parent":                         {regular("../evil")},
		"a parent in the middle":           {regular("a/../../evil")},
		"a harmless parent":                {regular("a/../b")},
		"a link to an absolute path":       {link("l", "/etc")},
		"a link to a parent":               {link("a/l", "../../evil")},
		"a link past a name and up":        {link("a/l", "b/../../..")},
		"a file through a link":            {{Name: "d", Mode: cpio.TypeDir | 0o755}, link("l", "d"), regular("l/evil")},
		"a directory over a link":          {{Name: "d", Mode: cpio.TypeDir | 0o755}, link("l", "d"), {Name: "l", Mode: cpio.TypeDir | 0o755}},
		"a file over a link":               {link("l", "evil"), regular("l")},
		"a file twice":                     {regular("f"), regular("f")},
		"a file under a file":              {regular("f"), regular("f/g")},
		"a device":                         {{Name: "dev", Mode: cpio.TypeBlock | 0o644}},
		"a pipe":                           {{Name: "pipe", Mode: cpio.TypeFifo | 0o644}},
		"a name with a null byte":          {regular("a\x00/../../evil")},
		"a hard link through a link":       {{Name: "d", Mode: cpio.TypeDir | 0o755}, link("l", "d"), {Name: "l/x", Mode: cpio.TypeReg | 0o644, Links: 2, Inode: 7}},
		"a link to a link and up past it":  {{Name: "a/b", Mode: cpio.TypeDir | 0o755}, link("a/b/up", ".."), link("s", "a/b/up/../../../x")},
		"a link with an absolute and dots": {link("l", "//../etc")},
	} {
		t.Run(name, func(t *testing.T) {
			outer := t.TempDir()
			inner := filepath.Join(outer, "inner")
			require.NoError(t, os.Mkdir(inner, 0o755))
			root, err := os.OpenRoot(inner)
			require.NoError(t, err)
			defer root.Close()
			_, err = extractPayload(context.Background(), "", bytes.NewReader(archive(t, entries...)), root, ExtractOptions{})
			require.ErrorIs(t, err, ErrUnsafe)
			left, err := os.ReadDir(outer)
			require.NoError(t, err)
			assert.Len(t, left, 1, "nothing beside the destination")
		})
	}
}

func TestNamesOfAllPackagersAreNormalised(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	defer root.Close()
	data := archive(t, regular("./usr/a"), regular("/usr/b"), regular("c"), link("usr/up", "../c"))
	entries, err := extractPayload(context.Background(), "", bytes.NewReader(data), root, ExtractOptions{})
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	assert.Equal(t, []string{"usr/a", "usr/b", "c", "usr/up"}, names)
}

// sample is a small package with a payload by the given compressor.
func sample(t testing.TB, compressor string) []byte {
	t.Helper()
	p, err := rpmpack.NewRPM(rpmpack.RPMMetaData{Name: "x", Version: "1", Release: "1", Arch: "x86_64", Compressor: compressor, Epoch: rpmpack.NoEpoch})
	require.NoError(t, err)
	p.AddFile(rpmpack.RPMFile{Name: "/a/b", Body: []byte("hello"), Mode: 0o644, Owner: "root", Group: "root"})
	p.AddFile(rpmpack.RPMFile{Name: "/a/l", Body: []byte("b"), Mode: 0o120777, Owner: "root", Group: "root"})
	var out bytes.Buffer
	require.NoError(t, p.Write(&out))
	return out.Bytes()
}

func TestHeadersThatLieAreRefusedBeforeMemoryIsTaken(t *testing.T) {
	good := sample(t, "gzip")
	_, err := Read(bytes.NewReader(good))
	require.NoError(t, err)
	const sig = leadSize
	entry := sig + introSize
	for name, change := range map[string]func(b []byte){
		"many entries":    func(b []byte) { binary.BigEndian.PutUint32(b[sig+8:], 1<<21) },
		"no entries":      func(b []byte) { binary.BigEndian.PutUint32(b[sig+8:], 0) },
		"a huge store":    func(b []byte) { binary.BigEndian.PutUint32(b[sig+12:], 0xffffffff) },
		"no header magic": func(b []byte) { b[sig] = 0 },
		"a huge count":    func(b []byte) { binary.BigEndian.PutUint32(b[entry+12:], 0xffffffff) },
		"a far offset":    func(b []byte) { binary.BigEndian.PutUint32(b[entry+8:], 0x7fffffff) },
		"an unknown type": func(b []byte) { binary.BigEndian.PutUint32(b[entry+4:], 77) },
		"wide values that exceed the store": func(b []byte) {
			binary.BigEndian.PutUint32(b[entry+4:], 5)
			binary.BigEndian.PutUint32(b[entry+12:], binary.BigEndian.Uint32(b[sig+12:]))
		},
	} {
		bad := bytes.Clone(good)
		change(bad)
		_, err := Read(bytes.NewReader(bad))
		require.ErrorIs(t, err, ErrCorrupt, name)
	}
	lead := bytes.Clone(good)
	lead[0] = 0
	_, err = Read(bytes.NewReader(lead))
	assert.ErrorIs(t, err, ErrNotRPM)
}

func TestPayloadsThatAskForMuchMemoryAreRefused(t *testing.T) {
	// An xz stream header and a block header with LZMA2 and a 4 GiB dictionary.
	bomb := append([]byte("\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46"), 0x02, 0x00, 0x21, 0x01, 40, 0, 0, 0, 0, 0, 0, 0)
	_, _, err := decompress("xz", bytes.NewReader(bomb))
	require.ErrorIs(t, err, ErrTooLarge)
	// lzma "alone" with a 4 GiB dictionary.
	_, _, err = decompress("lzma", bytes.NewReader([]byte("\x5d\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00")))
	require.Error(t, err)
	_, _, err = decompress("lzip", bytes.NewReader(nil))
	require.ErrorIs(t, err, ErrUnsupported)
}

func FuzzOpen(f *testing.F) {
	for _, compressor := range []string{"gzip", "xz", "zstd", "lzma"} {
		f.Add(sample(f, compressor))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Read(bytes.NewReader(data))
		if err == nil && (p.Name == "" || p.payload > int64(len(data))) {
			t.Fatalf("%+v", p)
		}
	})
}

func FuzzExtract(f *testing.F) {
	f.Add("", archive(f, regular("a/b"), link("l", "a"), cpio.Header{Name: "d", Mode: cpio.TypeDir | 0o755}))
	f.Add("", archive(f, regular("../x"), link("a/l", "../../x")))
	for _, compressor := range []string{"gzip", "xz", "zstd", "lzma"} {
		data := sample(f, compressor)
		p, err := Read(bytes.NewReader(data))
		require.NoError(f, err)
		f.Add(compressor, data[p.payload:])
	}
	f.Fuzz(func(t *testing.T, compressor string, data []byte) {
		outer := t.TempDir()
		inner := filepath.Join(outer, "inner")
		require.NoError(t, os.Mkdir(inner, 0o755))
		root, err := os.OpenRoot(inner)
		require.NoError(t, err)
		defer root.Close()
		_, _ = extractPayload(context.Background(), compressor, bytes.NewReader(data), root, ExtractOptions{MaxBytes: 1 << 20, MaxFiles: 100})
		left, err := os.ReadDir(outer)
		if err != nil || len(left) != 1 {
			t.Fatalf("outside the destination: %v, %v", left, err)
		}
		err = filepath.WalkDir(inner, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.Type()&os.ModeSymlink == 0 {
				return err
			}
			target, err := filepath.EvalSymlinks(path)
			if err == nil && target != inner && !strings.HasPrefix(target, inner+"/") {
				t.Fatalf("link %s leads to %s", path, target)
			}
			return nil
		})
		require.NoError(t, err)
	})
}
