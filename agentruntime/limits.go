package agentruntime

import "time"

// Limits bound one invocation. A zero field has its default; there is no way to have none, except of ResponseBody. They
// mean what they mean at Cloudflare (https://developers.cloudflare.com/workers/platform/limits/).
type Limits struct {
	// CPU is the time that may be spent running JavaScript, not counting the time spent waiting. Default 50 ms. Code that
	// is over it is stopped cpuGrace later. In an actor it is counted for each event, and an actor that passes it is reset.
	CPU time.Duration
	// Wall is the time until the head of the answer, or until the end of what has no answer. A body may stream for as
	// long as somebody reads it. Default 30 s; an alarm has 15 min.
	Wall time.Duration
	// Memory is what the process that runs the code may use in bytes. Default 128 MiB. Whoever starts that process holds it
	// to it: a runtime by itself knows no limit of memory.
	Memory int64
	// Subrequests is how often code may ask the world: fetches, calls, KV operations. Default 50.
	Subrequests int
	// Connections is how many fetches, KV operations, cache operations and connects may wait for the head of their answer
	// at once. Those past it begin when an earlier one has it, in order. Default 6.
	Connections int
	// RequestBody is the most bytes of a request's body that code may be given. Default 10 MiB.
	RequestBody int64
	// ResponseBody is the most bytes of an answer's body that leave. The body of one that has more breaks off there, and the
	// outcome is an exception. 0 means no limit, as Cloudflare has none.
	ResponseBody int64
	// Logs is the most bytes of log messages kept; lines past it are dropped and counted. Default 256 KiB.
	Logs int
	// Startup is the CPU time that evaluating the module may take. Default 1 s.
	Startup time.Duration
}

const (
	// waitUntilWall is how long waitUntil may keep an invocation after its answer.
	waitUntilWall = 30 * time.Second
	// AlarmWall is Limits.Wall for an alarm.
	AlarmWall = 15 * time.Minute
)

// WithDefaults returns the limits with the defaults in place of what is zero.
func (l Limits) WithDefaults() Limits {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&l.CPU, 50*time.Millisecond)
	set(&l.Wall, 30*time.Second)
	set(&l.Startup, time.Second)
	if l.Subrequests <= 0 {
		l.Subrequests = 50
	}
	if l.RequestBody <= 0 {
		l.RequestBody = 10 << 20
	}
	if l.Memory <= 0 {
		l.Memory = 128 << 20
	}
	if l.Connections <= 0 {
		l.Connections = 6
	}
	if l.Logs <= 0 {
		l.Logs = 256 << 10
	}
	return l
}
