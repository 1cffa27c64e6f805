package user

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Crash is a process that the kernel ended for a fault, as its log says.
type Crash struct {
	PID     int
	Address uint64 // of the instruction
	Text    string // the kernel's words
}

// The kernel's words for a fault that no handler takes (debug.exception-trace),
// arch/x86/mm/fault.c and arch/x86/kernel/traps.c:
//
//	name[12]: segfault at 0 ip 000055d0 sp 00007ffc error 4 in name[...]
//	traps: name[12] trap invalid opcode ip:55d0 sp:7ffc error:0 in name[...]
var crashText = regexp.MustCompile(`\[(\d+)\]:? .*\bip[ :]([0-9a-f]{1,16}) sp[ :]`)

func parseCrash(line string) (c Crash, ok bool) {
	_, text, found := strings.Cut(line, ";")
	if !found {
		return Crash{}, false
	}
	text, _, _ = strings.Cut(text, "\n")
	m := crashText.FindStringSubmatch(text)
	if m == nil {
		return Crash{}, false
	}
	var err1, err2 error
	c.Text = text
	c.PID, err1 = strconv.Atoi(m[1])
	c.Address, err2 = strconv.ParseUint(m[2], 16, 64)
	return c, err1 == nil && err2 == nil
}

// WatchCrashes calls crashed for each process that the kernel ends for a fault
// from now on, until ctx ends.
func WatchCrashes(ctx context.Context, crashed func(Crash)) error {
	log, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("watch for crashes: %w", err)
	}
	defer log.Close()
	if _, err := log.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("watch for crashes: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = log.Close() })
	defer stop()
	line := make([]byte, 16<<10)
	for {
		n, err := log.Read(line)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.EPIPE): // messages were overwritten: read on
			continue
		case err != nil:
			return fmt.Errorf("watch for crashes: %w", err)
		}
		if c, ok := parseCrash(string(line[:n])); ok {
			crashed(c)
		}
	}
}

// A Place is code of a patch in a process.
type Place struct {
	UUID       string
	Start, End uint64
	Functions  []AppliedFunction
}

// Function names the function at an address, "" if none is known.
func (p Place) Function(address uint64) string {
	name, best := "", uint64(0)
	for _, f := range p.Functions {
		if f.New <= address && f.New > best {
			name, best = f.Name, f.New
		}
	}
	return name
}

// Places lists where the process has the code of patches.
func Places(ctx context.Context, p Process) ([]Place, error) {
	applied, err := p.applied(ctx)
	if err != nil {
		return nil, p.explain(err)
	}
	var places []Place
	for _, a := range applied {
		places = append(places, Place{a.UUID, a.Region, a.Region + a.Bytes, a.Functions})
	}
	return places, nil
}
