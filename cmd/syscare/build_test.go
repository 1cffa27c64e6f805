package main

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/specgen/hotpatch"
)

// buildWorld has the files that a build names, and records the request.
func buildWorld(t *testing.T) (w *world, args []string, got *hotpatch.Request) {
	w = newWorld(t)
	t.Setenv("SYSCARE_LIBEXEC", "")
	got = new(hotpatch.Request)
	w.build = func(_ context.Context, r hotpatch.Request) (hotpatch.Result, error) {
		*got = r
		r.Progress("Preparing build requirements", 0, 0)
		r.Progress("Building patch", 1, 2)
		return hotpatch.Result{PatchRPM: "p.rpm", SourceRPM: "s.src.rpm", Warnings: []string{"careful"}}, nil
	}
	w.file("syscare-cc", nil)
	args = []string{
		"build", "--source", w.file("a.src.rpm", nil), "--debuginfo", w.file("d1.rpm", nil), w.file("d2.rpm", nil),
		"--patch_name", "HP001", "-p", w.file("1.patch", nil), w.file("2,3.patch", nil), "--workdir", w.root, "-o", "out",
	}
	return w, args, got
}

func TestBuild(t *testing.T) {
	w, args, got := buildWorld(t)
	out, errs, code := w.run(append(args, "--skip-compiler-check", "--skip_cleanup", "--patch-release", "2", "-j", "3", "-v")...)
	require.Zero(t, code, errs)
	assert.Equal(t, "p.rpm\ns.src.rpm\n", out)
	assert.Equal(t, "Building patch, this may take a while\n- Preparing build requirements\n- Building patch\nWarning: careful\n", errs)
	assert.NotNil(t, got.Verbose)
	got.Progress, got.Logger, got.Verbose = nil, nil, nil
	at := func(names ...string) (paths []string) {
		for _, n := range names {
			paths = append(paths, filepath.Join(w.root, n))
		}
		return paths
	}
	assert.Equal(t, hotpatch.Request{
		PatchName: "HP001", PatchArch: hostArch(), PatchVersion: "1", PatchRelease: "2", Description: "(none)",
		Sources: at("a.src.rpm"), Debuginfo: at("d1.rpm", "d2.rpm"), Patches: at("1.patch", "2,3.patch"),
		WorkDir: w.root, Output: "out", Jobs: 3, SkipCompilerCheck: true, SkipCleanup: true,
		Tool: versionString(), Front: filepath.Join(w.root, "syscare-cc"),
	}, *got)
}

func TestBuildUsage(t *testing.T) {
	for name, r := range map[string]struct {
		more []string
		says string
	}{
		"name":          {[]string{"-n", "../x"}, `--patch_name "../x" is not allowed`},
		"empty name":    {[]string{"-n", ""}, "--patch_name is required"},
		"arch":          {[]string{"--patch_arch", "s390x"}, "this machine builds for"},
		"version":       {[]string{"--patch_version", "1-2"}, "--patch_version"},
		"release":       {[]string{"--patch_release", "1.fc40"}, "want a number from 1"},
		"release zero":  {[]string{"--patch-release", "0"}, "want a number from 1"},
		"patch missing": {[]string{"-p", "/nonexistent"}, "--patch: stat /nonexistent"},
		"directory":     {[]string{"-d", "/"}, "--debuginfo: / is not a regular file"},
		"jobs":          {[]string{"-j", "0"}, "--jobs 0"},
		"workdir":       {[]string{"--workdir", "/nonexistent"}, "--workdir"},
	} {
		t.Run(name, func(t *testing.T) {
			w, args, _ := buildWorld(t)
			_, errs, code := w.run(append(args, r.more...)...)
			assert.Equal(t, 2, code, errs)
			assert.Contains(t, errs, r.says)
		})
	}
	w, _, _ := buildWorld(t)
	_, errs, code := w.run("build", "-n", "HP001")
	assert.Equal(t, 2, code)
	assert.Contains(t, errs, "--source is required")
}

// failedBuild is what a build gives that has left a log.
type failedBuild struct{}

func (failedBuild) Error() string   { return "UserPatchBuilder: Failed to build patch" }
func (failedBuild) LogPath() string { return "/tmp/build.log" }

func TestBuildFailure(t *testing.T) {
	w, args, _ := buildWorld(t)
	w.build = func(context.Context, hotpatch.Request) (hotpatch.Result, error) {
		return hotpatch.Result{}, failedBuild{}
	}
	_, errs, code := w.run(args...)
	assert.Equal(t, 1, code)
	assert.Equal(t, "Building patch, this may take a while\nError: UserPatchBuilder: Failed to build patch\n"+
		"For more information, please check \"/tmp/build.log\"\n", errs)
}

func TestProgressOnTerminal(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, true)
	p.stage("Building patch", 0, 0)
	p.stage("Building patch", 15, 30)
	p.stage("Building patch", 15, 30)
	p.stage("Packaging", 0, 0)
	p.end()
	assert.Equal(t, "\r- Building patch\x1b[K\r- Building patch [###############...............] 15/30\x1b[K\n\r- Packaging\x1b[K\n", b.String())
}
