package redisrpm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/openeuler/syscare/tests/debian"
)

// The digest of the release as its authors published it; apt checks the rest
// of the source package by Debian's signatures.
const (
	origTarball = "redis_7.0.15.orig.tar.gz"
	origSHA256  = "4b1dc4ee6d622a09fff9c6777191209750fb5e5a725ef78ea012d6eef4c22982"
)

// fetch puts the release's tarball and Debian's patches into dir.
func fetch(ctx context.Context, dir string, log io.Writer) error {
	if err := debian.Fetch(ctx, dir, log, "redis", "7.0.15"); err != nil {
		return err
	}
	digest, err := fileSHA256(filepath.Join(dir, origTarball))
	if err != nil {
		return err
	}
	if digest != origSHA256 {
		return fmt.Errorf("%s has digest %s, want %s", origTarball, digest, origSHA256)
	}
	archives, err := filepath.Glob(filepath.Join(dir, "redis_7.0.15-*.debian.tar.*"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("found %d archives of Debian's patches, want 1", len(archives))
	}
	if err := debian.Run(ctx, dir, log, "tar", "-xf", archives[0], "debian/patches"); err != nil {
		return fmt.Errorf("unpack Debian's patches: %w", err)
	}
	return nil
}

func fileSHA256(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
