//go:build failpoints

package badgerstore

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

// TestKillAtFailpoints kills the process at each point between a batch's arrival and its acknowledgement, and at those of
// the opening and the closing, each time at another occasion. GATEHOUSE_ROUNDS says how often for each.
func TestKillAtFailpoints(t *testing.T) {
	dir, l := t.TempDir(), ledger{}
	random := rand.New(rand.NewPCG(testkit.Seed(t), 0))
	points := map[string]int{ // and how often a process comes there, about
		"group made": 300, "group synced": 300, "group noted": 300, "slot written": 300,
		"close": 1, "closed": 1, "prepared": 1, "opened": 1, "boot read": 1, "boot written": 1,
	}
	for round := range testkit.Int(t, "GATEHOUSE_ROUNDS", 1) {
		for point, times := range points {
			n := 1 + random.IntN(times)
			cmd, stdin, lines := childWithInput(t, childDir+"="+dir, fmt.Sprintf("%s=%s:%d", failpointVariable, point, n))
			for lines.Scan() && lines.Text() != "ready" {
			}
			heard := 0
			if strings.HasPrefix(point, "close") {
				heard = l.hear(lines, 100)
				check(t, stdin.Close()) // asks it to end in good order
			}
			heard += l.hear(lines, maxInt)
			err := cmd.Wait()
			t.Logf("round %d: %s %d: %d acknowledged, %v", round, point, n, heard, err)
			if err == nil || cmd.ProcessState.ExitCode() != -1 {
				t.Fatalf("round %d: the process was not killed at %q: %v", round, point, err)
			}
			if l.verify(t, dir, round); t.Failed() {
				return
			}
		}
	}
	if l["0"] == 0 {
		t.Error("nothing was acknowledged: the test cannot fail")
	}
}
