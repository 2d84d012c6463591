package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/durable/badgerstore"
)

// scale is how many of each there are: few in every test run, and as many as an operator may have with GATEHOUSE_SCALE=full.
type scale struct{ hibernated, resident, sockets, rooms int }

func scaleOf() scale {
	if os.Getenv("GATEHOUSE_SCALE") == "full" {
		return scale{hibernated: 1_000_000, resident: 10_000, sockets: 10_000, rooms: 1_000}
	}
	return scale{hibernated: 20_000, resident: 400, sockets: 400, rooms: 40}
}

func scaleSite(t *testing.T) map[string]string {
	return map[string]string{
		"Caddyfile": site("agent scale {\n\tmain ./scale.ts\n\tdurable THING Thing\n\tlimits {\n\t\tmemory 4gb\n\t}\n}", "agent scale"),
		"scale.ts":  agentFile(t, "scale.ts"),
	}
}

// footprint is what a server and its processes take.
type footprint struct {
	gateway, cells float64 // MiB of memory that no file backs
	descriptors    int     // of both
}

func (s *server) footprint() (f footprint) {
	s.t.Helper()
	f.gateway = float64(s.memory("RssAnon")) / (1 << 20)
	pids := []int{s.cmd.Process.Pid}
	for _, c := range children(s.t, s.cmd.Process.Pid) {
		pids = append(pids, c.pid)
		f.cells += float64(memoryOf(s.t, c.pid, "RssAnon")) / (1 << 20)
	}
	for _, pid := range pids {
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			s.t.Fatal(err)
		}
		f.descriptors += len(open)
	}
	return f
}

func (f footprint) String() string {
	return fmt.Sprintf("%.0f MiB in the gateway, %.0f MiB in cells, %d descriptors", f.gateway, f.cells, f.descriptors)
}

// each calls f with 0 to n-1, some at a time, and fails the test at the first error.
func each(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	todo, failed := make(chan int), make(chan error, 1)
	for range 64 {
		wg.Go(func() {
			for i := range todo {
				if err := f(i); err != nil {
					select {
					case failed <- fmt.Errorf("%d: %w", i, err):
					default:
					}
				}
			}
		})
	}
	for i := range n {
		todo <- i
	}
	close(todo)
	wg.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
}

// counted is what a thing answers.
type counted struct{ Stored, Calls int }

func (s *server) thing(verb, name string) (c counted, err error) {
	resp, text, err := s.try("POST", "/"+verb+"/"+name, "", "Idempotency-Key", "once")
	if err != nil {
		return c, err
	}
	if resp.StatusCode != 200 {
		return c, fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
	return c, json.Unmarshal([]byte(text), &c)
}

// restart starts the server and says how long it took until it answered.
func (s *server) restart(name string) time.Duration {
	s.t.Helper()
	begun := time.Now()
	s.start()
	if _, err := s.thing("add", name); err != nil {
		s.t.Fatal(err)
	}
	return time.Since(begun)
}

// TestManyHibernated fills a store with actors that nobody asks for. They cost the server no memory, and its start no time.
func TestManyHibernated(t *testing.T) {
	n := scaleOf().hibernated
	s := newServer(t, scaleSite(t))
	empty := s.restart("seed")
	small := s.footprint()
	s.stop()

	store, err := badgerstore.Open(badgerstore.Config{Dir: filepath.Join(s.dir, "data", "store")})
	if err != nil {
		t.Fatal(err)
	}
	things := durable.NewNamespace("scale/Thing")
	seed, _, err := store.Acquire(t.Context(), things.Key(things.IDFromName("seed")))
	if err != nil {
		t.Fatal(err)
	}
	like, err := store.Scan(t.Context(), seed, durable.Range{})
	if err != nil || len(like) == 0 {
		t.Fatalf("what a thing stores: %v, %v", like, err)
	}
	var ops []durable.Op
	for _, e := range like {
		ops = append(ops, durable.Op{Key: e.Key, Value: e.Value})
	}
	begun := time.Now()
	each(t, n, func(i int) error {
		name := fmt.Sprint("h", i)
		fence, _, err := store.Acquire(t.Context(), things.Key(things.IDFromName(name)))
		if err != nil {
			return err
		}
		defer store.Release(fence)
		done := make(chan error, 1)
		store.Commit(durable.Batch{Fence: fence, Seq: 1, Ops: ops, Name: name}, func(err error) { done <- err })
		return <-done
	})
	filled := time.Since(begun)
	store.Release(seed)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}

	full := s.restart("h1")
	large := s.footprint()
	t.Logf("%d hibernated actors (made in %v): started in %v, %v; with none: %v, %v", n, filled.Round(time.Millisecond), full.Round(time.Millisecond), large, empty.Round(time.Millisecond), small)
	if more := large.gateway - small.gateway; more > 150 {
		t.Errorf("the gateway takes %.0f MiB more than without actors", more)
	}
	for _, name := range []string{"h0", fmt.Sprint("h", n/2), fmt.Sprint("h", n-1)} {
		got, err := s.thing("add", name)
		if err != nil || got != (counted{Stored: 2, Calls: 1}) {
			t.Errorf("the hibernated actor %s answers %+v, %v", name, got, err)
		}
	}
}

