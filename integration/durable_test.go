package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// cellGlobal defines the agent of cell.ts, with more of its options.
func cellGlobal(more string) string {
	return "\t\tagent cells {\n\t\t\tmain ./cell.ts\n\t\t\tdurable CELL Cell\n\t\t\tdurable OTHER Other\n" + more + "\t\t}\n"
}

// startCells starts a server that calls methods of cells, with more options of their agent.
func startCells(t *testing.T, more ...string) *server {
	t.Helper()
	return startServer(t, map[string]string{
		"Caddyfile": site(cellGlobal(strings.Join(more, "")), "\tagent cells"),
		"cell.ts":   agentFile(t, "cell.ts"),
	})
}

// call calls a method of the cell of that name and decodes what it returns into result, unless that is nil.
func (s *server) call(result any, name, method string, args ...any) error {
	if args == nil {
		args = []any{}
	}
	body, err := json.Marshal(args)
	if err != nil {
		return err
	}
	// The key tells the client that a connection closed before the request was read is no reason to fail.
	resp, text, err := s.try("POST", "/cell/"+name+"/"+method, string(body), "Content-Type", "application/json", "Idempotency-Key", "once")
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s of %s: status %d: %s", method, name, resp.StatusCode, text)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal([]byte(text), result)
}

// ask is call for a test that can't go on without the result.
func ask[T any](s *server, name, method string, args ...any) T {
	s.t.Helper()
	var v T
	if err := s.call(&v, name, method, args...); err != nil {
		s.t.Fatal(err)
	}
	return v
}

// run runs a subtest on the server, which fails by itself.
func (s *server) run(name string, test func(t *testing.T)) {
	outer := s.t
	outer.Run(name, func(t *testing.T) {
		s.t = t
		defer func() { s.t = outer }()
		test(t)
	})
}

// wantJSON fails the test unless the JSON of got and want is the same.
func wantJSON(t *testing.T, what, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%s: %v: %s", what, err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%s: %v: %s", what, err, want)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
	}
}

