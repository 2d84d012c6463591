package integration

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestStrictThrottle sends 1,000 requests for one agent id at once through a limit of 10 a minute, and looks at the count
// again after the server was stopped and started, and after it was killed and started.
func TestStrictThrottle(t *testing.T) {
	s := startServer(t, map[string]string{
		"Caddyfile": site(cellGlobal(""), "\tthrottle {\n\t\tzone per_agent {query.agent_id} 10/m strict\n\t}\n\tagent cells"),
		"cell.ts":   agentFile(t, "cell.ts"),
	})
	const requests = 1000
	var mu sync.Mutex
	statuses := map[int]int{}
	begun := time.Now()
	together(requests, func(int) {
		resp, body, err := s.try("POST", "/cell/counted/increment?agent_id=a", "[]")
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		statuses[resp.StatusCode]++
		switch resp.StatusCode {
		case http.StatusOK:
			if n, err := strconv.Atoi(body); err != nil || n < 1 || n > 10 {
				t.Errorf("a request that passed got %q", body)
			}
		case http.StatusTooManyRequests:
			wantRetryAfter(t, resp)
		}
	})
	if statuses[200] != 10 || statuses[429] != requests-10 || len(statuses) != 2 {
		t.Fatalf("statuses %v, want 10 times 200 and %d times 429", statuses, requests-10)
	}
	s.wait("the records of all requests", func() bool { return len(s.recordsOf("/cell/counted/increment")) == requests })
	ran := 0
	for _, r := range s.recordsOf("/cell/counted/increment") {
		if r.Ran {
			ran++
		} else if r.RefusedBy != "throttle" || r.Outcome != "refused" {
			t.Errorf("the record of a request that was refused says %q by %q", r.Outcome, r.RefusedBy)
		}
	}
	if ran != 10 {
		t.Errorf("code ran for %d requests", ran)
	}

	for _, again := range []struct {
		name string
		end  func()
	}{{"after a stop", s.stop}, {"after a kill", s.kill}} {
		s.run(again.name, func(t *testing.T) {
			again.end()
			s.start()
			together(50, func(int) {
				resp, _, err := s.try("POST", "/cell/counted/increment?agent_id=a", "[]")
				if err != nil {
					t.Error(err)
					return
				}
				if resp.StatusCode != http.StatusTooManyRequests {
					t.Errorf("status %d, the count is forgotten", resp.StatusCode)
				}
				wantRetryAfter(t, resp)
			})
			if took := time.Since(begun); took > 55*time.Second {
				t.Fatalf("this machine took %s, too long to tell a count that was kept from one whose minute is over", took)
			}
			other := fmt.Sprintf("/cell/other/increment?agent_id=%p", t)
			if resp, body := s.do("POST", other, "[]"); resp.StatusCode != http.StatusOK {
				t.Errorf("another id got status %d: %s", resp.StatusCode, body)
			}
		})
	}
	// All that passed reached the actor, and nothing else did.
	if resp, body := s.do("POST", "/cell/counted/value?agent_id=reader", "[]"); resp.StatusCode != 200 || body != "10" {
		t.Errorf("the actor behind the limit has counted %s (status %d), want 10", body, resp.StatusCode)
	}
}

// wantRetryAfter wants a Retry-After within the minute of the limit.
func wantRetryAfter(t *testing.T, resp *http.Response) {
	t.Helper()
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || n < 1 || n > 60 {
		t.Errorf("Retry-After is %q, want 1 to 60 seconds", resp.Header.Get("Retry-After"))
	}
}
