package corpus

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
	"github.com/openeuler/syscare/engine/user"
)

// live starts the targets and puts each patch object in and takes it out.
func (r *Recorded) live(ctx context.Context, row *Row, entities []build.Entity) error {
	for _, e := range entities {
		if err := r.tryEntity(ctx, row, e); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	row.Live = true
	return nil
}

func (r *Recorded) tryEntity(ctx context.Context, row *Row, e build.Entity) error {
	obj, err := patchobject.Parse(e.Object)
	if err != nil {
		return err
	}
	live, err := r.start(ctx, e.TargetPath, r.Live)
	if err != nil {
		return err
	}
	defer live.stop()
	procs, err := awaitProcesses(ctx, e.BuildID)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, live.tail())
	}
	for _, p := range procs {
		if err := inAndOut(ctx, row, p, obj); err != nil {
			return fmt.Errorf("process %d: %w", p.PID, err)
		}
	}
	time.Sleep(100 * time.Millisecond)
	still, err := user.Find(ctx, e.BuildID)
	if err == nil && len(still) != len(procs) {
		err = fmt.Errorf("%d of %d processes are left\n%s", len(still), len(procs), live.tail())
	}
	return err
}

// A process is a program that runs a target, in a directory of its own.
type process struct {
	dir    string
	cmd    *exec.Cmd
	stdin  *os.File // of the program: open, and nothing comes
	output string   // name of the file with what it prints
}

// start runs a target: with the script or, where that is "", by itself or
// preloaded.
func (r *Recorded) start(ctx context.Context, target, script string) (*process, error) {
	dir, err := os.MkdirTemp("", "corpus")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir, output: filepath.Join(dir, "output")}
	if p.cmd, err = r.command(ctx, dir, target, script); err == nil {
		err = p.start()
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return p, nil
}

func (p *process) start() error {
	output, err := os.Create(p.output)
	if err != nil {
		return err
	}
	defer output.Close()
	stdin, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	p.stdin = write
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = stdin, output, output, p.dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return p.cmd.Start()
}

// stop ends the program. No one may wait for it before: a waiting parent that
// is its tracer as well would be given the stops of its threads.
func (p *process) stop() {
	_ = p.stdin.Close()
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	_ = p.cmd.Wait()
	_ = os.RemoveAll(p.dir)
}

func (p *process) tail() string { return tail(p.output) }

// tail is the end of a file.
func tail(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(text[max(len(text)-500, 0):])
}

// command runs a target: by the script, or preloaded.
func (r *Recorded) command(ctx context.Context, dir, target, script string) (*exec.Cmd, error) {
	f, err := elf.Open(target)
	if err != nil {
		return nil, err
	}
	library := f.Type == elf.ET_DYN && f.Section(".interp") == nil
	if err := f.Close(); err != nil {
		return nil, err
	}
	switch {
	case library && !strings.Contains(script, "{driver}"):
		cmd := exec.CommandContext(ctx, "sleep", "1000")
		cmd.Env = append(os.Environ(), "LD_PRELOAD="+target, "LD_LIBRARY_PATH="+filepath.Dir(target))
		return cmd, nil
	case script == "":
		script = "{target}"
	}
	script = strings.NewReplacer("{tree}", r.Tree, "{target}", target, "{dir}", dir, "{driver}", r.driver()).Replace(script)
	cmd := exec.CommandContext(ctx, "bash", "-c", "exec "+script)
	libraries := []string{filepath.Dir(target)}
	for _, pattern := range r.Package.Targets {
		found, _ := filepath.Glob(filepath.Join(r.Tree, pattern))
		for _, path := range found {
			libraries = append(libraries, filepath.Dir(path))
		}
	}
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	return cmd, nil
}

// awaitProcesses waits until processes run the target and have settled.
func awaitProcesses(ctx context.Context, id object.BuildID) ([]user.Process, error) {
	var last []user.Process
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		now, err := user.Find(ctx, id)
		if err != nil {
			return nil, err
		}
		if len(now) > 0 && len(now) == len(last) {
			return now, nil
		}
		last = now
	}
	return nil, errors.New("no process runs it")
}

// inAndOut applies and removes a patch and looks at the program's code.
func inAndOut(ctx context.Context, row *Row, p user.Process, obj *patchobject.Object) error {
	before, err := code(p.PID)
	if err != nil {
		return err
	}
	report, err := user.Apply(ctx, p, obj, user.Options{})
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	row.Pause = max(row.Pause, report.Pause)
	applied, err := user.Applied(ctx, p.PID)
	if err != nil {
		return err
	}
	if len(applied) == 0 || applied[len(applied)-1].State != user.Active {
		return errors.New("it was applied and is not active")
	}
	during, err := code(p.PID)
	if err != nil {
		return err
	}
	if bytes.Equal(before, during) {
		return errors.New("it was applied and no code changed")
	}
	if _, err := user.Remove(ctx, p, obj.Info.UUID, user.Options{}); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	after, err := code(p.PID)
	if err != nil {
		return err
	}
	if !bytes.Equal(before, after) {
		return errors.New("the removal did not restore every byte")
	}
	return nil
}

// code reads all executable memory of a process that comes from files.
func code(pid int) ([]byte, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return nil, err
	}
	defer mem.Close()
	var all []byte
	for line := range strings.SplitSeq(string(maps), "\n") {
		var start, end int64
		var mode, offset, device string
		var inode int
		n, _ := fmt.Sscanf(line, "%x-%x %s %s %s %d", &start, &end, &mode, &offset, &device, &inode)
		if n != 6 || inode == 0 || !strings.Contains(mode, "x") {
			continue
		}
		part := make([]byte, end-start)
		if _, err := mem.ReadAt(part, start); err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return all, nil
}
