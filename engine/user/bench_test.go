package user

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkPause reports the median pause of a process with 8 threads.
func BenchmarkPause(b *testing.B) {
	for _, mode := range []string{"calm", "mixed"} {
		b.Run(mode, func(b *testing.B) {
			ctx := context.Background()
			program := pie.program(b, "target.c")
			obj := pie.patch(b, program, "patch.c", everything...)
			r := start(b, program, mode, "8")
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
		})
	}
}

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2].Nanoseconds()) / 1000
}
