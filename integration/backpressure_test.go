package integration

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const helloAgent = `export default { fetch: () => new Response("hello") };`

// hammer sends n requests over so many connections, all of which have to be answered with 200.
func (s *server) hammer(path string, n, connections int) {
	s.t.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var users sync.WaitGroup
	for range connections {
		users.Go(func() {
			for left.Add(-1) >= 0 {
				resp, err := client.Get(s.url(path))
				if err != nil {
					s.t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 {
					s.t.Errorf("status %d", resp.StatusCode)
					return
				}
			}
		})
	}
	users.Wait()
}

// TestLogThatBlocks has nobody read the server's log: requests go on, and what the log has no room for is counted, exactly. While somebody reads,
// nothing is lost.
func TestLogThatBlocks(t *testing.T) {
	s := startServer(t, map[string]string{"Caddyfile": site("agent hello {\n\tmain ./hello.ts\n\tisolation inprocess\n}\n", "\tagent hello"), "hello.ts": helloAgent})
	const quiet, loud = 5000, 30000
	logged := func() int { return strings.Count(s.logged(), `"msg":"fetch"`) }
	s.hammer("/", quiet, 16)
	s.wait("every record", func() bool { return logged() == quiet })
	want(t, "dropped while somebody reads", s.metric("caddy_gatehouse_log_records_dropped_total"), 0)

	s.mu.Lock() // the log's writer waits from now on
	s.hammer("/", loud, 16)
	dropped := s.metric("caddy_gatehouse_log_records_dropped_total")
	s.mu.Unlock()
	if dropped == 0 {
		t.Fatal("nothing was dropped: the queue has room for everything, and this shows nothing")
	}
	s.wait("what was not dropped", func() bool { return logged() == quiet+loud-s.metric("caddy_gatehouse_log_records_dropped_total") })
	t.Logf("of %d records that nobody read %d were dropped", loud, dropped)
}

// TestSlowTails has ten readers of the live tail that do not read, and one that does. What each gets and what it is told that it lost add up.
// With GATEHOUSE_TAILS=full it prints what honest requests feel of them, at 5,000 requests a second.
func TestSlowTails(t *testing.T) {
	s := startServer(t, map[string]string{"Caddyfile": site("agent hello {\n\tmain ./hello.ts\n\tisolation inprocess\n}\n", "\tagent hello"), "hello.ts": helloAgent})
	tails := func(n int) []*http.Response {
		var open []*http.Response
		for range n {
			resp, err := (&http.Client{Transport: &http.Transport{}}).Get(fmt.Sprintf("http://127.0.0.1:%d/gatehouse/tail", s.admin))
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, resp)
		}
		return open
	}
	if os.Getenv("GATEHOUSE_TAILS") == "full" {
		s.tailsAtRate(tails)
		return
	}
	slow := tails(10)
	const n = 30_000 // more than a socket and the watcher's room hold
	s.hammer("/", n, 16)
	s.get("/last", 200)
	for i, resp := range slow {
		records, lost := 0, 0
		deadline := time.AfterFunc(20*time.Second, func() { resp.Body.Close() })
		buf, text := make([]byte, 64<<10), strings.Builder{}
		for records+lost < n+1 {
			k, err := resp.Body.Read(buf)
			if err != nil {
				t.Fatalf("tail %d: %v after %d records and %d lost", i, err, records, lost)
			}
			text.Write(buf[:k])
			events := strings.Split(text.String(), "\n\n")
			text.Reset()
			text.WriteString(events[len(events)-1])
			for _, ev := range events[:len(events)-1] {
				if data, ok := strings.CutPrefix(ev, "event: dropped\ndata: "); ok {
					var d int
					fmt.Sscan(data, &d)
					lost += d
				} else if strings.HasPrefix(ev, "event: record") {
					records++
				}
			}
		}
		deadline.Stop()
		resp.Body.Close()
		if records+lost != n+1 || lost == 0 {
			t.Errorf("tail %d: %d records and %d lost of %d", i, records, lost, n+1)
		}
	}
}

// tailsAtRate measures requests at 5,000 a second with no tail and with ten slow ones, in turns, and prints the p99 of each.
func (s *server) tailsAtRate(tails func(int) []*http.Response) {
	const rate, round = 5000, 3 * time.Second
	measure := func() time.Duration {
		took := make([]time.Duration, int(rate*round.Seconds()))
		var at atomic.Int64
		begun := time.Now()
		var users sync.WaitGroup
		for range 32 {
			users.Go(func() {
				for {
					i := int(at.Add(1)) - 1
					if i >= len(took) {
						return
					}
					due := begun.Add(time.Duration(i) * time.Second / rate)
					time.Sleep(time.Until(due))
					resp, err := client.Get(s.url("/"))
					if err != nil {
						s.t.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					took[i] = time.Since(due) // waiting for a turn counts
				}
			})
		}
		users.Wait()
		slices.Sort(took)
		s.t.Logf("%d requests in %v: p50 %v, p99 %v", len(took), time.Since(begun).Round(10*time.Millisecond), took[len(took)/2], took[len(took)*99/100])
		return took[len(took)*99/100]
	}
	// What a reader does not read fills its socket first; a reader is slow once that is full.
	filled := func() { s.hammer("/", 30_000, 16) }
	var ratios []float64
	for range 9 {
		filled()
		without := measure()
		open := tails(10)
		filled()
		with := measure()
		for _, r := range open {
			r.Body.Close()
		}
		ratios = append(ratios, float64(with)/float64(without))
	}
	slices.Sort(ratios)
	s.t.Logf("p99 with ten slow tails is %.2f times that without (%.2f..%.2f)", ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1])
}
