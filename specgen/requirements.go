package specgen

import (
	"context"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
)

// rpmbuild looks for build requirements among RPM's packages. On a machine of Debian
// there are none, and what is required is there by other means, or can be had from apt.

// withoutRPM reports whether this machine's packages are not RPM's.
func withoutRPM(ctx context.Context) bool {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return false
	}
	return exec.CommandContext(ctx, "rpm", "-q", "--quiet", "rpm").Run() != nil
}

// sift looks for build requirements on a machine without RPM's packages. It gives the
// packages of apt that are to be installed, by what they are for, and the requirements
// of which nobody can tell.
func sift(ctx context.Context, names []string) (install map[string]string, unknown []string) {
	install = map[string]string{}
	for _, required := range names {
		name, _, _ := strings.Cut(required, " ") // a version may follow
		candidates := aptNames(name)
		if present(ctx, name) || slices.ContainsFunc(candidates, func(c string) bool { return installedByApt(ctx, c) }) {
			continue
		}
		known := slices.IndexFunc(candidates, func(c string) bool {
			return exec.CommandContext(ctx, "apt-cache", "show", "--no-all-versions", "-q", c).Run() == nil
		})
		if known < 0 {
			unknown = append(unknown, required)
		} else {
			install[required] = candidates[known]
		}
	}
	return install, unknown
}

var (
	pkgConfigName = regexp.MustCompile(`^pkgconfig\((.*)\)$`)
	plainName     = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9+.-]*$`)
)

// aptNames are the names that a requirement may have for apt.
func aptNames(name string) []string {
	if m := pkgConfigName.FindStringSubmatch(name); m != nil {
		name = m[1] + "-devel"
	}
	name = strings.ToLower(path.Base(name))
	if !plainName.MatchString(name) {
		return nil
	}
	base, devel := strings.CutSuffix(name, "-devel")
	if !devel {
		return []string{name}
	}
	return []string{"lib" + strings.TrimPrefix(base, "lib") + "-dev", base + "-dev"}
}

// present reports whether a requirement is there: a file, a program, or what pkg-config
// finds.
func present(ctx context.Context, name string) bool {
	if m := pkgConfigName.FindStringSubmatch(name); m != nil {
		return exec.CommandContext(ctx, "pkg-config", "--exists", m[1]).Run() == nil
	}
	if path.IsAbs(name) {
		_, err := os.Stat(name)
		return err == nil
	}
	_, err := exec.LookPath(name)
	return err == nil
}

func installedByApt(ctx context.Context, name string) bool {
	status, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Status}", name).Output()
	return err == nil && string(status) == "install ok installed"
}
