package kernelbuild

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// objtool leaves a file as it was when it does not understand it: that is seen.
func TestTablesOfAModule(t *testing.T) {
	const unwinds, returns = "-DUNWINDS", "-DRETURNS"
	const text = `
		int f(int x) { return x; }
		#ifdef UNWINDS
		asm(".pushsection .orc_unwind_ip,\"a\"\n.long f - .\n.popsection");
		#endif
		#ifdef RETURNS
		asm(".pushsection .return_sites,\"a\"\n.long f - .\n.popsection");
		#endif`
	for name, row := range map[string]struct {
		kernel, module []string
		says           string
	}{
		"all there":               {[]string{unwinds, returns}, []string{unwinds, returns}, ""},
		"a kernel without either": {nil, nil, ""},
		"nothing to unwind by":    {[]string{unwinds, returns}, []string{returns}, `section ".text.f" of the module: it would have nothing to unwind its stacks by`},
		"returns not listed":      {[]string{unwinds, returns}, []string{unwinds}, `listed 0 of the 1 places where section ".text.f" of the module returns`},
	} {
		t.Run(name, func(t *testing.T) {
			flags := func(with []string) []string { return append([]string{"-mfunction-return=thunk-extern"}, with...) }
			err := checkTables(open(t, compile(t, text, flags(row.module)...)), open(t, compile(t, text, flags(row.kernel)...)))
			if row.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.says)
		})
	}
}

func TestIBTOfAConfiguration(t *testing.T) {
	require.True(t, hasIBT([]byte("CONFIG_X86=y\nCONFIG_X86_KERNEL_IBT=y\n")))
	require.False(t, hasIBT([]byte("CONFIG_CC_HAS_IBT=y\n# CONFIG_X86_KERNEL_IBT is not set\n")))
}
