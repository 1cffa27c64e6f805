#!/bin/bash
# Installs what building, testing and demonstrating SysCare need and this
# machine lacks. Says what and why; does and prints nothing if all is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A need is: what must be there | Debian's package | Fedora's and openEuler's | why.
# What must be there is a command, or a file if it starts with a slash.
needs=(
    "gcc|gcc|gcc|compiles the programs that are patched"
    "g++|g++|gcc-c++|compiles those written in C++"
    "/usr/include/stdio.h|libc6-dev|glibc-devel|header files of the C library"
    "make|make|make|builds them"
    "ld|binutils|binutils|links them; readelf and objdump check our files"
    "patch|patch|patch|applies source patches"
    "diff|diffutils|diffutils|shows differences in tests"
    "tar|tar|tar|unpacks sources"
    "gzip|gzip|gzip|unpacks sources"
    "xz|xz-utils|xz|unpacks sources"
    "zstd|zstd|zstd|unpacks RPM payloads"
    "bzip2|bzip2|bzip2|likewise"
    "cpio|cpio|cpio|unpacks RPM payloads in tests"
    "rpm|rpm|rpm|installs and reads packages"
    "rpmbuild|rpm|rpm-build|builds packages"
    "debugedit|debugedit|debugedit|makes debuginfo packages"
    "eu-strip|elfutils|elfutils|takes the debug information out of programs for them"
    "file|file|file|tells programs from other files for them"
    "git|git|git|names the version that is built"
)
debian_needs=(
    "dnf|dnf||installs patch packages in tests"
    "createrepo_c|createrepo-c||makes a repository for dnf"
    "gdb|gdb||looks at patched processes in tests"
    "dbus-daemon|dbus||a private bus for tests"
    "busctl|systemd||talks to it"
    "/usr/lib/polkit-1/polkitd|polkitd||says on it who may do what"
    "pkill|procps||finds processes in tests"
    "gpg|gpg||signs packages in tests"
    "gpg-agent|gpg-agent||likewise"
    "rpmlint|rpmlint||looks at packages in tests"
    "strace|strace||shows in a test what is written to disk, and when"
    "qemu-system-x86_64|qemu-system-x86||boots a machine of its own for tests"
    "mmdebstrap|mmdebstrap||makes its disk"
    "mke2fs|e2fsprogs||likewise"
    "meson|meson||builds some packages in tests"
    "ninja|ninja-build||likewise"
    "autoreconf|autoconf||likewise"
    "automake|automake||likewise"
    "libtoolize|libtool||likewise"
    "bison|bison||likewise, and the kernel's configuration program"
    "flex|flex||likewise"
    "bc|bc||computes a header of the kernel"
    "pahole|dwarves||is asked by the kernel's build what its debug information can be"
    "depmod|kmod||lists the modules of such a machine"
    "/usr/include/libelf.h|libelf-dev||is needed by the kernel's objtool"
    "openssl|openssl||makes a key for a module in a test"
    "/usr/include/openssl/ssl.h|libssl-dev||is needed by the kernel's sign-file"
    "ccache|ccache||likewise"
    "chromium|chromium||shows the reports of builds in a test"
    "dwz|dwz||shrinks debug information as distributions do"
    "csmith|csmith||makes random programs for tests"
    "/usr/include/csmith/csmith.h|libcsmith-dev||what these programs include"
    "dpkg-source|dpkg-dev||fetches the sources of the programs in the tests"
    "cmake|cmake||builds some of them"
    "clang|clang||another compiler, for tests"
    "pkg-config|pkg-config||finds what they need"
    "/usr/include/nettle/hmac.h|nettle-dev||is needed by one of them, dnsmasq"
    "/usr/include/x86_64-linux-gnu/gmp.h|libgmp-dev||likewise"
    "/usr/include/curses.h|libncurses-dev||is needed by one of them, less"
    "/usr/lib/python3/dist-packages/rpm/__init__.py|python3-rpm||an independent reader of packages"
    "/usr/share/keyrings/debian-archive-keyring.gpg|debian-archive-keyring||checks the fetched sources"
)
fedora_needs=(
    "createrepo_c||createrepo_c|makes a repository for dnf"
    "gdb||gdb|looks at patched processes in tests"
    "dbus-daemon||dbus-daemon|a private bus for tests"
    "busctl||systemd|talks to it"
    "/usr/lib/polkit-1/polkitd||polkit|says on it who may do what"
    "dwz||dwz|shrinks debug information as distributions do"
    "find||findutils|finds files"
    "which||which|finds programs"
)

if command -v apt-get >/dev/null; then
    manager=apt; needs+=("${debian_needs[@]}")
elif command -v dnf >/dev/null; then
    manager=dnf; needs+=("${fedora_needs[@]}")
else
    manager=
fi

here() {
    case $1 in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

packages=()
for need in "${needs[@]}"; do
    IFS='|' read -r what debian fedora why <<<"$need"
    here "$what" && continue
    case $manager in
    apt) package=$debian ;;
    dnf) package=$fedora ;;
    *) echo "setup: $what is missing ($why), and there is neither apt-get nor dnf to install it" >&2; exit 1 ;;
    esac
    echo "setup: $what is missing: $package $why"
    [[ " ${packages[*]-} " == *" $package "* ]] || packages+=("$package")
done

# Go: the version in go.mod, or a Go that can fetch that version by itself
# (1.21 and later with the default GOTOOLCHAIN).
wanted=$(sed -n 's/^go //p' go.mod)
go_problem() {
    command -v go >/dev/null || { echo "there is no Go"; return; }
    local said
    said=$(go version 2>&1) && [[ $said == go\ version\ go1.* ]] || { echo "$said"; return; }
    said=$(go env GOVERSION); said=${said#go}; said=${said%% *}
    [ "$(printf '%s\n%s\n' "$wanted" "$said" | sort -V | head -1)" = "$wanted" ] || echo "Go $said is too old"
}
if ! command -v go >/dev/null && [ -x /usr/local/go/bin/go ]; then
    echo "setup: Go is in /usr/local/go/bin, which is not in PATH: export PATH=\$PATH:/usr/local/go/bin" >&2
    exit 1
fi
if ! command -v go >/dev/null; then
    case $manager in
    apt) packages+=(golang-go) ;;
    dnf) packages+=(golang) ;;
    esac
    echo "setup: go is missing: builds SysCare"
fi

if [ ${#packages[@]} -gt 0 ]; then
    root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "setup: run as root: install ${packages[*]}" >&2; exit 1; }
        root=(sudo)
    fi
    echo "setup: installing ${packages[*]}"
    case $manager in
    apt)
        "${root[@]}" apt-get -q update </dev/null
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${packages[@]}" </dev/null
        ;;
    dnf) "${root[@]}" dnf -y install "${packages[@]}" </dev/null ;;
    esac
fi

problem=$(go_problem)
if [ -n "$problem" ]; then
    echo "setup: cannot build: $problem; Go $wanted or later is needed." >&2
    echo "setup: see https://go.dev/doc/install; with Go 1.21 or later, GOTOOLCHAIN=auto fetches it." >&2
    exit 1
fi
