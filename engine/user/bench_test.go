package user

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/openeuler/syscare/engine/patchobject"
)

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2].Nanoseconds()) / 1000
}

// growth reports how a cost that was measured for 1, 10, … grows between the last
// two rows, beside what is linear.
func growth(b *testing.B, of string, sizes []int, costs []float64) {
	n := len(costs)
	if n < 2 || n != len(sizes) {
		return // not all rows were asked for
	}
	b.Run(fmt.Sprintf("growth from %d to %d %s", sizes[n-2], sizes[n-1], of), func(b *testing.B) {
		for b.Loop() {
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(costs[n-1]/costs[n-2], "times")
		b.ReportMetric(costs[n-1]/costs[n-2]*float64(sizes[n-2])/float64(sizes[n-1]), "of-linear")
	})
}

// pauses applies and removes a patch again and again and reports the medians of
// the pauses, and that of the whole time of an apply. It returns the first.
func pauses(b *testing.B, r *running, obj *patchobject.Object) float64 {
	ctx := context.Background()
	var apply, remove, wall []time.Duration
	for b.Loop() {
		began := time.Now()
		report, err := Apply(ctx, r.Process, obj, Options{})
		require.NoError(b, err)
		wall = append(wall, time.Since(began))
		apply = append(apply, report.Pause)
		report, err = Remove(ctx, r.Process, obj.Info.UUID, Options{})
		require.NoError(b, err)
		remove = append(remove, report.Pause)
	}
	b.ReportMetric(median(apply), "µs-apply/op")
	b.ReportMetric(median(remove), "µs-remove/op")
	b.ReportMetric(median(wall), "µs-wall/op")
	return median(apply)
}

// BenchmarkPause reports the pause of a process against its threads: idle, or
// at work in and out of the patched functions.
func BenchmarkPause(b *testing.B) {
	run := func(mode string, threads int) (cost float64) {
		b.Run(fmt.Sprintf("%s/%d threads", mode, threads), func(b *testing.B) {
			program := pie.program(b, "target.c")
			cost = pauses(b, start(b, program, mode, strconv.Itoa(threads)), pie.patch(b, program, "patch.c", everything...))
		})
		return cost
	}
	var costs []float64
	sizes := []int{1, 8, 50, 500}
	for _, threads := range sizes {
		costs = append(costs, run("idle", threads))
	}
	growth(b, "threads", sizes, costs)
	run("calm", 8)
	run("mixed", 8)
}

// BenchmarkPauseOfFunctions reports it against the number of functions that are
// replaced.
func BenchmarkPauseOfFunctions(b *testing.B) {
	program := pie.program(b, "many.c")
	f := pie
	f.compile = append(slices.Clone(pie.compile), "-DVERSION=1")
	sizes, costs := []int{1, 10, 100}, []float64{}
	for _, n := range sizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			var names []string
			for i := range n {
				names = append(names, fmt.Sprintf("f%d", 10+i))
			}
			costs = append(costs, pauses(b, start(b, program), f.patch(b, program, "many.c", names...)))
		})
	}
	growth(b, "functions", sizes, costs)
}

// BenchmarkProcesses reports how long it takes to find, patch and release many
// processes of one program, in all and for each.
func BenchmarkProcesses(b *testing.B) {
	ctx := context.Background()
	program := pie.program(b, "herd.c")
	obj := pie.patch(b, program, "compute.c", "compute")
	sizes, costs := []int{1, 10, 100, 1000, 4000}, []float64{}
	for _, n := range sizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			start(b, program, strconv.Itoa(n))
			var found []Process
			require.Eventually(b, func() bool {
				var err error
				found, err = Find(ctx, obj.Info.TargetID)
				return err == nil && len(found) == n
			}, time.Minute, 10*time.Millisecond)
			each := func(f func(Process) error) time.Duration {
				began := time.Now()
				var group errgroup.Group
				group.SetLimit(8)
				for _, p := range found {
					group.Go(func() error { return f(p) })
				}
				require.NoError(b, group.Wait())
				return time.Since(began)
			}
			var find, apply, remove time.Duration
			for b.Loop() {
				began := time.Now()
				_, err := Find(ctx, obj.Info.TargetID)
				require.NoError(b, err)
				find += time.Since(began)
				apply += each(func(p Process) error {
					_, err := Apply(ctx, p, obj, Options{})
					return err
				})
				remove += each(func(p Process) error {
					_, err := Remove(ctx, p, obj.Info.UUID, Options{})
					return err
				})
			}
			for unit, d := range map[string]time.Duration{"find": find, "apply": apply, "remove": remove} {
				b.ReportMetric(d.Seconds()*1000/float64(b.N), "ms-"+unit+"/op")
			}
			b.ReportMetric(float64(apply.Microseconds())/float64(b.N)/float64(n), "µs-apply/process")
			costs = append(costs, apply.Seconds()/float64(b.N))
		})
	}
	growth(b, "processes", sizes, costs)
}

// BenchmarkCall reports what a call of a replaced function costs beside one of a
// program that was built with the new code.
func BenchmarkCall(b *testing.B) {
	ctx := context.Background()
	program, rebuilt := pie.program(b, "calls.c"), pie.program(b, "calls_new.c")
	obj := pie.patch(b, program, "calls_new.c", "called")
	r, direct := start(b, program), start(b, rebuilt)
	_, err := Apply(ctx, r.Process, obj, Options{})
	require.NoError(b, err)
	rate := func(r *running) float64 {
		before, began := r.long("rounds"), time.Now()
		time.Sleep(300 * time.Millisecond)
		return float64(r.long("rounds")-before) / time.Since(began).Seconds()
	}
	var with, without float64
	for b.Loop() {
		with += rate(r)
		without += rate(direct)
	}
	b.ReportMetric(1e9*(1/with-1/without)*float64(b.N), "added-ns/call")
	b.ReportMetric(without/with, "of-rebuilt")
}
