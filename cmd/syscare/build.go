package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/openeuler/syscare/specgen/hotpatch"
	"github.com/openeuler/syscare/specgen/report"
	"github.com/openeuler/syscare/state/metadata"
)

// maxJobs is far above what any machine has; more is a slip of the finger.
const maxJobs = 4096

func (p *program) buildCommand() *cli.Command {
	return &cli.Command{
		Name: "build", Usage: "build a patch from source packages, debuginfo packages and patch files",
		UsageText: "syscare build [OPTIONS] --patch_name <PATCH_NAME> --source <SOURCE> --debuginfo <DEBUGINFO>... --patch <PATCH_FILES>...",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "patch_name", Aliases: []string{"patch-name", "n"}, Usage: "patch `NAME`"},
			&cli.StringFlag{Name: "patch_arch", Aliases: []string{"patch-arch"}, Usage: "patch `ARCH`itecture", Value: hostArch()},
			&cli.StringFlag{Name: "patch_version", Aliases: []string{"patch-version"}, Usage: "patch `VERSION`", Value: "1"},
			&cli.StringFlag{Name: "patch_release", Aliases: []string{"patch-release"}, Usage: "patch `RELEASE`, a number", Value: "1"},
			&cli.StringFlag{Name: "patch_description", Aliases: []string{"patch-description"}, Usage: "patch `DESCRIPTION`", Value: "(none)"},
			&cli.StringSliceFlag{Name: "source", Aliases: []string{"s"}, Usage: "source `PACKAGE`"},
			&cli.StringSliceFlag{Name: "debuginfo", Aliases: []string{"d"}, Usage: "debuginfo `PACKAGE`(s)"},
			&cli.StringFlag{Name: "workdir", Usage: "working `DIR`ectory", Value: "."},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "output `DIR`ectory", Value: "."},
			&cli.IntFlag{Name: "jobs", Aliases: []string{"j"}, Usage: "`N` parallel build jobs", Value: runtime.NumCPU()},
			&cli.BoolFlag{Name: "skip_compiler_check", Aliases: []string{"skip-compiler-check"}, Usage: "skip the compiler version check (not recommended)"},
			allowLayoutFlag(), allowDataFlag(),
			&cli.BoolFlag{Name: "sign", Usage: "sign the packages with rpmsign and the key that RPM's macro %_gpg_name names"},
			&cli.StringFlag{Name: "sign_key", Aliases: []string{"sign-key"}, Usage: "sign them with this `KEY`"},
			&cli.StringFlag{Name: "module_key", Aliases: []string{"module-key"}, Usage: "sign the module of a kernel patch with the private key in `FILE`"},
			&cli.StringFlag{Name: "module_certificate", Aliases: []string{"module-certificate"}, Usage: "the key's X.509 certificate, which the kernel knows, in `FILE`"},
			&cli.BoolFlag{Name: "dry_run", Aliases: []string{"dry-run"}, Usage: "tell what would be compiled, and make nothing"},
			&cli.BoolFlag{Name: "keep_going", Aliases: []string{"keep-going"}, Usage: "tell all that is refused, not only the first"},
			&cli.BoolFlag{Name: "explain", Usage: "tell what is in the patch, and why"},
			&cli.StringFlag{Name: "report", Usage: "write a page about the patch, for a browser, to `FILE`"},
			jsonFlag(),
			&cli.BoolFlag{Name: "no_cache", Aliases: []string{"no-cache"}, Usage: "build the program anew, and do not keep the build for the next patch"},
			&cli.BoolFlag{Name: "skip_cleanup", Aliases: []string{"skip-cleanup"}, Usage: "keep the working files"},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "show the commands that are run, with their output"},
			&cli.StringSliceFlag{Name: "patch", Aliases: []string{"p"}, Usage: "patch `FILE`(s)"},
		},
		Action: p.buildPatch,
	}
}

func (p *program) buildPatch(c *cli.Context) error {
	if c.Bool("verbose") {
		p.logs(true)
	}
	req, err := p.buildRequest(c)
	if err != nil {
		return err
	}
	show := newProgress(p.stderr, p.tty)
	req.Progress = show.stage
	fmt.Fprintln(p.stderr, "Building patch, this may take a while")
	res, err := p.build(c.Context, req)
	show.end()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, res)
	}
	for _, w := range res.Warnings {
		fmt.Fprintf(p.stderr, "Warning: %s\n", w)
	}
	for _, t := range res.Planned {
		fmt.Fprintf(c.App.Writer, "%s (%s)\n", t.Name, t.TargetPath)
		for _, source := range t.Sources {
			fmt.Fprintf(c.App.Writer, "  %s\n", source)
		}
	}
	if req.DryRun {
		return nil
	}
	if c.Bool("explain") {
		printContents(c.App.Writer, res.Entities)
	}
	fmt.Fprintln(c.App.Writer, res.PatchRPM)
	fmt.Fprintln(c.App.Writer, res.SourceRPM)
	return nil
}

