package throttle

import (
	"hash/maphash"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultMaxKeys = 100_000
	overflowKeys   = 1024
	maxSweep       = time.Minute
	minSweep       = time.Second
)

// ZoneConfig configures a local zone. Rate is needed.
type ZoneConfig struct {
	// Rate is what one key may do.
	Rate Rate
	// MaxKeys bounds the keys in memory; default 100,000, at about 200 bytes a
	// key. A key that is new while the zone is full shares one of 1,024
	// overflow states, chosen by hash, with other such keys: they are limited
	// together until idle keys have been dropped. So the zone never admits
	// more than the rate for any key, and an attacker with endless keys can't
	// take memory, but may slow other new clients down.
	MaxKeys int
	// Now is the clock; default time.Now.
	Now func() time.Time
	// SweepEvery is how often idle keys are dropped; default the rate's
	// window, within a second and a minute.
	SweepEvery time.Duration
}

// Zone limits each of its keys by the generic cell rate algorithm (GCRA, as in
// ITU-T I.371) with a burst of the whole limit: a key that was idle for a
// window may make Limit requests at once, then one each Window/Limit. Within
// one window from a burst up to twice the limit can so pass; a strict zone
// counts exactly. State is of this node and this process.
//
// Take is safe for concurrent use and takes no lock: a key's state is one
// 64-bit number, changed by compare-and-swap. Close ends the sweep.
type Zone struct {
	rate    Rate
	period  int64 // nanoseconds an admission takes: Window/Limit rounded up
	burst   int64 // Limit * period
	maxKeys int64
	now     func() time.Time
	epoch   time.Time

	keys     sync.Map // string -> *atomic.Int64
	count    atomic.Int64
	overflow [overflowKeys]atomic.Int64
	seed     maphash.Seed

	closing sync.Once
	stop    chan struct{}
	full    chan struct{} // asks for a sweep before its time
	stopped chan struct{}
}

// A key's state is its theoretical arrival time in nanoseconds since the
// zone's epoch; dropped marks a state that the sweep took out of the map.
const dropped = math.MinInt64

// NewZone makes a zone and starts its sweep; errors are ErrRate.
func NewZone(config ZoneConfig) (*Zone, error) {
	if err := config.Rate.Validate(); err != nil {
		return nil, err
	}
	limit := int64(config.Rate.Limit)
	z := &Zone{
		rate:    config.Rate,
		period:  (int64(config.Rate.Window) + limit - 1) / limit,
		maxKeys: int64(config.MaxKeys),
		now:     config.Now,
		seed:    maphash.MakeSeed(),
		stop:    make(chan struct{}),
		full:    make(chan struct{}, 1),
		stopped: make(chan struct{}),
	}
	z.burst = limit * z.period
	if z.maxKeys <= 0 {
		z.maxKeys = defaultMaxKeys
	}
	if z.now == nil {
		z.now = time.Now
	}
	z.epoch = z.now()
	every := config.SweepEvery
	if every <= 0 {
		every = min(max(config.Rate.Window, minSweep), maxSweep)
	}
	go z.sweepEvery(every)
	return z, nil
}

// Close ends the sweep and waits for it. Take works on, with no keys dropped.
func (z *Zone) Close() {
	z.closing.Do(func() { close(z.stop) })
	<-z.stopped
}

// Rate is what one key may do.
func (z *Zone) Rate() Rate { return z.rate }

// Take asks for one admission of the key, and counts it when it is allowed.
// Requests that are refused don't prolong the wait.
func (z *Zone) Take(key string) Decision {
	for {
		if d, ok := z.take(z.state(key)); ok {
			return d
		}
	}
}

// take returns not ok when the sweep dropped the state in between.
func (z *Zone) take(state *atomic.Int64) (Decision, bool) {
	for {
		now := int64(z.now().Sub(z.epoch))
		arrival := state.Load()
		if arrival == dropped {
			return Decision{}, false
		}
		next := max(arrival, now) + z.period
		if over := next - now - z.burst; over > 0 {
			return z.decision(false, arrival-now, over), true
		}
		if state.CompareAndSwap(arrival, next) {
			return z.decision(true, next-now, 0), true
		}
	}
}

// decision describes a key whose arrival time lies ahead nanoseconds from now.
func (z *Zone) decision(allowed bool, ahead, wait int64) Decision {
	return Decision{
		Allowed:    allowed,
		Limit:      z.rate.Limit,
		Window:     z.rate.Window,
		Remaining:  int(max(0, (z.burst-ahead)/z.period)),
		RetryAfter: time.Duration(wait),
		Reset:      time.Duration(ahead),
	}
}

// state finds or makes the key's state.
func (z *Zone) state(key string) *atomic.Int64 {
	key = boundedKey(key)
	if s, ok := z.keys.Load(key); ok {
		return s.(*atomic.Int64)
	}
	if z.count.Add(1) > z.maxKeys {
		z.count.Add(-1)
		select {
		case z.full <- struct{}{}:
		default:
		}
		return &z.overflow[maphash.String(z.seed, key)%overflowKeys]
	}
	// A key may be a part of a request's buffer, which must not be held.
	s, loaded := z.keys.LoadOrStore(strings.Clone(key), new(atomic.Int64))
	if loaded {
		z.count.Add(-1)
	}
	return s.(*atomic.Int64)
}

// Keys is the number of keys in memory.
func (z *Zone) Keys() int { return int(z.count.Load()) }

func (z *Zone) sweepEvery(every time.Duration) {
	defer close(z.stopped)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-z.stop:
			return
		case <-ticker.C:
			z.sweep()
		case <-z.full:
			z.sweep()
			// At most one sweep a second, however many keys arrive.
			select {
			case <-z.stop:
				return
			case <-time.After(min(every, minSweep)):
			}
		}
	}
}

// sweep drops the keys that have their whole limit free again: a fresh state
// would decide the same.
func (z *Zone) sweep() {
	now := int64(z.now().Sub(z.epoch))
	z.keys.Range(func(key, value any) bool {
		s := value.(*atomic.Int64)
		if arrival := s.Load(); arrival <= now && s.CompareAndSwap(arrival, dropped) {
			z.keys.Delete(key)
			z.count.Add(-1)
		}
		return true
	})
}
