package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/openeuler/syscare/rpmhooks"
	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/config"
	"github.com/openeuler/syscare/state/journal"
	"github.com/openeuler/syscare/state/kernelengine"
	"github.com/openeuler/syscare/state/userengine"
)

// patience is how long code that is in use is waited for: a transaction is worth
// more than a command.
const patience = 30 * time.Second

func main() {
	userengine.RunGuardIfAsked()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	h := hook{root: os.Getenv("SYSCARE_ROOT"), stdout: os.Stdout, stderr: os.Stderr, deferred: deferred, newEngine: newEngine}
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
		fmt.Fprintf(h.stderr, "Error: %v\nusage: syscare-hook posttrans UUID | preun UUID COUNT | reconcile | list | replaces PACKAGE... | VERB PATCH...\n", err)
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

// verbs are the moves that plugins make for users.
var verbs = []state.Verb{state.VerbApply, state.VerbActive, state.VerbDeactive, state.VerbRemove, state.VerbAccept}

func (h hook) dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usageError("too few arguments")
	}
	verb, args := args[0], args[1:]
	stay := 0
	switch {
	case verb == "posttrans" && len(args) == 1, verb == "preun" && len(args) == 2:
		if u, err := uuid.Parse(args[0]); err != nil || u.String() != args[0] {
			return usageError(fmt.Sprintf("%q is not the UUID of a patch", args[0]))
		}
		if verb == "preun" {
			var err error
			if stay, err = strconv.Atoi(args[1]); err != nil || stay < 0 {
				return usageError(fmt.Sprintf("%q is not a number of packages", args[1]))
			}
		}
	case verb == "reconcile" && len(args) == 0, verb == "list" && len(args) == 0:
	case verb == "replaces" && len(args) > 0, slices.Contains(verbs, state.Verb(verb)) && len(args) > 0:
	default:
		return usageError(fmt.Sprintf("%q with %d arguments is not known", verb, len(args)))
	}
	if h.deferred() && verb != "list" {
		fmt.Fprintln(h.stdout, "deferred")
		return nil
	}
	m, conf, err := h.manager(verb == "list" || verb == "replaces" || verb == "preun" && stay == 0)
	if err != nil {
		return err
	}
	o := state.MoveOptions{Timeout: patience, Who: "rpm"}
	switch verb {
	case "posttrans":
		policy, err := policy(conf)
		if err != nil {
			return err
		}
		return h.told(m.PackageInstalled(ctx, args[0], policy, o))
	case "preun":
		res, err := m.PackageErased(ctx, args[0], stay, o)
		if err != nil && stay == 0 {
			err = fmt.Errorf("the patch cannot be erased while processes run it: %w", err)
		}
		return h.told(res, err)
	case "reconcile":
		policy, err := policy(conf)
		if err != nil {
			return err
		}
		o.Timeout = 0 // it comes again
		results, err := m.Reconcile(ctx, policy, o)
		for _, res := range results {
			_ = h.told(res, nil)
		}
		return err
	case "list":
		return h.list(ctx, m)
	case "replaces":
		return h.replaces(ctx, m, args)
	default:
		o.Who = "dnf"
		return h.moveAll(ctx, m, state.Verb(verb), args, o)
	}
}

// manager makes a manager with what is configured. A configuration with errors is not
// to keep a package from being erased, nor the user from seeing what there is: what
// brings no code anywhere goes on without.
func (h hook) manager(without bool) (*state.Manager, config.Config, error) {
	log := slog.New(journal.New(slog.NewTextHandler(h.stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	conf, err := config.Load(h.root)
	if err != nil && !without {
		return nil, conf, err
	}
	if err != nil {
		fmt.Fprintf(h.stderr, "Warning: %v\n", err)
	}
	m, err := state.New(state.Options{Root: h.root, Engine: h.newEngine(log), Logger: log, LockWait: 2 * patience, Settings: userengine.Settings(conf)})
	return m, conf, err
}

// policy is that of who has started the transaction, or of the configuration.
func policy(conf config.Config) (state.Policy, error) {
	if text, ok := os.LookupEnv(rpmhooks.PolicyVariable); ok {
		p, err := state.ParsePolicy(text)
		if err != nil {
			err = fmt.Errorf("%s: %w", rpmhooks.PolicyVariable, err)
		}
		return p, err
	}
	return state.ParsePolicy(conf.OnInstall)
}

func (h hook) moveAll(ctx context.Context, m *state.Manager, verb state.Verb, ids []string, o state.MoveOptions) error {
	var errs []error
	for _, id := range ids {
		errs = append(errs, h.told(m.Move(ctx, verb, id, o)))
	}
	return errors.Join(errs...)
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

// newEngine reaches processes and the kernel.
func newEngine(log *slog.Logger) state.Engine { return kernelengine.With(userengine.New(log), log) }
