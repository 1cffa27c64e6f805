package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/journal"
	"github.com/openeuler/syscare/state/userengine"
)

// eraseTimeout is how long preun waits for code that is in use; an erase is
// worth more patience than a command.
const eraseTimeout = 30 * time.Second

func main() {
	userengine.RunGuardIfAsked()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	h := hook{root: os.Getenv("SYSCARE_ROOT"), stdout: os.Stdout, stderr: os.Stderr, deferred: deferred, newEngine: userengine.New}
	code := h.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// hook is the command with all that it touches outside itself.
type hook struct {
	root           string
	stdout, stderr io.Writer
	deferred       func() bool
	newEngine      func(*slog.Logger) state.Engine
}

// run executes one call and returns its exit code.
func (h hook) run(ctx context.Context, args []string) int {
	err := h.dispatch(ctx, args)
	var usage usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(h.stderr, "Error: %v\nusage: syscare-hook posttrans UUID | preun UUID COUNT\n", err)
		return 2
	case err != nil:
		fmt.Fprintf(h.stderr, "Error: %v\n", err)
		return 1
	default:
		return 0
	}
}

type usageError string

func (e usageError) Error() string { return string(e) }

func (h hook) dispatch(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return usageError("too few arguments")
	}
	verb, id := args[0], args[1]
	if u, err := uuid.Parse(id); err != nil || u.String() != id {
		return usageError(fmt.Sprintf("%q is not the UUID of a patch", id))
	}
	switch {
	case verb == "posttrans" && len(args) == 2:
		if h.deferred() {
			fmt.Fprintln(h.stdout, "deferred")
		}
		return nil
	case verb == "preun" && len(args) == 3:
		left, err := strconv.Atoi(args[2])
		if err != nil || left < 0 {
			return usageError(fmt.Sprintf("%q is not a number of packages", args[2]))
		}
		if left > 0 {
			return nil
		}
		if h.deferred() {
			fmt.Fprintln(h.stdout, "deferred")
			return nil
		}
		return h.erase(ctx, id)
	default:
		return usageError(fmt.Sprintf("%q with %d arguments is not known", verb, len(args)-1))
	}
}

// erase takes the patch out of all processes.
func (h hook) erase(ctx context.Context, id string) error {
	log := slog.New(journal.New(slog.NewTextHandler(h.stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	m, err := state.New(state.Options{Root: h.root, Engine: h.newEngine(log), Logger: log})
	if err != nil {
		return err
	}
	_, err = m.Remove(ctx, id, state.MoveOptions{Timeout: eraseTimeout, Who: "rpm"})
	if errors.Is(err, state.ErrNotFound) {
		return nil // its directory has gone already, and nothing is recorded
	}
	if err != nil {
		return fmt.Errorf("the patch cannot be erased while processes run it: %w", err)
	}
	return nil
}

// deferred reports whether this is no running system: an image build, a
// chroot, an installroot.
func deferred() bool {
	if os.Getenv("SYSTEMD_OFFLINE") == "1" {
		return true
	}
	ours, err := os.Stat("/")
	if err != nil {
		return true
	}
	// In a container both are the container's root; without the right to look
	// (hidepid, no privilege) this is no system that could be patched either.
	init, err := os.Stat("/proc/1/root")
	return err != nil || !os.SameFile(ours, init)
}
