package kernelbuild

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// ConfigError says that the kernel cannot be configured here as it was.
type ConfigError struct {
	Differ []string // "CONFIG_X: y became n"
}

// Error names the options and what to do.
func (e *ConfigError) Error() string {
	names := e.Differ
	if len(names) > 5 {
		names = append(slices.Clone(names[:5]), fmt.Sprintf("and %d more", len(e.Differ)-5))
	}
	text := "the kernel cannot be configured here as it was when it was shipped: " + strings.Join(names, ", ")
	if slices.ContainsFunc(e.Differ, func(d string) bool { return strings.Contains(d, "PAHOLE") || strings.Contains(d, "BTF") }) {
		return text + "; install pahole (package dwarves)"
	}
	return text + "; install the tools that the kernel was built with, and give its sources and configuration"
}

// harmless are options that name tools and keys, and change nothing in the code.
func harmless(name string) bool {
	for _, prefix := range []string{"CONFIG_CC_VERSION_TEXT", "CONFIG_PAHOLE_VERSION", "CONFIG_BUILD_SALT", "CONFIG_MODULE_SIG_KEY", "CONFIG_SYSTEM_TRUSTED_KEYS",
		"CONFIG_SYSTEM_REVOCATION_KEYS", "CONFIG_LD_VERSION", "CONFIG_AS_VERSION", "CONFIG_RUSTC", "CONFIG_BINDGEN", "CONFIG_LOCALVERSION"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// sameConfig compares the configuration that a kernel had with what became of it.
func sameConfig(want, have []byte) error {
	before, after := options(want), options(have)
	var differ []string
	for name := range before {
		if _, known := after[name]; !known && !harmless(name) {
			differ = append(differ, fmt.Sprintf("%s: %s became n", name, before[name]))
		}
	}
	for name, value := range after {
		if old, known := before[name]; (!known || old != value) && !harmless(name) {
			if !known {
				old = "n"
			}
			differ = append(differ, fmt.Sprintf("%s: %s became %s", name, old, value))
		}
	}
	if len(differ) > 0 {
		slices.Sort(differ)
		return &ConfigError{differ}
	}
	return nil
}

func options(config []byte) map[string]string {
	set := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(config))
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok && strings.HasPrefix(name, "CONFIG_") {
			set[name] = value
		}
	}
	return set
}

// maxConfig bounds a configuration, bytes.
const maxConfig = 4 << 20

// ConfigOf reads the configuration that a kernel carries with CONFIG_IKCONFIG: compressed
// text between two marks, see kernel/configs.c. It is nil if the kernel carries none.
func ConfigOf(vmlinux *object.File) ([]byte, error) {
	const begin, end = "IKCFG_ST", "IKCFG_ED"
	section := vmlinux.Section(".rodata")
	if section == nil {
		return nil, nil
	}
	data, err := section.Bytes()
	if err != nil {
		return nil, err
	}
	_, rest, found := bytes.Cut(data, []byte(begin))
	text, _, ended := bytes.Cut(rest, []byte(end))
	if !found || !ended {
		return nil, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("the configuration in vmlinux: %w", err)
	}
	config, err := io.ReadAll(io.LimitReader(r, maxConfig))
	if err != nil {
		return nil, fmt.Errorf("the configuration in vmlinux: %w", err)
	}
	return config, nil
}
