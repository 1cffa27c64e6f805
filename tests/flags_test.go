package tests

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a distribution compiles with is supported, or refused by name.
func TestCompilersAndFlags(t *testing.T) {
	for _, row := range []struct {
		compiler, flags, refused string
	}{
		{"gcc", "-O2 -g3 -fPIE -pie", ""},
		{"gcc", "-O2 -gdwarf-4 -fPIE -pie", ""},
		{"gcc", "-O2 -gz -Wl,--compress-debug-sections=zlib -fPIE -pie", ""},
		{"gcc", "-O2 -gsplit-dwarf", "debug information"},
		{"gcc", "-O2 -fdebug-types-section", "debug information"},
		// Debian's, openEuler's and Fedora's flags.
		{"gcc", "-O2 -fstack-protector-strong -Wformat -Werror=format-security -Wdate-time -D_FORTIFY_SOURCE=2 -Wl,-z,relro -Wl,-z,now", ""},
		{"gcc", "-O2 -fexceptions -pipe -Wp,-D_FORTIFY_SOURCE=3 -fstack-protector-strong -m64 -mtune=generic -fasynchronous-unwind-tables -fstack-clash-protection -fcf-protection -fPIE -pie -Wl,-z,now -Wl,-z,relro -Wl,--as-needed", ""},
		{"gcc", "-O2 -flto", "link-time optimisation"},
		{"gcc", "-O2 -flto -ffat-lto-objects", "link-time optimisation"},
		{"gcc", "-O2 -fno-plt -fPIE -pie -Wl,-z,now", ""},
		{"gcc", "-O2 -fvisibility=hidden -fPIE -pie", ""},
		{"gcc", "-O2 -fpatchable-function-entry=16", ""},
		{"gcc", "-O2 -fpatchable-function-entry=16,8", ""},
		{"gcc", "-O2 -freorder-functions -freorder-blocks-and-partition", ""},
		{"gcc", "-O2 -fno-omit-frame-pointer", ""},
		{"gcc", "-O2 -mno-red-zone", ""},
		{"gcc", "-O2 -fno-ipa-ra -fno-ipa-sra -fno-ipa-cp", ""},
		{"gcc", "-O2 -fcommon", ""},
		{"gcc", "-O2 -fno-zero-initialized-in-bss -fmerge-all-constants", ""},
		{"gcc", "-O2 -march=x86-64-v2 -ftree-vectorize", ""},
		{"gcc", "-O2 -static -Wl,--undefined=usleep", ""},
		{"gcc", "-O2 -static-pie -fPIE -Wl,--undefined=usleep", ""},
		{"gcc", "-O2 -mcmodel=large -fno-pie -no-pie", ""},
		{"gcc", "-O2 -pg", ""},
		{"gcc", "-O2 -fPIC -pie -mtls-dialect=gnu2", "not supported (R_X86_64_GOTPC32_TLSDESC)"},
		{"clang", "-O0 -fPIE -pie", ""},
		{"clang", "-O2 -fPIE -pie", ""},
		{"clang", "-O2 -fno-pie -no-pie", ""},
		{"clang", "-O3 -fPIC -pie -fstack-protector-strong -D_FORTIFY_SOURCE=2", ""},
	} {
		t.Run(row.compiler+" "+strings.ReplaceAll(row.flags, ",", " "), func(t *testing.T) {
			if _, err := exec.LookPath(row.compiler); err != nil {
				if os.Getenv("CI") != "" {
					require.NoError(t, err, "run `make setup`")
				}
				t.Skipf("needs %s", row.compiler)
			}
			program, object, r := tryProgram(t, row.compiler, strings.Fields(row.flags)...)
			if row.refused != "" {
				require.Equal(t, 5, r.code, r.stderr)
				require.Contains(t, r.stderr, row.refused)
				return
			}
			require.Zero(t, r.code, r.stderr)
			takesFix(t, program, object)
		})
	}
}