// printContents prints what is in a patch, and why.
func printContents(w io.Writer, entities []hotpatch.Entity) {
	for _, e := range entities {
		fmt.Fprintf(w, "%s (%s)\n", e.Name, e.Path)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, c := range e.Contents {
			fmt.Fprintf(table, "  %s\t%s\t%s\n", printable(c.Name), printable(report.Place(c)), printable(report.Why(c)))
		}
		_ = table.Flush()
	}
}

// buildRequest turns the flags into a request, or tells the first flag that
// makes no sense.
func (p *program) buildRequest(c *cli.Context) (hotpatch.Request, error) {
	req := hotpatch.Request{
		PatchName: c.String("patch_name"), PatchArch: c.String("patch_arch"), PatchVersion: c.String("patch_version"),
		PatchRelease: c.String("patch_release"), Description: c.String("patch_description"),
		Sources: c.StringSlice("source"), Debuginfo: c.StringSlice("debuginfo"), Patches: c.StringSlice("patch"),
		WorkDir: c.String("workdir"), Output: c.String("output"), Jobs: c.Int("jobs"),
		SkipCompilerCheck: c.Bool("skip_compiler_check"), SkipCleanup: c.Bool("skip_cleanup"),
		DryRun: c.Bool("dry_run"), KeepGoing: c.Bool("keep_going"), NoCache: c.Bool("no_cache"), Sign: c.Bool("sign"), SignKey: c.String("sign_key"), Report: c.String("report"),
		ModuleKey: c.String("module_key"), ModuleCertificate: c.String("module_certificate"),
		Accept: accepted(c), Tool: versionString(), Logger: p.log,
	}
	if c.Bool("verbose") {
		req.Verbose = p.stderr
	}
	if err := noArguments(c); err != nil {
		return req, err
	}
	if err := checkNames(req); err != nil {
		return req, err
	}
	for _, f := range []struct {
		flag   string
		values []string
	}{{"source", req.Sources}, {"debuginfo", req.Debuginfo}, {"patch", req.Patches}} {
		if len(f.values) == 0 {
			return req, usagef("--%s is required", f.flag)
		}
		for _, path := range f.values {
			if err := checkFile(path); err != nil {
				return req, usagef("--%s: %w", f.flag, err)
			}
		}
	}
	if (req.ModuleKey == "") != (req.ModuleCertificate == "") {
		return req, usagef("--module_key and --module_certificate go together")
	}
	for flag, path := range map[string]*string{"module_key": &req.ModuleKey, "module_certificate": &req.ModuleCertificate} {
		if *path == "" {
			continue
		}
		if err := checkFile(*path); err != nil {
			return req, usagef("--%s: %w", flag, err)
		}
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			return req, err
		}
	}
	if info, err := os.Stat(req.WorkDir); err != nil {
		return req, usagef("--workdir: %w", err)
	} else if !info.IsDir() {
		return req, usagef("--workdir: %s is not a directory", req.WorkDir)
	}
	if req.Report != "" {
		if info, err := os.Stat(req.Report); err == nil && !info.Mode().IsRegular() {
			return req, usagef("--report: %s is not a regular file", req.Report)
		} else if info, err := os.Stat(filepath.Dir(req.Report)); err != nil {
			return req, usagef("--report: %w", err)
		} else if !info.IsDir() {
			return req, usagef("--report: %s is not a directory", filepath.Dir(req.Report))
		}
	}
	if req.Jobs < 1 || req.Jobs > maxJobs {
		return req, usagef("--jobs %d: want 1 to %d", req.Jobs, maxJobs)
	}
	var err error
	req.Front, err = p.compilerFront()
	return req, err
}

func checkNames(req hotpatch.Request) error {
	switch {
	case req.PatchName == "":
		return usagef("--patch_name is required")
	case !metadata.ValidName(req.PatchName):
		return usagef("--patch_name %q is not allowed in RPM names: want letters, digits and ._+~^-, a letter or digit first", req.PatchName)
	case req.PatchArch != hostArch():
		return usagef("--patch_arch %q: this machine builds for %s only", req.PatchArch, hostArch())
	case !metadata.ValidVersion(req.PatchVersion):
		return usagef("--patch_version %q is not allowed in RPM versions: want letters, digits and ._+~^, a letter or digit first", req.PatchVersion)
	}
	if n, err := strconv.ParseUint(req.PatchRelease, 10, 32); err != nil || n == 0 || strconv.FormatUint(n, 10) != req.PatchRelease {
		return usagef("--patch_release %q: want a number from 1", req.PatchRelease)
	}
	return nil
}

func checkFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	return nil
}

// hostArch is what uname -m says.
func hostArch() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	default:
		return runtime.GOARCH
	}
}

// compilerFront finds syscare-cc: where SYSCARE_LIBEXEC says, beside this
// program, or in its installed place.
func (p *program) compilerFront() (string, error) {
	dirs := []string{filepath.Dir(p.executable), "/usr/libexec/syscare"}
	if dir := os.Getenv("SYSCARE_LIBEXEC"); dir != "" {
		dirs = []string{dir}
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, "syscare-cc")
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("syscare-cc is not in %s; reinstall SysCare, or set SYSCARE_LIBEXEC", strings.Join(dirs, " or "))
}
