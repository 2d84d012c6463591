package throttle

import (
	"sync"
	"testing"
	"time"
)

func TestCrowd(t *testing.T) {
	var c Crowd[string]
	if a, b, other := c.Enter("a"), c.Enter("a"), c.Enter("b"); a != 1 || b != 2 || other != 1 {
		t.Fatalf("entered as %d, %d and %d", a, b, other)
	}
	c.Leave("a")
	if n := c.Enter("a"); n != 2 {
		t.Errorf("after one has left: %d", n)
	}
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 1000 {
				c.Enter("busy")
				c.Leave("busy")
			}
		})
	}
	wg.Wait()
	c.Leave("a")
	c.Leave("a")
	c.Leave("b")
	if c.Keys() != 0 {
		t.Errorf("%d keys are left", c.Keys())
	}
}

func TestPace(t *testing.T) {
	p := Pace{Rate: 1000, Grace: 2 * time.Second}
	for i, step := range []struct {
		bytes int
		wait  time.Duration
		left  time.Duration
	}{
		{0, 0, 2 * time.Second},
		{500, time.Second, 1500 * time.Millisecond},
		{10_000, 0, 11500 * time.Millisecond},
		{0, 11500 * time.Millisecond, 0},
		{1, 0, time.Millisecond},
		{0, time.Second, -999 * time.Millisecond},
	} {
		p.Got(step.bytes, step.wait)
		if got := p.Left(); got != step.left {
			t.Errorf("step %d: %s left, want %s", i, got, step.left)
		}
	}
}
