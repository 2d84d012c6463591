package worker

import "sync/atomic"

// resting is how many goroutines of a crew wait for work at most.
const resting = 32

// crew runs jobs on goroutines that are kept: running JavaScript takes a large stack, and a fresh goroutine would have to grow
// it, by copying it several times over, for each job.
type crew struct {
	jobs chan func()
	idle atomic.Int32
}

func newCrew() *crew { return &crew{jobs: make(chan func())} }

// do runs job on a goroutine that rests, or on a new one. It does not wait.
func (c *crew) do(job func()) {
	select {
	case c.jobs <- job:
	default:
		go c.work(job)
	}
}

func (c *crew) work(job func()) {
	for {
		job()
		if c.idle.Add(1) > resting {
			c.idle.Add(-1)
			return
		}
		job = <-c.jobs
		c.idle.Add(-1)
	}
}
