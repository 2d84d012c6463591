package collector

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestPercent(t *testing.T) {
	target := Target{Most: 400, Least: 50, Slack: 64 << 20}
	for live, want := range map[uint64]int{0: 400, 1 << 20: 400, 16 << 20: 400, 32 << 20: 200, 64 << 20: 100, 128 << 20: 50, 4 << 30: 50} {
		if got := target.percent(live); got != want {
			t.Errorf("with %d bytes in use: %d %%, want %d", live, got, want)
		}
	}
}

// TestFollow fills the heap and sees the target go down with it.
func TestFollow(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	Target{Most: 400, Least: 50, Slack: 32 << 20}.Follow()
	held := make([]byte, 64<<20)
	deadline := time.Now().Add(20 * time.Second)
	for {
		runtime.GC()
		now := debug.SetGCPercent(400)
		debug.SetGCPercent(now)
		if now == 50 || now < 60 && now >= 45 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("with %d bytes held the target is %d %%", len(held), now)
		}
	}
	runtime.KeepAlive(held)
}
