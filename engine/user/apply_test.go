package user

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestApplyAndRemove(t *testing.T) {
	ctx := context.Background()
	for _, tc := range []struct {
		flavour flavour
		mode    string
		threads int
		cycles  int
	}{
		{pie, "calm", 8, 50},
		{pie, "busy", 1, 50},
		{pie, "busy", 8, 25},
		{pie, "calm", 64, 10},
		{pie, "mixed", 64, 5},
		{pieCET, "busy", 4, 10},
		{nonPIE, "busy", 8, 10},
		{static, "busy", 8, 10},
	} {
		t.Run(tc.flavour.name+"/"+tc.mode+"/"+strconv.Itoa(tc.threads), func(t *testing.T) {
			program := tc.flavour.program(t, "target.c")
			obj := tc.flavour.patch(t, program, "patch.c", everything...)
			r := start(t, program, tc.mode, strconv.Itoa(tc.threads))
			text := r.text()
			var mapped uint64
			for i := range tc.cycles {
				_, err := Apply(ctx, r.Process, obj, Options{})
				require.NoError(t, err)
				r.runsOn()
				if i == 0 {
					r.eventually("last", 1000)
					r.eventually("last_tls", 1041)
					r.eventually("last_err", 102)
					r.eventually("last_fact", 1720)
				}
				list, err := Applied(ctx, r.PID)
				require.NoError(t, err)
				require.Len(t, list, 1)
				require.Equal(t, Active, list[0].State)
				require.Equal(t, obj.Info.UUID, list[0].UUID)
				require.Len(t, list[0].Functions, len(everything))
				if mapped == 0 {
					mapped = list[0].Bytes
				}
				require.Equal(t, mapped, list[0].Bytes)
				_, err = Remove(ctx, r.Process, obj.Info.UUID, Options{})
				require.NoError(t, err)
				require.Equal(t, Removed, state(t, r.Process))
				r.pristine(text)
				r.runsOn()
			}
			r.eventually("last", 1)
			r.eventually("last_tls", 41)
			r.eventually("last_err", 2)
		})
	}
}

// A program with 64 threads at full load takes a patch and gives it back, again
// and again; its books stay right, and no system call sees us.
func TestManyCycles(t *testing.T) {
	ctx := context.Background()
	program := pie.program(t, "cycles.c")
	obj := pie.patch(t, program, "cycles_new.c", "move", "fee")
	r := start(t, program)
	text := r.text()
	began, attempts := time.Now(), 0
	for range *cycles {
		report, err := Apply(ctx, r.Process, obj, Options{Timeout: 20 * time.Second})
		require.NoError(t, err)
		r.eventually("last", 2)
		require.Equal(t, 64, report.Threads)
		attempts += report.Attempts
		report, err = Remove(ctx, r.Process, obj.Info.UUID, Options{Timeout: 20 * time.Second})
		require.NoError(t, err)
		attempts += report.Attempts
		r.eventually("last", 1)
		r.runsOn()
	}
	r.pristine(text)
	t.Logf("%d cycles in %v, %d stops", *cycles, time.Since(began), attempts)
}

func TestEachStep(t *testing.T) {
	ctx := context.Background()
	program := pie.program(t, "target.c")
	obj := pie.patch(t, program, "patch.c", everything...)
	id := obj.Info.UUID
	r := start(t, program, "calm", "3")
	text := r.text()

	found, err := Find(ctx, obj.Info.TargetID)
	require.NoError(t, err)
	require.Contains(t, found, r.Process)

	_, err = Activate(ctx, r.Process, id, Options{})
	require.ErrorIs(t, err, ErrNotApplied)
	_, err = Load(ctx, r.Process, obj, Options{})
	require.NoError(t, err)
	require.Equal(t, Loaded, state(t, r.Process))
	r.pristine(text)
	_, err = Load(ctx, r.Process, obj, Options{})
	require.ErrorIs(t, err, ErrAlready)
	_, err = Deactivate(ctx, r.Process, id, Options{})
	require.ErrorIs(t, err, ErrAlready)
	report, err := Activate(ctx, r.Process, id, Options{})
	require.NoError(t, err)
	require.Equal(t, 3, report.Threads)
	require.Positive(t, report.Pause)
	r.eventually("last", 1000)
	_, err = Activate(ctx, r.Process, id, Options{})
	require.ErrorIs(t, err, ErrAlready)
	_, err = Apply(ctx, r.Process, obj, Options{})
	require.ErrorIs(t, err, ErrAlready)

	other := *obj
	other.Info.Tool = "another build"
	_, err = Apply(ctx, r.Process, &other, Options{})
	var conflict ErrConflict
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, id, conflict.UUID)

	_, err = Deactivate(ctx, r.Process, id, Options{})
	require.NoError(t, err)
	require.Equal(t, Inactive, state(t, r.Process))
	r.pristine(text)
	r.eventually("last", 1)
	_, err = Apply(ctx, r.Process, obj, Options{})
	require.NoError(t, err)
	r.eventually("last", 1000)
	_, err = Remove(ctx, r.Process, id, Options{})
	require.NoError(t, err)
	_, err = Remove(ctx, r.Process, id, Options{})
	require.ErrorIs(t, err, ErrNotApplied)
	r.pristine(text)
	r.runsOn()
}

func TestWrongCodeIsRefused(t *testing.T) {
	program := pie.program(t, "target.c")
	obj := pie.patch(t, program, "patch.c", everything...)
	obj.Funcs[0].Code[3] ^= 1
	r := start(t, program, "calm", "1")
	_, err := Apply(context.Background(), r.Process, obj, Options{})
	var mismatch ErrMismatch
	require.ErrorAs(t, err, &mismatch)
	require.Equal(t, ErrMismatch{PID: r.PID, Function: "compute", Offset: 3}, mismatch)
	require.Zero(t, state(t, r.Process))
	r.runsOn()
}

func TestFunctionThatNeverReturnsIsBusy(t *testing.T) {
	program := pie.program(t, "target.c")
	obj := pie.patch(t, program, "forever.c", "forever")
	r := start(t, program, "forever")
	text := r.text()
	_, err := Apply(context.Background(), r.Process, obj, Options{Timeout: 300 * time.Millisecond})
	var busy ErrBusy
	require.ErrorAs(t, err, &busy)
	require.Equal(t, "forever", busy.Function)
	require.Equal(t, r.PID, busy.TID)
	require.Zero(t, state(t, r.Process), "an error leaves nothing behind")
	r.pristine(text)
	r.runsOn()

	_, err = Apply(context.Background(), r.Process, obj, Options{Force: true})
	require.NoError(t, err)
	require.Equal(t, Active, state(t, r.Process))
	r.runsOn()
}

func TestFrameThatFinishesIsWaitedFor(t *testing.T) {
	ctx := context.Background()
	program := pie.program(t, "target.c")
	obj := pie.patch(t, program, "slow.c", "slow")
	r := start(t, program, "slow", "30")
	text := r.text()
	for range 3 {
		_, err := Apply(ctx, r.Process, obj, Options{})
		require.NoError(t, err)
		r.eventually("last_slow", 2)
		// A new helper of the patch is on the stack nearly all the time.
		_, err = Remove(ctx, r.Process, obj.Info.UUID, Options{})
		require.NoError(t, err)
		r.pristine(text)
		r.eventually("last_slow", 1)
		r.runsOn()
	}
}