// TestManyResident keeps actors in memory, each with its code, the Web API and its storage.
func TestManyResident(t *testing.T) {
	n := scaleOf().resident
	s := startServer(t, scaleSite(t))
	if _, err := s.thing("add", "first"); err != nil {
		t.Fatal(err)
	}
	before := s.footprint()
	for call := 1; call <= 2; call++ {
		each(t, n, func(i int) error {
			got, err := s.thing("stay", fmt.Sprint("r", i))
			if err == nil && got != (counted{Stored: call, Calls: call}) {
				err = fmt.Errorf("call %d: %+v", call, got)
			}
			return err
		})
	}
	after := s.footprint()
	t.Logf("%d resident actors: %v; before: %v; %.1f KiB each", n, after, before, (after.gateway+after.cells-before.gateway-before.cells)*1024/float64(n))
	if after.descriptors > 20_000 {
		t.Errorf("%d descriptors are open", after.descriptors)
	}
}

// TestManySockets leaves sockets open on actors that have left memory. Each answers once it is asked, after a reload and new code too.
func TestManySockets(t *testing.T) {
	c := scaleOf()
	files := scaleSite(t)
	s := startServer(t, files)
	if _, err := s.thing("add", "first"); err != nil {
		t.Fatal(err)
	}
	before := s.footprint()
	conns := make([]*websocket.Conn, c.sockets)
	each(t, c.sockets, func(i int) (err error) {
		conns[i], _, err = websocket.Dial(t.Context(), fmt.Sprintf("ws://%s/join/room%d", s.address(), i%c.rooms), nil)
		return err
	})
	t.Cleanup(func() {
		for _, conn := range conns {
			_ = conn.CloseNow()
		}
	})
	answers := func(i int) (counted, error) {
		if err := conns[i].Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
			return counted{}, err
		}
		_, data, err := conns[i].Read(t.Context())
		if err != nil {
			return counted{}, err
		}
		var got counted
		text, ok := strings.CutPrefix(string(data), "hello ")
		if !ok {
			return got, fmt.Errorf("it says %q", data)
		}
		return got, json.Unmarshal([]byte(text), &got)
	}
	awake := s.footprint()
	begun := time.Now()
	s.wait("the actors to leave memory", func() bool { return time.Since(begun) > 13*time.Second })
	asleep := s.footprint()
	t.Logf("%d sockets on %d actors: %v once they sleep, %.1f KiB a socket; awake: %v; before: %v", c.sockets, c.rooms, asleep,
		(asleep.gateway-before.gateway)*1024/float64(c.sockets), awake, before)

	s.write("Caddyfile", strings.Replace(files["Caddyfile"], "agent scale\n}", "header X-New 1\nagent scale\n}", 1))
	if out, err := s.reload(); err != nil {
		t.Fatal(out, err)
	}
	s.write("scale.ts", strings.Replace(files["scale.ts"], "calls = 0", "calls = 1_000_000", 1))
	s.wait("the new code", func() bool {
		got, err := s.thing("add", "other")
		return err == nil && got.Calls > 1_000_000
	})
	var mu sync.Mutex
	rooms := make([]int, c.rooms)
	each(t, c.sockets, func(i int) error {
		got, err := answers(i)
		if err == nil && got.Calls <= 1_000_000 {
			err = fmt.Errorf("code of the version before answers: %+v", got)
		}
		mu.Lock()
		defer mu.Unlock()
		rooms[i%c.rooms] = max(rooms[i%c.rooms], got.Stored)
		return err
	})
	for i, n := range rooms {
		want(t, fmt.Sprintf("what room %d has counted", i), n, c.sockets/c.rooms)
	}
}
