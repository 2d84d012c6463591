package egress

import (
	"sync"
	"time"
)

// idleConns are connections that wait for their next request, by origin. It is safe for concurrent use.
type idleConns struct {
	mu     sync.Mutex
	conns  map[string][]*plainConn // the one used last is at the end
	n      int
	sweep  *time.Timer // runs while there are connections
	closed bool
}

// take gives the connection to origin that was used last, nil if there is none.
func (l *idleConns) take(origin string) *plainConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.conns[origin]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	list[len(list)-1] = nil
	l.conns[origin] = list[:len(list)-1]
	l.n--
	return c
}

// put keeps c for idleTimeout, or closes it where enough are kept.
func (l *idleConns) put(c *plainConn) {
	c.since = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.n >= maxIdle || len(l.conns[c.origin]) >= maxIdlePerHost {
		c.Close()
		return
	}
	if l.conns == nil {
		l.conns = map[string][]*plainConn{}
	}
	l.conns[c.origin] = append(l.conns[c.origin], c)
	l.n++
	if l.sweep == nil {
		l.sweep = time.AfterFunc(idleTimeout, l.expire)
	}
}

// expire closes what has waited for idleTimeout, and comes again while connections are left.
func (l *idleConns) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for origin, list := range l.conns {
		old := 0
		for old < len(list) && now.Sub(list[old].since) >= idleTimeout {
			list[old].Close()
			old++
		}
		l.n -= old
		if l.conns[origin] = append([]*plainConn(nil), list[old:]...); old == len(list) {
			delete(l.conns, origin)
		}
	}
	l.sweep = nil
	if l.n > 0 {
		l.sweep = time.AfterFunc(idleTimeout/4, l.expire)
	}
}

// close closes the connections that wait, and each that would.
func (l *idleConns) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, list := range l.conns {
		for _, c := range list {
			c.Close()
		}
	}
	l.conns, l.n = nil, 0
	if l.sweep != nil {
		l.sweep.Stop()
		l.sweep = nil
	}
}
