package throttle

import "time"

// Pace holds who sends a body to a least rate. Only the time in which a receiver waited counts, so that a receiver that is
// slow itself is no fault of the sender. For one goroutine.
type Pace struct {
	// Rate is the least number of bytes a second on average; more than zero.
	Rate int64
	// Grace is how long a sender may wait beyond what its bytes have earned it.
	Grace time.Duration

	received int64
	waited   time.Duration
}

// Left is how long the next wait may last; zero or less when the sender is too slow.
func (p *Pace) Left() time.Duration {
	return p.Grace + time.Duration(float64(p.received)/float64(p.Rate)*float64(time.Second)) - p.waited
}

// Got counts n bytes that came after a wait.
func (p *Pace) Got(n int, wait time.Duration) {
	p.received += int64(n)
	p.waited += wait
}
