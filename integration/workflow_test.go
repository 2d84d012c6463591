package integration

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

// instanceStatus is what status() of a workflow's instance gives.
type instanceStatus[T any] struct {
	Status string
	Error  *struct{ Name, Message string }
	Output T
}

// startFlow starts a server with the workflows of flow.ts, in a cell or not.
func startFlow(t *testing.T, isolation string, tell *outside) *server {
	t.Helper()
	return startServer(t, map[string]string{"flow.ts": agentFile(t, "flow.ts"), "Caddyfile": flowFile(isolation, tell, "")})
}

func flowFile(isolation string, tell *outside, more string) string {
	return site(egressTo("tell", tell)+"\tagent flow {\n\t\tmain ./flow.ts\n\t\tworkflow LONG Long\n\t\tworkflow SHORT Short\n\t\tdurable STEPPER Stepper\n\t\tegress tell\n\t\tisolation "+isolation+"\n"+more+"\t}\n", "\tagent flow")
}

// steer calls a method of an instance, or create, and gives the answer as JSON.
func (s *server) steer(verb, id, body string) string {
	s.t.Helper()
	resp, text := s.do("POST", "/"+verb+"/"+id, body)
	if resp.StatusCode != 200 {
		s.t.Fatalf("%s %s: %s", verb, id, text)
	}
	return text
}

// becomes waits until an instance has a status.
func becomes[T any](s *server, id, status string) (out instanceStatus[T]) {
	s.t.Helper()
	s.wait(id+" to be "+status, func() bool {
		resp, text, err := s.try("POST", "/status/"+id, "")
		if err != nil || resp.StatusCode != 200 {
			return false
		}
		out = decode[instanceStatus[T]](s.t, text)
		return out.Status == status
	})
	return out
}

// isolations are the places where an agent may run.
var isolations = []string{"process", "inprocess"}

// TestWorkflowUnderKills kills the server with kill -9 at random while a workflow of 20 steps runs. Each step may be begun again, but
// whatever the code has seen a step give it sees ever after.
//
// GATEHOUSE_ROUNDS sets the number of kills, GATEHOUSE_SEED repeats a run's choices.
func TestWorkflowUnderKills(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(isolation, func(t *testing.T) {
			kills, seed := testkit.Int(t, "GATEHOUSE_ROUNDS", 5), testkit.Seed(t)
			t.Logf("%d kills", kills)
			random := rand.New(rand.NewPCG(uint64(seed), 0))
			var mu sync.Mutex
			killed, begun, seen := 0, map[string]int{}, map[string]string{}
			told := make(chan struct{}, 1024)
			tell := newOutside(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				var n int
				var mark string
				if _, err := fmt.Sscanf(strings.ReplaceAll(r.URL.Path, "/", " "), " do %d %s", &n, &mark); err == nil {
					begun[fmt.Sprint(n)]++
					if n*kills > 20*killed { // the kills are spread over all steps
						w.WriteHeader(http.StatusServiceUnavailable)
					}
				} else if step, mark, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/saw/"), "/"); ok {
					if was := seen[step]; was != "" && was != mark {
						t.Errorf("step %s gave %s, and later %s", step, was, mark)
					}
					seen[step] = mark
				}
				select {
				case told <- struct{}{}:
				default:
				}
			})
			s := startFlow(t, isolation, tell)
			s.do("POST", "/create/one/LONG", `{"tell":"http://`+tell.host()+`"}`)
			for range kills {
				for len(told) > 0 {
					<-told
				}
				for range 1 + random.IntN(8) {
					if _, err := next(told); err != nil {
						t.Fatalf("the workflow does nothing any more: %v", err)
					}
				}
				<-time.After(time.Duration(random.IntN(20_000)) * time.Microsecond)
				s.kill()
				mu.Lock()
				killed++
				mu.Unlock()
				s.start()
			}
			var got instanceStatus[[]string]
			s.wait("the end", func() bool {
				_, text := s.do("POST", "/status/one/LONG", "")
				got = decode[instanceStatus[[]string]](t, text)
				return got.Status != "queued" && got.Status != "running" && got.Status != "waiting"
			})
			if got.Status != "complete" || len(got.Output) != 20 {
				t.Fatalf("it ended as %+v", got)
			}
			mu.Lock()
			defer mu.Unlock()
			again := 0
			for n := 1; n <= 20; n++ {
				step := fmt.Sprint(n)
				if begun[step] == 0 || seen[step] != got.Output[n-1] {
					t.Errorf("step %d: begun %d times, seen %q, in the output %q", n, begun[step], seen[step], got.Output[n-1])
				}
				again += begun[step] - 1
			}
			t.Logf("steps were begun again %d times", again)
		})
	}
}

