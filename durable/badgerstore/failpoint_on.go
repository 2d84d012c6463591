//go:build failpoints

package badgerstore

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// failpointVariable holds NAME:N. The process is killed when it comes to that point for the Nth time.
const failpointVariable = "GATEHOUSE_FAILPOINT"

var (
	failName, failCount, _ = strings.Cut(os.Getenv(failpointVariable), ":")
	failPassed             atomic.Int64
)

func failpoint(name string) {
	if name != failName {
		return
	}
	if n, err := strconv.ParseInt(failCount, 10, 64); err != nil || failPassed.Add(1) != n {
		return
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill() // as kill -9 does: nothing is closed, nothing deferred runs
	}
	select {} // until it is dead
}
