package caddymodule

import (
	"os"
	"sync"

	"github.com/gatehouse-edge/gatehouse/internal/collector"
)

// setCollector sets the collector's target for the process once, unless GOGC says what its operator wants. Each request makes garbage,
// and a fresh runtime most of it, that is never alive when the collector looks: at Go's own target a proxying agent spends a tenth of
// its processor time there.
var setCollector = sync.OnceFunc(func() {
	if _, set := os.LookupEnv("GOGC"); !set {
		collector.Target{Most: 400, Least: 100, Slack: 64 << 20}.Follow()
	}
})
