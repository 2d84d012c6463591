package cell

import (
	"context"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

// BenchmarkHello measures a request through a cell, and the processor time that the two processes together take for it.
func BenchmarkHello(b *testing.B) {
	p := newPool(b)
	a := newAgent(b, p, `export default { fetch() { return new Response("Hello\n") } }`)
	for _, parallel := range []int{1, 8} {
		b.Run(map[int]string{1: "one", 8: "sixteen"}[parallel], func(b *testing.B) {
			var before, after syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			cell, _ := a.current.box.Usage()
			b.ReportAllocs()
			b.SetParallelism(parallel)
			run := func() {
				inv := a.Fetch(context.Background(), nobody{}, get("/"))
				resp, err := inv.Response()
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				inv.Wait()
			}
			if parallel == 1 {
				for range b.N {
					run()
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						run()
					}
				})
			}
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			now, _ := a.current.box.Usage()
			gateway := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
			b.ReportMetric(float64(gateway.Microseconds())/float64(b.N), "gateway-us/op")
			b.ReportMetric(float64((now.CPU-cell.CPU).Microseconds())/float64(b.N), "cell-us/op")
		})
	}
}

// BenchmarkEcho measures a body of 64 KiB that streams both ways.
func BenchmarkEcho(b *testing.B) {
	p := newPool(b)
	a := newAgent(b, p, `export default { fetch(req) { return new Response(req.body) } }`)
	body := strings.Repeat("x", 256<<10)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		req := &agentruntime.Request{Method: "POST", URL: "https://agent.example/", Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
		inv := a.Fetch(context.Background(), nobody{}, req)
		resp, err := inv.Response()
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != int64(len(body)) || err != nil {
			b.Fatal(n, err)
		}
		_ = resp.Body.Close()
		inv.Wait()
	}
}
