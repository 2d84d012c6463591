package cell

import (
	"fmt"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
)

const (
	// watchEvery is how often the cells are looked at.
	watchEvery = 50 * time.Millisecond
	// pingEvery is how long after an answered ping the next one is sent.
	pingEvery = 500 * time.Millisecond
	// deafAfter is how long a cell in which something runs may leave a ping unanswered. The cell itself is quicker to find out
	// about code that cannot be stopped; this is for a cell that does not.
	deafAfter = 2500 * time.Millisecond
	// overhead is the memory that a cell has beside what its code uses: the program's own data and what the collector needs.
	overhead = 96 << 20
	// hardOverhead is the same for what the kernel enforces. It is larger, so that the others come first, who can say more; it is
	// what holds code that is quicker than they look.
	hardOverhead = overhead + 32<<20
)

// watch looks at the cells until the pool is closed.
func (p *Pool) watch() {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-ticker.C:
		}
		p.mu.Lock()
		all := make([]*process, 0, len(p.all))
		for c := range p.all {
			all = append(all, c)
		}
		p.mu.Unlock()
		now := time.Now()
		for _, c := range all {
			c.look(now)
		}
	}
}

// look ends the cell if it uses too much memory, does not answer, or is not used.
func (c *process) look(now time.Time) {
	agent := c.agent.Load()
	c.mu.Lock()
	unused := agent != nil && c.refs == 0
	idle := unused && !c.idle.IsZero() && now.Sub(c.idle) > c.pool.cfg.IdleAfter
	deaf := !c.pinged.IsZero() && now.Sub(c.pinged) > deafAfter
	c.mu.Unlock()
	switch {
	case idle:
		c.retire()
		return
	case deaf:
		c.end(&Died{Outcome: agentruntime.OutcomeExceededCPU, Text: fmt.Sprintf("it did not answer for %v", deafAfter), Err: agentruntime.ErrExceededCPU})
		return
	case unused || agent == nil:
		return
	}
	if u, err := c.box.Usage(); err == nil && u.Memory > agent.cfg.Limits.Memory+overhead {
		n := u.Memory
		c.end(&Died{Outcome: agentruntime.OutcomeExceededMemory, Text: fmt.Sprintf("it used %d MiB of memory", n>>20), Err: agentruntime.ErrExceededMemory})
		return
	}
	c.mu.Lock()
	due := c.pinged.IsZero() && now.Sub(c.lastPing) > pingEvery
	late := false
	if due {
		c.pinged, c.lastPing = now, now
		for _, v := range c.live {
			late = late || v.overdue(now)
		}
	}
	c.mu.Unlock()
	switch {
	case late:
		c.end(&Died{Outcome: agentruntime.OutcomeExceededWallTime, Text: "it did not hold an event to its limit on time", Err: agentruntime.ErrExceededWall})
	case due:
		c.conn.Note(wire.NewMessage(wire.NotePing))
	}
}
