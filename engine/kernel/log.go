package kernel

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// kernelLog reads what the kernel writes to its log from now on.
type kernelLog struct{ f *os.File }

// openLog opens the log at its end; without it, nothing is told.
func openLog() kernelLog {
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return kernelLog{}
	}
	if _, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_END); err != nil {
		_ = f.Close()
		return kernelLog{}
	}
	return kernelLog{f}
}

// about gives the lines that are about live patching or the module.
func (l kernelLog) about(module string) (lines []string) {
	if l.f == nil {
		return nil
	}
	buffer := make([]byte, 8192) // a record, see Documentation/ABI/testing/dev-kmsg
	for len(lines) < 10 {
		n, err := unix.Read(int(l.f.Fd()), buffer)
		if err != nil || n <= 0 {
			break
		}
		_, text, _ := strings.Cut(string(buffer[:n]), ";")
		text, _, _ = strings.Cut(text, "\n")
		if strings.HasPrefix(text, "livepatch:") || strings.Contains(text, module) || strings.HasPrefix(text, "Loading of") {
			lines = append(lines, strings.ToValidUTF8(text, "?"))
		}
	}
	return lines
}

func (l kernelLog) close() {
	if l.f != nil {
		_ = l.f.Close()
	}
}
