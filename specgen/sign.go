package specgen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// ErrSign says that packages could not be signed.
var ErrSign = errors.New("cannot sign the packages")

// Sign signs packages in place with rpmsign: with the key that is named or, if key
// is empty, with the one that the user's RPM macros name (%_gpg_name).
func Sign(ctx context.Context, log io.Writer, key string, packages ...string) error {
	argv := []string{"rpmsign", "--addsign"}
	// Debian's RPM does not know where gpg is.
	gpg, err := exec.LookPath("gpg")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSign, err)
	}
	argv = append(argv, "--define", "__gpg "+gpg)
	if key != "" {
		argv = append(argv, "--define", "_gpg_name "+key)
	}
	if err := runCommand(ctx, log, nil, append(argv, packages...)...); err != nil {
		return fmt.Errorf("%w: %w", ErrSign, err)
	}
	return nil
}
