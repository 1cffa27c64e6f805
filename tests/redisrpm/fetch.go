package redisrpm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// The digest of the release as its authors published it; apt checks the rest
// of the source package by Debian's signatures.
const (
	origTarball = "redis_7.0.15.orig.tar.gz"
	origSHA256  = "4b1dc4ee6d622a09fff9c6777191209750fb5e5a725ef78ea012d6eef4c22982"
)

// fetch puts the release's tarball and Debian's patches into dir.
func fetch(ctx context.Context, dir string, log io.Writer) error {
	apt := filepath.Join(dir, "apt")
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(apt, sub), 0o755); err != nil {
			return err
		}
	}
	list := filepath.Join(apt, "debian.sources")
	if err := os.WriteFile(list, []byte(sourceList("/etc/apt")), 0o644); err != nil {
		return err
	}
	options := []string{
		"-q", "-o", "Dir::Etc::sourcelist=" + list, "-o", "Dir::Etc::sourceparts=-",
		"-o", "Dir::State::lists=" + filepath.Join(apt, "lists"),
		"-o", "Dir::Cache=" + filepath.Join(apt, "cache"),
		"-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3",
	}
	// A mirror without source packages fails the update of its own list only;
	// whether what we need is there shows in the next step.
	_ = run(ctx, dir, log, "apt-get", append(options, "update")...)
	if err := run(ctx, dir, log, "apt-get", append(options, "source", "--download-only", "redis=5:7.0.15*")...); err != nil {
		// A version pattern is not understood by every apt.
		if err := run(ctx, dir, log, "apt-get", append(options, "source", "--download-only", "redis")...); err != nil {
			return fmt.Errorf("cannot fetch Debian's source of redis: %w", err)
		}
	}

	digest, err := fileSHA256(filepath.Join(dir, origTarball))
	if err != nil {
		return fmt.Errorf("another version of redis than 7.0.15 is offered by Debian: %w", err)
	}
	if digest != origSHA256 {
		return fmt.Errorf("%s has digest %s, want %s", origTarball, digest, origSHA256)
	}
	debian, err := filepath.Glob(filepath.Join(dir, "redis_7.0.15-*.debian.tar.*"))
	if err != nil || len(debian) != 1 {
		return fmt.Errorf("found %d archives of Debian's patches, want 1", len(debian))
	}
	if err := run(ctx, dir, log, "tar", "-xf", debian[0], "debian/patches"); err != nil {
		return fmt.Errorf("unpack Debian's patches: %w", err)
	}
	return os.RemoveAll(apt)
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
