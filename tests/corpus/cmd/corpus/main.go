// Command corpus makes live patches of real fixes, tries them, and prints what
// became of each. With --output it writes the whole as a document.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/openeuler/syscare/engine/user"
	"github.com/openeuler/syscare/tests/corpus"
)

func main() {
	user.RunGuardIfAsked()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	only := flag.String("package", "", "names of packages, separated by commas; empty for all")
	fix := flag.String("fix", "", "part of the names of the fixes to try; empty for all")
	output := flag.String("output", "", "file to write the document to")
	results := flag.String("results", "", "directory to keep the results of each package in; the document is made of all that are there")
	front := flag.String("front", "bin/syscare-cc", "path of syscare-cc")
	logFile := flag.String("log", "", "file for the output of all commands")
	flag.Parse()
	program, err := filepath.Abs(*front)
	if err != nil {
		return err
	}
	log := io.Discard
	if *logFile != "" {
		if err := os.MkdirAll(filepath.Dir(*logFile), 0o755); err != nil {
			return err
		}
		f, err := os.Create(*logFile)
		if err != nil {
			return err
		}
		defer f.Close()
		log = f
	}
	var rows []*corpus.Row
	wrong := 0
	for _, p := range corpus.Packages() {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), p.Name) {
			continue
		}
		if err := need(ctx, p, log); err != nil {
			return err
		}
		recorded, err := p.Record(ctx, program, log)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			fmt.Printf("%-11s cannot be built: %v\n", p.Name, err)
			wrong++
			continue
		}
		before := len(rows)
		for _, f := range p.Fixes {
			if *fix != "" && !strings.Contains(f.Patch, *fix) {
				continue
			}
			row := recorded.Try(ctx, f, log)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			rows = append(rows, row)
			fmt.Println(row.Line())
			if why := row.Wrong(); why != "" {
				wrong++
				fmt.Printf("            WRONG: %s\n", why)
			}
		}
		if *results != "" && *fix == "" {
			if err := corpus.Keep(*results, recorded, rows[before:]); err != nil {
				return err
			}
		}
	}
	fmt.Println(corpus.Summary(rows))
	if *output != "" {
		all, err := corpus.Kept(*results)
		if err != nil {
			return err
		}
		var text bytes.Buffer
		corpus.Document(&text, all)
		if err := os.WriteFile(*output, text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d are not what the table expects", wrong)
	}
	return nil
}

// need installs what building a package needs.
func need(ctx context.Context, p *corpus.Package, log io.Writer) error {
	var missing []string
	for _, name := range p.Needs {
		if exec.CommandContext(ctx, "dpkg", "-s", name).Run() != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	fmt.Printf("installing %s, to build %s\n", strings.Join(missing, ", "), p.Name)
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"install", "-y", "-q", "--no-install-recommends"}, missing...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(log, &out), io.MultiWriter(log, &out)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("install %s: %w\n%s", strings.Join(missing, ", "), err, out.String())
	}
	return nil
}
