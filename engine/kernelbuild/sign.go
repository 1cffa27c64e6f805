package kernelbuild

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/openeuler/syscare/engine/build"
)

var signHash = regexp.MustCompile(`(?m)^CONFIG_MODULE_SIG_HASH="([a-z0-9-]+)"$`)

// sign appends a signature to a module, as the kernel's own build does.
func (t *Tree) sign(ctx context.Context, path string, module []byte, key, certificate string) ([]byte, error) {
	config, err := os.ReadFile(filepath.Join(t.Out, ".config"))
	if err != nil {
		return nil, err
	}
	hash := signHash.FindSubmatch(config)
	if hash == nil {
		return nil, fmt.Errorf("sign the module: this kernel is configured without signed modules (CONFIG_MODULE_SIG)")
	}
	if err := os.WriteFile(path, module, 0o644); err != nil {
		return nil, err
	}
	if err := build.RunCommand(ctx, t.Log, t.Out, environment(), []string{filepath.Join(t.Out, "scripts/sign-file"), string(hash[1]), key, certificate, path}); err != nil {
		return nil, fmt.Errorf("sign the module: %w", err)
	}
	return os.ReadFile(path)
}
