package redisrpm

import (
	"debug/elf"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPackages looks at the packages with the tools of the system.
func TestPackages(t *testing.T) {
	packages := Require(t)
	for name, want := range map[string]string{
		packages.SourceRPM:    "redis (none) 7.0.15-1 x86_64",
		packages.RPM:          "redis (none) 7.0.15-1 x86_64",
		packages.DebuginfoRPM: "redis-debuginfo (none) 7.0.15-1 x86_64",
	} {
		got, err := exec.Command("rpm", "-qp", "--nosignature", "--qf", "%{NAME} %{EPOCH} %{VERSION}-%{RELEASE} %{ARCH}", name).Output()
		require.NoError(t, err, name)
		assert.Equal(t, want, string(got))
	}

	root := t.TempDir()
	for _, name := range []string{packages.RPM, packages.DebuginfoRPM} {
		unpack := exec.Command("sh", "-c", `rpm2cpio "$0" | cpio -idm --quiet`, name)
		unpack.Dir = root
		out, err := unpack.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	program, err := elf.Open(filepath.Join(root, "usr/bin/redis-server"))
	require.NoError(t, err)
	defer program.Close()
	assert.Equal(t, elf.ET_DYN, program.Type, "position independent")
	assert.Nil(t, program.Section(".symtab"), "stripped")

	debug, err := elf.Open(filepath.Join(root, "usr/lib/debug/usr/bin/redis-server-7.0.15-1.x86_64.debug"))
	require.NoError(t, err)
	defer debug.Close()
	assert.NotNil(t, debug.Section(".debug_info"))
	symbols, err := debug.Symbols()
	require.NoError(t, err)
	functions := map[string]bool{}
	for _, s := range symbols {
		functions[s.Name] = functions[s.Name] || elf.ST_TYPE(s.Info) == elf.STT_FUNC
	}
	for _, fix := range Fixes() {
		_, err := packages.PatchFile(fix.Name)
		require.NoError(t, err)
		for _, name := range fix.Functions {
			_, isNew := strings.CutPrefix(name, "+")
			assert.Equal(t, !isNew, functions[name], "%s: %s", fix.Name, name)
		}
	}
}

// TestChecksTellTheFlawedServer keeps the checks honest: each must find the
// program as it is without its fix, more than once, and not take it for fixed.
func TestChecksTellTheFlawedServer(t *testing.T) {
	packages := Require(t)
	root := t.TempDir()
	require.NoError(t, packages.Unpack(t.Context(), root))
	for _, fix := range Fixes() {
		if fix.Check == nil || fix.Check.Before == "" {
			continue
		}
		t.Run(fix.Name, func(t *testing.T) {
			server := StartServer(t, root, fix.Check.Library(t))
			require.NoError(t, server.Holds(fix.Check, false))
			require.NoError(t, server.Holds(fix.Check, false))
			require.Error(t, server.Holds(fix.Check, true))
			assert.NoError(t, server.Process.Signal(syscall.Signal(0)), "the check must not hurt the server")
		})
	}
}