func TestActor(t *testing.T) {
	s := startCells(t)

	s.run("ids", func(t *testing.T) {
		wantJSON(t, "ids", s.get("/caller/ids", 200), `{
			"stable": true, "distinct": true, "uniqueDiffers": true, "hex": true, "roundTrip": true, "name": "a", "uniqueName": null,
			"foreign": "TypeError", "garbage": "TypeError", "foreignGet": "TypeError", "otherNamespace": true, "byName": true}`)
		wantJSON(t, "state under a unique id", s.get("/caller/unique", 200), `"kept under a unique id"`)
	})

	s.run("state is kept for each id by itself", func(t *testing.T) {
		for range 3 {
			ask[int](s, "alice", "increment")
		}
		ask[int](s, "bob", "increment")
		if a, b, c := ask[int](s, "alice", "value"), ask[int](s, "bob", "value"), ask[int](s, "carol", "value"); a != 3 || b != 1 || c != 0 {
			t.Errorf("values %d, %d and %d, want 3, 1 and 0", a, b, c)
		}
	})

	s.run("structured clones", func(t *testing.T) {
		wantJSON(t, "clones", s.get("/caller/clones", 200), `{
			"seen": ["[object Map]", "[object Date]", "[object BigInt]", "[object Uint8Array]", "[object Error]", "[object Object]", "[object Undefined]"],
			"map": true, "date": 86400000, "big": "1180591620717411303424", "bytes": [1, 2, 3], "error": "r", "cycle": true, "nothing": true}`)
	})

	s.run("exceptions reach the caller", func(t *testing.T) {
		var caught []struct {
			Error         bool
			Name, Message string
			Value         any
		}
		if err := json.Unmarshal([]byte(s.get("/caller/exception", 200)), &caught); err != nil {
			t.Fatal(err)
		}
		if len(caught) != 3 {
			t.Fatalf("caught %+v, want three", caught)
		}
		if c := caught[0]; !c.Error || c.Name != "TypeError" || c.Message != "said the method" {
			t.Errorf("an exception of a method arrives as %+v", c)
		}
		for i, what := range []string{"a method that is not there", "an event handler"} {
			if c := caught[i+1]; !c.Error || c.Name != "TypeError" {
				t.Errorf("calling %s gives %+v", what, c)
			}
		}
		// An exception does not undo what was written before it, nor does it end the actor.
		if err := s.call(nil, "exception", "failAfterPut", "k"); err == nil || !strings.Contains(err.Error(), "after the put") {
			t.Errorf("failAfterPut: %v", err)
		}
		if v := ask[string](s, "exception", "get", "k"); v != "written before the exception" {
			t.Errorf("the write before an exception reads as %q", v)
		}
	})

	s.run("fetch of a stub", func(t *testing.T) {
		wantJSON(t, "fetch", s.get("/caller/fetch", 200), `{"method": "POST", "path": "/some/path", "body": "the body", "id": true}`)
	})

	s.run("the constructor's work comes before the first event", func(t *testing.T) {
		type memory struct {
			Ready    bool
			Instance string
			Calls    int
			Name     string
		}
		seen := make([]memory, 64)
		together(len(seen), func(i int) {
			if err := s.call(&seen[i], "fresh", "memory"); err != nil {
				t.Error(err)
			}
		})
		calls := map[int]bool{}
		for _, m := range seen {
			if !m.Ready || m.Instance != seen[0].Instance || m.Instance == "" || m.Name != "fresh" {
				t.Errorf("an event saw %+v; the first saw %+v", m, seen[0])
			}
			calls[m.Calls] = true
		}
		if len(calls) != len(seen) {
			t.Errorf("%d events counted %d different numbers in memory", len(seen), len(calls))
		}
		if n := ask[int](s, "fresh", "get", "starts"); n != 1 {
			t.Errorf("the constructor ran %d times", n)
		}
	})

	s.run("transactions", func(t *testing.T) {
		for _, c := range []struct{ end, says, from string }{
			{"rollback", "done", "null"},
			{"throw", "RangeError: thrown in the transaction", "null"},
			{"commit", "done", "1"},
		} {
			name := "transaction-" + c.end
			if says := ask[string](s, name, "transfer", c.end); says != c.says {
				t.Errorf("%s: the caller sees %q, want %q", c.end, says, c.says)
			}
			_, from := s.do("POST", "/cell/"+name+"/get", `["from"]`)
			if from != c.from {
				t.Errorf("%s: from is %s afterwards, want %s", c.end, from, c.from)
			}
		}
	})

	s.run("list", func(t *testing.T) {
		ask[any](s, "list", "put", map[string]any{"a/1": 1, "a/2": 2, "a/3": 3, "b/1": 4, "é": 5, "z": 6, "\U0001F600": 7})
		for _, c := range []struct {
			name    string
			options map[string]any
			want    string
		}{
			{"prefix", map[string]any{"prefix": "a/"}, `["a/1","a/2","a/3"]`},
			{"limit", map[string]any{"prefix": "a/", "limit": 2}, `["a/1","a/2"]`},
			{"reverse", map[string]any{"prefix": "a/", "reverse": true}, `["a/3","a/2","a/1"]`},
			{"reverse and limit", map[string]any{"prefix": "a/", "reverse": true, "limit": 1}, `["a/3"]`},
			{"start and end", map[string]any{"start": "a/2", "end": "b/1"}, `["a/2","a/3"]`},
			{"startAfter", map[string]any{"startAfter": "a/2", "limit": 2}, `["a/3","b/1"]`},
			{"start, end and reverse", map[string]any{"start": "a/2", "end": "b/1", "reverse": true}, `["a/3","a/2"]`},
			{"order of bytes", map[string]any{"start": "b"}, `["b/1","starts","z","é","😀"]`},
			{"none", map[string]any{"prefix": "nothing"}, `[]`},
		} {
			got, err := json.Marshal(ask[[]string](s, "list", "list", c.options))
			if err != nil {
				t.Fatal(err)
			}
			wantJSON(t, c.name, string(got), c.want)
		}
		if err := s.call(nil, "list", "list", map[string]any{"start": "a", "startAfter": "b"}); err == nil || !strings.Contains(err.Error(), "TypeError") {
			t.Errorf("start with startAfter: %v, want a TypeError", err)
		}
		if n := ask[int](s, "list", "remove", []string{"a/1", "a/2", "not there"}); n != 2 {
			t.Errorf("delete of three keys, one of them missing, returned %d", n)
		}
		if ok := ask[bool](s, "list", "remove", "not there"); ok {
			t.Error("delete of a missing key returned true")
		}
	})

	s.run("deleteAll", func(t *testing.T) {
		ask[any](s, "clear", "put", map[string]any{"a": 1, "b": 2})
		if at := ask[int64](s, "clear", "setAlarm", time.Now().Add(time.Hour).UnixMilli()); at == 0 {
			t.Fatal("no alarm was set")
		}
		_, left := s.do("POST", "/cell/clear/clear", "[]")
		wantJSON(t, "what deleteAll leaves", left, `{"keys": [], "alarm": null}`)
		s.stop()
		s.start()
		// The constructor has written its own key again.
		_, left = s.do("POST", "/cell/clear/list", "[{}]")
		wantJSON(t, "what deleteAll leaves after a restart", left, `["starts"]`)
		if n := ask[int](s, "clear", "get", "starts"); n != 1 {
			t.Errorf("the constructor found what deleteAll had removed: starts is %d", n)
		}
		if _, alarm := s.do("POST", "/cell/clear/getAlarm", "[]"); alarm != "null" {
			t.Errorf("an alarm outlived deleteAll: %s", alarm)
		}
	})
}

// together runs n copies of f at once and waits for them.
func together(n int, f func(i int)) {
	var running sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		running.Go(func() {
			<-begin
			f(i)
		})
	}
	close(begin)
	running.Wait()
}