func TestWorkflowSteering(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(isolation, func(t *testing.T) {
			tell := newOutside(t, func(http.ResponseWriter, *http.Request) {})
			s := startFlow(t, isolation, tell)
			s.steer("create", "retries", `"retries"`)
			want(t, "attempts", becomes[int](s, "retries", "complete").Output, 3)

			s.steer("create", "never", `"never"`)
			if e := becomes[any](s, "never", "errored").Error; e == nil || e.Name != "NonRetryableError" || e.Message != "no use" {
				t.Errorf("the error of an instance: %+v", e)
			}

			s.steer("create", "event", `"event"`)
			becomes[any](s, "event", "waiting")
			s.steer("sendEvent", "event", `{"type":"answer","payload":"42"}`)
			want(t, "the event's payload", becomes[string](s, "event", "complete").Output, "42")

			// A configuration that changes the agent replaces its code, and the instance goes on in the new one.
			s.steer("create", "sleep", `"sleep"`)
			becomes[any](s, "sleep", "waiting")
			s.steer("pause", "sleep", "")
			s.write("Caddyfile", flowFile(isolation, tell, "\t\tvar MODEL large\n"))
			if out, err := s.reload(); err != nil {
				t.Fatalf("reload: %v\n%s", err, out)
			}
			client.CloseIdleConnections() // the server that the reload ended closes them too, at any moment
			s.steer("sendEvent", "sleep", `{"type":"end"}`)
			becomes[any](s, "sleep", "paused")
			s.kill()
			s.start()
			becomes[any](s, "sleep", "paused")
			s.steer("resume", "sleep", "")
			first := becomes[string](s, "sleep", "complete").Output
			s.steer("restart", "sleep", "")
			becomes[any](s, "sleep", "waiting")
			s.steer("sendEvent", "sleep", `{"type":"end"}`)
			if second := becomes[string](s, "sleep", "complete").Output; second == "" || second == first {
				t.Errorf("the step gave %q, and after restart() %q", first, second)
			}

			s.steer("create", "gone", `"sleep"`)
			becomes[any](s, "gone", "waiting")
			s.steer("terminate", "gone", "")
			becomes[any](s, "gone", "terminated")
			for body, want := range map[string]string{"/resume/gone": "is terminated", "/status/nobody": "there is no instance nobody", "/create/gone": "there is an instance gone already"} {
				if resp, text := s.do("POST", body, ""); resp.StatusCode != 400 || !strings.Contains(text, want) {
					t.Errorf("%s: %d %s, want %q", body, resp.StatusCode, text, want)
				}
			}
		})
	}
}

// TestWorkflowExample runs the example, which docs/workflows.md shows as well.
func TestWorkflowExample(t *testing.T) {
	source := read(t, "../examples/approval/agent.ts")
	mustContain(t, "docs/workflows.md", read(t, "../docs/workflows.md"), "```ts\n"+source+"```\n")
	s := startServer(t, map[string]string{
		"agent.ts": source, "Caddyfile": site("\tagent approval {\n\t\tmain ./agent.ts\n\t\tworkflow EXPENSE Expense\n\t}\n", "\tagent approval"),
	})
	begin := func(amount int) string {
		_, id := s.do("POST", "/", fmt.Sprintf(`{"what":"a desk","amount":%d}`, amount))
		return strings.TrimSpace(id)
	}
	becomes := func(id, status string) (out instanceStatus[string]) {
		s.wait(id+" to be "+status, func() bool {
			out = decode[instanceStatus[string]](t, s.get("/"+id, 200))
			return out.Status == status
		})
		return out
	}
	mustContain(t, "a small expense", becomes(begin(50), "complete").Output, "a desk: paid, receipt ")
	for answer, want := range map[string]string{"true": "a desk: paid, receipt ", "false": "a desk: refused"} {
		id := begin(250)
		becomes(id, "waiting")
		s.do("POST", "/"+id, `{"yes":`+answer+`}`)
		mustContain(t, "an expense", becomes(id, "complete").Output, want)
	}
}

// TestStepsAfterKill kills the server in the third step of an alarm's handler: the first two are not run again.
func TestStepsAfterKill(t *testing.T) {
	for _, isolation := range isolations {
		t.Run(isolation, func(t *testing.T) {
			tell := newSteps(t)
			s := startFlow(t, isolation, tell.outside)
			asked := func(path, answer string) {
				t.Helper()
				got, err := next(tell.asked)
				if err != nil {
					t.Fatalf("waiting for step %s: %v", path, err)
				}
				want(t, "the step", got, "GET "+path)
				if answer != "" {
					tell.next <- answer
				}
			}
			s.do("POST", "/begin/one/STEPPER", `"http://`+tell.host()+`"`)
			asked("/1", "a")
			asked("/2", "b")
			asked("/3", "")
			s.kill()
			s.start()
			asked("/3", "c")
			asked("/4", "d")
			s.wait("the handler's end", func() bool {
				_, text := s.do("POST", "/status/one/STEPPER", "")
				return strings.Join(decode[instanceStatus[[]string]](t, text).Output, "") == "abcd"
			})
		})
	}
}
