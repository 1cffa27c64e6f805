// Command redis-rpms puts the redis packages of the tests, and the patch files
// of the fixes for them, into a directory.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/openeuler/syscare/tests/redisrpm"
)

func main() {
	output := flag.String("output", ".", "directory for the packages and patch files")
	verbose := flag.Bool("verbose", false, "show the output of the build")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := redisRPMs(ctx, *output, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func redisRPMs(ctx context.Context, output string, verbose bool) error {
	log := io.Discard
	if verbose {
		log = os.Stderr
	}
	packages, err := redisrpm.Make(ctx, log)
	if err != nil {
		return err
	}
	files := []string{packages.SourceRPM, packages.RPM, packages.DebuginfoRPM}
	for _, fix := range redisrpm.Fixes() {
		file, err := packages.PatchFile(fix.Name)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	if err := os.MkdirAll(output, 0o755); err != nil {
		return err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name := filepath.Join(output, filepath.Base(file))
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
		fmt.Println(name)
	}
	return nil
}
