package agentruntime

import (
	"context"
	"sync"
)

// outbox sends what code has sent on a socket, in order, on a goroutine that lives while there is something to send: code
// itself never waits. Safe for concurrent use.
type outbox struct {
	end Socket
	ctx context.Context

	mu      sync.Mutex
	queue   []func() error
	running bool
	bytes   int // that wait, or will when the output gate opens
}

// reserve counts bytes to be sent and returns how many wait.
func (o *outbox) reserve(n int) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes += n
	return o.bytes
}

func (o *outbox) giveBack(n int) { o.reserve(-n) }

// send queues a message whose bytes were reserved.
func (o *outbox) send(m Message) {
	o.push(func() error {
		err := o.end.Send(o.ctx, m)
		o.giveBack(len(m.Data))
		return err
	})
}

// close queues the close of the socket.
func (o *outbox) close(code int, reason string) {
	o.push(func() error { return o.end.Close(code, reason) })
}

// flushed calls fn, on another goroutine, once all that was queued is sent or has failed.
func (o *outbox) flushed(fn func()) {
	o.push(func() error {
		fn()
		return nil
	})
}

func (o *outbox) push(fn func() error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, fn)
	if !o.running {
		o.running = true
		go o.run()
	}
}

func (o *outbox) run() {
	for {
		o.mu.Lock()
		if len(o.queue) == 0 {
			o.running = false
			o.mu.Unlock()
			return
		}
		fn := o.queue[0]
		o.queue[0] = nil
		o.queue = o.queue[1:]
		o.mu.Unlock()
		// A message that cannot be sent is lost with the socket; the receiving side tells the code.
		_ = fn()
	}
}
