package cell

import (
	"os"
	"testing"

	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/worker"
)

// TestMain makes the test's own binary the program of the cells.
func TestMain(m *testing.M) {
	if worker.Asked() {
		worker.Main()
	}
	os.Exit(m.Run())
}
