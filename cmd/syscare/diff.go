package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/urfave/cli/v2"

	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/object"
)

func (p *program) diffCommand() *cli.Command {
	return &cli.Command{
		Name: "diff", Usage: "make a patch object from objects of the original and the patched source",
		UsageText: "syscare diff --original a.o --patched b.o --debuginfo ELF --output p.o",
		Description: "The n-th original goes with the n-th patched object; both are compiled with\n" +
			"-ffunction-sections -fdata-sections. Exit code 3: nothing changed; 5: refused, with the reason.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "original", Usage: "original object `FILE`(s)"},
			&cli.StringSliceFlag{Name: "patched", Usage: "patched object `FILE`(s), in the same order"},
			&cli.StringFlag{Name: "debuginfo", Usage: "target `ELF` with symbols, or its debuginfo"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the patch object to `FILE`"},
			allowLayoutFlag(), allowDataFlag(),
		},
		Action: p.diffAction,
	}
}

func allowLayoutFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "allow-layout", Aliases: []string{"allow_layout"},
		Usage: "accept that the layout of `TYPE` changes, because it lives on the stack only"}
}

func allowDataFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "allow-data", Aliases: []string{"allow_data"},
		Usage: "accept that the initial value or size of the variable `NAME` changes for new code only"}
}

func accepted(c *cli.Context) diff.Accept {
	return diff.Accept{Layouts: c.StringSlice("allow-layout"), Data: c.StringSlice("allow-data")}
}

func (p *program) diffAction(c *cli.Context) error {
	original, patched := c.StringSlice("original"), c.StringSlice("patched")
	if err := noArguments(c); err != nil {
		return err
	}
	switch {
	case len(original) == 0 || len(original) != len(patched):
		return usagef("%s and %s: want one or more pairs", count(len(original), "--original"), count(len(patched), "--patched"))
	case c.String("debuginfo") == "":
		return usagef("--debuginfo is required")
	case c.String("output") == "":
		return usagef("--output is required")
	}
	for _, path := range slices.Concat(original, patched, []string{c.String("debuginfo")}) {
		if err := checkFile(path); errors.Is(err, fs.ErrNotExist) {
			return &notFoundError{err.Error()}
		} else if err != nil {
			return err
		}
	}
	res, err := diffObjects(original, patched, c.String("debuginfo"), accepted(c))
	if err != nil {
		return fmt.Errorf("cannot make a patch object: %w", err)
	}
	for _, n := range res.Notes {
		fmt.Fprintf(p.stderr, "Warning: %s\n", n)
	}
	return writeWhole(c.String("output"), res.Object)
}

func diffObjects(original, patched []string, target string, accept diff.Accept) (*diff.Result, error) {
	elf, err := object.Open(target)
	if err != nil {
		return nil, err
	}
	defer func() { _ = elf.Close() }()
	// The UUID follows from what is compared: the same input, the same object.
	key := sha256.New()
	fmt.Fprintf(key, "target %s\n", elf.BuildID)
	var units []diff.Unit
	for i := range original {
		u := diff.Unit{Source: patched[i]}
		for _, part := range []struct {
			path string
			into **object.File
		}{{original[i], &u.Original}, {patched[i], &u.Patched}} {
			f, err := object.Open(part.path)
			if err != nil {
				return nil, err
			}
			defer func() { _ = f.Close() }()
			*part.into = f
			if err := digestFile(key, part.path); err != nil {
				return nil, err
			}
		}
		units = append(units, u)
	}
	name := strings.TrimSuffix(filepath.Base(target), ".debug")
	return diff.Build(elf, units, diff.Options{
		UUID: uuid.NewSHA1(uuid.NameSpaceOID, key.Sum(nil)).String(), Entity: name, TargetName: name,
		Tool: "syscare " + versionString(), Accept: accept,
	})
}

func digestFile(into io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(into, f)
	return err
}

// writeWhole makes path with data, or leaves what was there.
func writeWhole(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".syscare-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
