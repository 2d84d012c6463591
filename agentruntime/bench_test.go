package agentruntime

import (
	"context"
	"io"
	"syscall"
	"testing"
	"time"
)

// cpuOf reports the CPU time of the process per iteration, which a busy machine changes less than the time that passed.
func cpuOf(b *testing.B, run func()) {
	usage := func() time.Duration {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := usage()
	run()
	b.ReportMetric(float64((usage()-before).Nanoseconds())/1000/float64(b.N), "cpu-us/op")
}

func BenchmarkFetchHello(b *testing.B) {
	a := newAgent(b, `export default { fetch() { return new Response("hello") } }`, Config{})
	host := &testHost{}
	ctx := context.Background()
	req := get("/")
	b.ReportAllocs()
	cpuOf(b, func() {
		for b.Loop() {
			inv := a.Fetch(ctx, host, req)
			resp, err := inv.Response()
			if err != nil || resp.Status != 200 {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if r := inv.Wait(); r.Outcome != OutcomeOK {
				b.Fatal(r)
			}
		}
	})
}
