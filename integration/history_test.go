//go:build linux

package integration

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"syscall"
	"testing"

	"github.com/gatehouse-edge/gatehouse/durable/storetest"
)

// TestCellsAreKilled has 16 clients put, get, list and compare-and-set in a few durable actors over HTTP, while the processes
// that the actors live in are killed: each actor's history must be linearizable.
func TestCellsAreKilled(t *testing.T) {
	s := startServer(t, map[string]string{
		"Caddyfile":  site("\t\tagent history {\n\t\t\tmain ./history.ts\n\t\t\tdurable REGISTERS Registers\n\t\t}\n", "\tagent history"),
		"history.ts": agentFile(t, "history.ts"),
	})
	call := func(actor int, method string, args ...string) (value string, err error) {
		if args == nil {
			args = []string{}
		}
		body, err := json.Marshal(args)
		if err != nil {
			return "", err
		}
		resp, text, err := s.try("POST", fmt.Sprintf("/a%d/%s", actor, method), string(body))
		if err != nil {
			return "", err
		}
		if resp.StatusCode != http.StatusOK {
			return "", fmt.Errorf("status %d: %s", resp.StatusCode, text)
		}
		if text == "null" {
			return "", nil
		}
		return value, json.Unmarshal([]byte(text), &value)
	}
	killed := 0
	storetest.History(t, func(in storetest.Step) (out storetest.Answer, err error) {
		key := strconv.Itoa(in.Key)
		switch in.Kind {
		case storetest.StepPut:
			_, err = call(in.Actor, "put", key, in.Value)
		case storetest.StepGet:
			out.Value, err = call(in.Actor, "get", key)
		case storetest.StepList:
			out.Value, err = call(in.Actor, "list")
		default:
			out.Value, err = call(in.Actor, "compareAndSet", key, in.Old, in.Value)
			out.Swapped = out.Value == in.Old
		}
		return out, err
	}, func(n int, random *rand.Rand) {
		if n%50 != 10 {
			return
		}
		// The one that has used most is the one that runs; the others are spares.
		var busiest child
		for _, c := range children(t, s.cmd.Process.Pid) {
			if c.ticks >= busiest.ticks {
				busiest = c
			}
		}
		if busiest.pid != 0 && syscall.Kill(busiest.pid, syscall.SIGKILL) == nil {
			killed++
		}
	})
	t.Logf("%d cells were killed", killed)
	if killed == 0 {
		t.Error("no cell was killed: the test says nothing")
	}
}
