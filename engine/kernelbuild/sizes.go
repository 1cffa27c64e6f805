package kernelbuild

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// sizesSource defines for each structure an array as large as it.
//
//go:embed source/sizes.c
var sizesSource []byte

// sizePrefix begins the names of these arrays.
const sizePrefix = "syscare_sizeof_"

// readSizes asks the compiler for the sizes of the structures in the tables beside the
// code, as far as this kernel has them.
func (t *Tree) readSizes(ctx context.Context) (map[string]int, error) {
	dir := filepath.Join(t.Out, "syscare-sizes")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "sizes.o")
	if _, err := os.Stat(path); err != nil {
		for name, data := range map[string][]byte{"sizes.c": sizesSource, "Makefile": []byte("obj-m := sizes.o\n")} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				return nil, err
			}
		}
		if err := t.makeModule(ctx, dir, "sizes.o"); err != nil {
			return nil, fmt.Errorf("sizes of the kernel's structures: %w", err)
		}
	}
	f, err := object.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sizes := map[string]int{}
	for _, s := range f.Symbols {
		if name, ok := strings.CutPrefix(s.Name, sizePrefix); ok {
			sizes[name] = int(min(s.Size, 1<<16))
		}
	}
	return sizes, nil
}
