package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// child is a process that another one has started.
type child struct {
	pid   int
	ticks int    // of processor time
	began string // distinguishes it from a later process of the same number
}

// children are the processes that pid has started and that have not ended.
func children(t *testing.T, pid int) []child {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var all []child
	for _, path := range stats {
		if c, parent, ok := readStat(path); ok && parent == pid {
			all = append(all, c)
		}
	}
	return all
}

// readStat reads proc_pid_stat(5); a process that has ended, or is a zombie, is not there.
func readStat(path string) (c child, parent int, ok bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return c, 0, false
	}
	// The name, in parentheses, may hold anything; the fields after it are plain.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return c, 0, false
	}
	c.pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(path)))
	parent, _ = strconv.Atoi(fields[1])
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	c.ticks, c.began = user+system, fields[19]
	return c, parent, true
}

// TestCellIsKilled kills, five times, the process of an agent in the middle of writes of its counters: each write that was
// acknowledged is there, and another agent answers every request meanwhile.
func TestCellIsKilled(t *testing.T) {
	s := startServer(t, map[string]string{
		"Caddyfile": site(cellGlobal("")+"\tagent steady {\n\t\tmain ./steady.ts\n\t}\n", "\thandle /steady {\n\t\tagent steady\n\t}\n\tagent cells"),
		"cell.ts":   agentFile(t, "cell.ts"),
		"steady.ts": "export default { fetch() { return new Response(\"steady\") } }\n",
	})
	const counters, rounds, writes = 8, 5, 200
	var acknowledged, open [counters]atomic.Int64
	stop := make(chan struct{})
	written := make(chan struct{}, writes)
	beat := make(chan struct{}, 1) // the other agent is asked now and then, so that its process is not the busiest
	var clients sync.WaitGroup
	for i := range counters {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := s.call(nil, fmt.Sprintf("counter-%d", i), "increment"); err != nil {
					open[i].Add(1)
					continue
				}
				if n := acknowledged[i].Add(1); n%20 == 0 {
					select {
					case beat <- struct{}{}:
					default:
					}
				}
				select {
				case written <- struct{}{}:
				default:
				}
			}
		})
	}
	clients.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-beat:
			}
			if resp, body, err := s.try("GET", "/steady", ""); err != nil || resp.StatusCode != 200 || body != "steady" {
				t.Errorf("the other agent: %v %q", err, body)
				return
			}
		}
	})
	for round := range rounds {
		for range writes {
			if _, err := next(written); err != nil {
				t.Fatalf("round %d: waiting for writes: %v", round, err)
			}
		}
		// The process of the counters is the busiest.
		var busiest child
		for _, c := range children(t, s.cmd.Process.Pid) {
			if c.ticks >= busiest.ticks {
				busiest = c
			}
		}
		if err := syscall.Kill(busiest.pid, syscall.SIGKILL); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	for range writes {
		if _, err := next(written); err != nil {
			t.Fatalf("after the last kill: %v", err)
		}
	}
	close(stop)
	clients.Wait()
	failed := int64(0)
	for i := range counters {
		var value int64
		if err := s.call(&value, fmt.Sprintf("counter-%d", i), "increment"); err != nil {
			t.Errorf("counter %d: %v", i, err)
			continue
		}
		value-- // this call's own
		low, doubt := acknowledged[i].Load(), open[i].Load()
		if value < low || value > low+doubt {
			t.Errorf("counter %d is %d; %d increments were acknowledged, %d were not answered", i, value, low, doubt)
		}
		failed += doubt
	}
	if failed == 0 {
		t.Error("no request failed: the process that was killed was not the one that counted")
	}
	if ends := strings.Count(s.logged(), "a cell has ended"); ends != rounds {
		t.Errorf("the log tells of %d cells that ended, not of %d", ends, rounds)
	}
}

// TestCellsEndWithTheServer kills the server with kill -9, also while code runs: no process of it stays behind.
func TestCellsEndWithTheServer(t *testing.T) {
	s := startServer(t, map[string]string{
		"Caddyfile": site("\tagent busy {\n\t\tmain ./busy.ts\n\t\tlimits {\n\t\t\tcpu 1m\n\t\t\twall 1m\n\t\t}\n\t}\n", "\tagent busy"),
		"busy.ts":   "export default { fetch(req) { if (req.url.endsWith(\"/spin\")) { for (;;) {} } return new Response(\"ok\") } }\n",
	})
	s.get("/", 200)
	var spinning sync.WaitGroup
	spinning.Go(func() { _, _, _ = s.try("GET", "/spin", "") })
	cells := children(t, s.cmd.Process.Pid)
	if len(cells) < 2 {
		t.Fatalf("the server has started %d processes; a cell and a spare were expected", len(cells))
	}
	began := cells[0].ticks
	s.wait("the code runs", func() bool {
		ticks := 0
		for _, c := range children(t, s.cmd.Process.Pid) {
			ticks = max(ticks, c.ticks)
		}
		return ticks > began+10
	})
	s.kill()
	spinning.Wait()
	s.wait("the cells have ended", func() bool {
		for _, c := range cells {
			if now, _, ok := readStat(fmt.Sprintf("/proc/%d/stat", c.pid)); ok && now.began == c.began {
				return false
			}
		}
		return true
	})
}

// TestIsolationInProcess runs code in the server's own process, where the configuration asks for it.
func TestIsolationInProcess(t *testing.T) {
	s := startServer(t, map[string]string{
		"Caddyfile":  site("\tagent trusted {\n\t\tmain ./trusted.ts\n\t\tisolation inprocess\n\t}\n", "\tagent trusted"),
		"trusted.ts": "export default { fetch() { return new Response(\"here\") } }\n",
	})
	want(t, "the answer", s.get("/", 200), "here")
	if cells := children(t, s.cmd.Process.Pid); len(cells) > 0 {
		t.Errorf("the server has started %d processes for code that runs in its own", len(cells))
	}
}
