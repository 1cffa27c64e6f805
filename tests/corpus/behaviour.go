package corpus

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/engine/patchobject"
	"github.com/openeuler/syscare/engine/user"
)

// A Behaviour is what a process does differently with a fix.
type Behaviour struct {
	// Run is the command of the process, "" for the package's; a package with a
	// driver runs that.
	Run string
	// Ask is a script of bash, run beside the waiting process in its directory:
	// what it prints is the answer. PID is the process; what it writes to file
	// descriptor 3 is the standard input of the process, and finish closes that
	// and waits for the end. "" asks the driver for Probe.
	Ask   string
	Probe string
	// Before and After are contained in the answers without and with the fix,
	// and not in the other.
	Before, After string
}

//go:embed testdata
var drivers embed.FS

// tools are functions for the scripts that ask.
const tools = `
finish() { exec 3>&-; for i in {1..200}; do case $(cat /proc/$PID/stat) in *") Z "*) break;; esac; sleep 0.05; done; }
probe() { echo "$1" >&3; for i in {1..200}; do grep -q '^end' output && break; sleep 0.05; done; cat output; }
`

func (r *Recorded) driver() string { return filepath.Join(r.work, "driver") }

// makeDriver compiles the package's driver.
func (r *Recorded) makeDriver(ctx context.Context) error {
	if r.Driver == "" {
		return nil
	}
	dir, err := os.MkdirTemp("", "driver")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, drivers); err != nil {
		return err
	}
	script := strings.NewReplacer("{tree}", r.Tree, "{driver}", r.driver()).Replace("gcc -g -O1 -o {driver} " + r.Driver)
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = filepath.Join(dir, "testdata")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	return nil
}

// shows looks at a process without the fix, with it, and after its removal.
func (r *Recorded) shows(ctx context.Context, row *Row, entities []build.Entity) error {
	want := row.Fix.Shows
	if want == nil {
		return nil
	}
	if err := r.makeDriver(ctx); err != nil {
		return err
	}
	for _, stage := range []struct {
		name          string
		apply, remove bool
		has, hasNot   string
	}{
		{"before", false, false, want.Before, want.After},
		{"with the patch", true, false, want.After, want.Before},
		{"after the removal", true, true, want.Before, want.After},
	} {
		answer, err := r.answer(ctx, want, entities, stage.apply, stage.remove)
		if err != nil {
			return fmt.Errorf("%s: %w", stage.name, err)
		}
		if !strings.Contains(answer, stage.has) || strings.Contains(answer, stage.hasNot) {
			return fmt.Errorf("%s: want %q and not %q, got %q", stage.name, stage.has, stage.hasNot, answer)
		}
	}
	row.Shown = true
	return nil
}

// answer starts a process, patches it, and asks.
func (r *Recorded) answer(ctx context.Context, want *Behaviour, entities []build.Entity, apply, remove bool) (string, error) {
	script := want.Run
	if script == "" {
		script = r.Live
	}
	if want.Probe != "" {
		script = "{driver}"
	}
	live, err := r.start(ctx, entities[0].TargetPath, script)
	if err != nil {
		return "", err
	}
	defer live.stop()
	for _, e := range entities {
		procs, err := awaitProcesses(ctx, e.BuildID)
		if err != nil {
			return "", fmt.Errorf("%s: %w\n%s", e.Name, err, live.tail())
		}
		if !apply {
			continue
		}
		obj, err := patchobject.Parse(e.Object)
		if err != nil {
			return "", err
		}
		for _, p := range procs {
			if _, err := user.Apply(ctx, p, obj, user.Options{}); err != nil {
				return "", err
			}
			if !remove {
				continue
			}
			if _, err := user.Remove(ctx, p, obj.Info.UUID, user.Options{}); err != nil {
				return "", err
			}
		}
	}
	return r.ask(ctx, live, want)
}

// ask runs the script that asks.
func (r *Recorded) ask(ctx context.Context, live *process, want *Behaviour) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	script := want.Ask
	if script == "" {
		script = "probe " + want.Probe
	}
	script = strings.NewReplacer("{tree}", r.Tree, "{dir}", live.dir).Replace(script)
	cmd := exec.CommandContext(ctx, "bash", "-c", tools+script)
	cmd.Dir = live.dir
	cmd.Env = append(os.Environ(), fmt.Sprint("PID=", live.cmd.Process.Pid))
	cmd.ExtraFiles = []*os.File{live.stdin}
	cmd.WaitDelay = time.Second
	var answer strings.Builder
	cmd.Stdout, cmd.Stderr = &answer, &answer
	if err := cmd.Start(); err != nil {
		return "", err
	}
	_ = live.stdin.Close() // its end is the script's to say
	if err := cmd.Wait(); errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "", fmt.Errorf("no answer: %w\n%s", err, answer.String())
	}
	return answer.String(), nil
}
