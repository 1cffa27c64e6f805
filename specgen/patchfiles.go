package specgen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/openeuler/syscare/specgen/rpmfile"
)

// maxPatchFile bounds a patch file, unpacked, bytes.
const maxPatchFile = 64 << 20

// seriesName is the file in which quilt and Debian list patches in their order.
const seriesName = "series"

// PatchFiles gives plain patch files for those that a user names, in order: a file
// called "series" stands for the patches that it lists, and compressed ones are
// unpacked into dir.
func PatchFiles(paths []string, dir string) ([]string, error) {
	var files []string
	for _, path := range paths {
		if filepath.Base(path) != seriesName {
			files = append(files, path)
			continue
		}
		listed, err := readSeries(path)
		if err != nil {
			return nil, fmt.Errorf("patch series %s: %w", path, err)
		}
		files = append(files, listed...)
	}
	for i, path := range files {
		plain := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		if !rpmfile.Compressed(path) {
			continue
		}
		target := filepath.Join(dir, plain)
		if err := unpackPatch(path, target); err != nil {
			return nil, fmt.Errorf("unpack patch %s: %w", path, err)
		}
		files[i] = target
	}
	return files, nil
}

// readSeries reads a list of patches: a name in each line, "#" before comments. An
// option behind a name, as -p0, is for quilt; here the number is found by itself.
func readSeries(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var files []string
	lines := bufio.NewScanner(io.LimitReader(f, maxPatchFile))
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		if !filepath.IsLocal(fields[0]) {
			return nil, fmt.Errorf("it lists %q, which does not lie beside it", fields[0])
		}
		file := filepath.Join(filepath.Dir(path), fields[0])
		if info, err := os.Stat(file); err != nil {
			return nil, err
		} else if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", file)
		}
		files = append(files, file)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errors.New("it lists no patch")
	}
	return files, nil
}

func unpackPatch(path, target string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	plain, closeIt, err := rpmfile.Decompress(path, in)
	if err != nil {
		return err
	}
	defer closeIt()
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(plain, maxPatchFile+1))
	if n > maxPatchFile {
		err = fmt.Errorf("it has more than %d bytes", maxPatchFile)
	}
	return errors.Join(err, out.Close())
}