// TestOneEventAtATime shows the input gate: no other event comes between a read and the write that follows it, whatever
// of the storage is waited for between. A timer does let others in, unless a critical section is open.
func TestOneEventAtATime(t *testing.T) {
	s := startCells(t)
	for _, method := range []string{"increment", "slowIncrement", "blockedIncrement"} {
		s.run(method, func(t *testing.T) {
			const connections, each = 64, 5
			var mu sync.Mutex
			seen := map[int]int{}
			together(connections, func(int) {
				for range each {
					var n int
					if err := s.call(&n, method, method); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					seen[n]++
					mu.Unlock()
				}
			})
			for n := 1; n <= connections*each; n++ {
				if seen[n] != 1 {
					t.Errorf("the number %d was returned %d times", n, seen[n])
				}
			}
			if v := ask[int](s, method, "value"); v != connections*each {
				t.Errorf("the value is %d after %d increments", v, connections*each)
			}
		})
	}
	s.run("a timer lets others in", func(t *testing.T) {
		var mu sync.Mutex
		most := 0
		together(16, func(int) {
			var n int
			if err := s.call(&n, "overlap", "overlap"); err != nil {
				t.Error(err)
			}
			mu.Lock()
			most = max(most, n)
			mu.Unlock()
		})
		if most < 2 {
			t.Error("16 events with a timer each never overlapped: the gate is closed for too long")
		}
	})
}

// TestCounters lets 64 connections count in 100 actors. GATEHOUSE_SHORT=1 makes the run 2 s long instead of 10.
func TestCounters(t *testing.T) {
	const counters, connections = 100, 64
	length := 10 * time.Second
	if os.Getenv("GATEHOUSE_SHORT") != "" {
		length = 2 * time.Second
	}
	s := startCells(t)
	var mu sync.Mutex
	returned := make([][]int, counters)
	total := 0
	end := time.Now().Add(length)
	together(connections, func(i int) {
		random := rand.New(rand.NewPCG(1, uint64(i)))
		for time.Now().Before(end) && !t.Failed() {
			c := random.IntN(counters)
			var n int
			if err := s.call(&n, fmt.Sprintf("counter-%d", c), "increment"); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			returned[c] = append(returned[c], n)
			total++
			mu.Unlock()
		}
	})
	t.Logf("%d increments acknowledged in %s", total, length)
	if total < counters {
		t.Errorf("only %d increments in %s", total, length)
	}
	sum := 0
	for c, numbers := range returned {
		slices.Sort(numbers)
		for i, n := range numbers {
			if n != i+1 {
				t.Fatalf("counter %d: the %dth of the acknowledged numbers is %d", c, i+1, n)
			}
		}
		v := ask[int](s, fmt.Sprintf("counter-%d", c), "value")
		if v != len(numbers) {
			t.Errorf("counter %d reads %d after %d acknowledged increments", c, v, len(numbers))
		}
		sum += v
	}
	if sum != total {
		t.Errorf("the counters' sum is %d, %d increments were acknowledged", sum, total)
	}
}

// TestStateless shows that invocations share nothing, and that work handed to waitUntil goes on after the answer.
func TestStateless(t *testing.T) {
	st := newSteps(t)
	s := startServer(t, map[string]string{
		"Caddyfile": site(egressTo("steps", st.outside)+
			fmt.Sprintf("agent stateless {\n\tmain ./stateless.ts\n\tvar STEP %s\n\tegress steps\n}\n", st.URL), "agent stateless"),
		"stateless.ts": agentFile(t, "stateless.ts"),
	})
	answers := map[string]int{}
	var mu sync.Mutex
	together(32, func(int) {
		for range 4 {
			_, body, err := s.try("GET", "/", "")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			answers[body]++
			mu.Unlock()
		}
	})
	if len(answers) != 1 || answers["[1,1,1]"] == 0 {
		t.Errorf("answers %v, want only [1,1,1]", slices.Collect(maps.Keys(answers)))
	}

	// The answer comes while the work waits for its step.
	s.get("/after", 200)
	if _, err := next(st.asked); err != nil {
		t.Fatalf("the work did not begin: %v", err)
	}
	st.next <- "go on"
	r := s.waitRecord("the record of /after", func(r loggedRecord) bool { return r.Path == "/after" })
	if len(r.Logs) != 1 || r.Logs[0].Message != "finished after the answer: go on" || r.Outcome != "ok" || r.Status != 200 {
		t.Errorf("the record of a request with work after it is %+v", r)
	}
	if n := len(s.recordsOf("/after")); n != 1 {
		t.Errorf("%d records of one request", n)
	}
}

// recordsOf are the records of requests for a path.
func (s *server) recordsOf(path string) []loggedRecord {
	return slices.DeleteFunc(s.records(), func(r loggedRecord) bool { return r.Path != path })
}
