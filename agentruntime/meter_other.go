//go:build !linux

package agentruntime

import "time"

func lockThread()   {}
func unlockThread() {}

var bootTime = time.Now()

// threadClock is wall time on systems where a thread's CPU clock can't be read from outside: a turn never waits, so
// wall time is at least what it used.
type threadClock struct{}

func (c *threadClock) here()                  {}
func (c *threadClock) now() time.Duration     { return time.Since(bootTime) }
func (c *threadClock) outside() time.Duration { return time.Since(bootTime) }
