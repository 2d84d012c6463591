package durable

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// alarmPage is how many due alarms are asked of the store at a time.
	alarmPage = 64
	// An alarm that could not be run is tried again after firstAlarmBackoff, doubling up to maxAlarmBackoff.
	firstAlarmBackoff = 2 * time.Second
	maxAlarmBackoff   = 5 * time.Minute
	// clockCheck is the longest wait for an alarm: a clock that is set meanwhile is noticed after it.
	clockCheck = time.Minute
	// maxQuiet is the longest time without a look at the store.
	maxQuiet = time.Hour
	// storeRetry is the pause after the store could not be asked.
	storeRetry = time.Second
)

// alarmLoop fires due alarms. It looks at the store when the next alarm known to be stored is due, never more
// often: commits tell it about earlier ones.
type alarmLoop struct {
	directory *Directory
	wake      chan struct{}
	stop      chan struct{}
	slots     chan struct{} // one token for each handler that runs
	handlers  sync.WaitGroup

	mu      sync.Mutex
	next    time.Time // when the loop looks again, by the directory's clock; zero: nothing is planned
	latest  time.Time // when it looks again at the latest, by the process's clock, which nobody sets
	passing bool      // the loop is looking now; next is then the earliest alarm set meanwhile
	running map[Key]*alarmRun
	backoff map[Key]alarmBackoff
	moved   map[Key]struct{} // alarms changed since the store was last asked
}

// alarmRun is a handler that runs.
type alarmRun struct {
	changed bool // the stored alarm is another one, or gone
	skipped bool // the alarm it set came due meanwhile, and waits for it to end
}

// alarmBackoff keeps an alarm from being tried again too soon. The stored alarm does not change.
type alarmBackoff struct {
	until time.Time
	delay time.Duration
}

func newAlarmLoop(d *Directory) *alarmLoop {
	return &alarmLoop{
		directory: d,
		wake:      make(chan struct{}, 1),
		stop:      make(chan struct{}),
		slots:     make(chan struct{}, d.cfg.MaxConcurrentAlarms),
		running:   make(map[Key]*alarmRun),
		backoff:   make(map[Key]alarmBackoff),
		moved:     make(map[Key]struct{}),
	}
}

// halt makes run return once its handlers have.
func (l *alarmLoop) halt() { close(l.stop) }

// nudge makes the loop look again now.
func (l *alarmLoop) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// changed hears that an actor's alarm is durably another one, or none.
func (l *alarmLoop) changed(key Key, alarm Alarm) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.running[key]; r != nil {
		r.changed = true
	}
	delete(l.backoff, key)
	if l.passing {
		l.moved[key] = struct{}{}
	}
	if !alarm.IsZero() {
		l.lookAt(alarm.At)
	}
}

// registered hears that a namespace has another class, which may run what the last one could not.
func (l *alarmLoop) registered(namespace string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.backoff {
		if key.Namespace == namespace {
			delete(l.backoff, key)
		}
	}
	l.nudge()
}

// run fires alarms until halt.
func (l *alarmLoop) run() {
	defer l.handlers.Wait()
	pace := newPace(l.directory.cfg.AlarmsPerSecond, l.directory.cfg.MaxConcurrentAlarms)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		l.begin()
		wait := l.end(l.pass(pace))
		for wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
				wait = l.left()
			case <-l.wake:
				wait = 0
			case <-l.stop:
				return
			}
		}
		select {
		case <-l.stop:
			return
		default:
		}
	}
}

func (l *alarmLoop) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passing, l.next, l.latest = true, time.Time{}, time.Now().Add(maxQuiet)
}

// end plans the next look, no later than next, and returns how long to wait for it.
func (l *alarmLoop) end(next time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passing = false
	clear(l.moved)
	if l.next.IsZero() || !next.IsZero() && next.Before(l.next) {
		l.next = next
	}
	return l.untilNext()
}

// left returns how long is left until the next look.
func (l *alarmLoop) left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.untilNext()
}

// untilNext returns how long to wait for the next look, or for another look at the clock. Called under mu.
func (l *alarmLoop) untilNext() time.Duration {
	wait := min(clockCheck, time.Until(l.latest))
	if !l.next.IsZero() {
		wait = min(wait, l.next.Sub(l.directory.now()))
	}
	return max(0, wait)
}

// pass starts what is due and returns when to look again, zero if nothing is known to come.
func (l *alarmLoop) pass(pace *pace) time.Time {
	d := l.directory
	var again time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (again.IsZero() || t.Before(again)) {
			again = t
		}
	}
	var after *DueAlarm
	for {
		l.mu.Lock()
		clear(l.moved)
		l.mu.Unlock()
		due, next, err := d.store.Due(d.ctx, d.now(), after, alarmPage)
		if err != nil {
			if !expected(err) {
				d.log.Error("alarms cannot be read", slog.Any("error", err))
			}
			return d.now().Add(storeRetry)
		}
		for _, alarm := range due {
			if !d.serves(alarm.Key.Namespace) {
				continue
			}
			if !pace.wait(l.stop) {
				return time.Time{}
			}
			select {
			case l.slots <- struct{}{}:
			case <-l.stop:
				return time.Time{}
			}
			retry, started := l.claim(alarm.Key)
			if !started {
				<-l.slots
				earlier(retry)
				continue
			}
			pace.take()
			l.handlers.Go(func() {
				l.fire(alarm.Key)
				<-l.slots
			})
		}
		if len(due) < alarmPage || next.After(d.now()) || next.IsZero() {
			earlier(next)
			return again
		}
		after = &due[len(due)-1]
	}
}

// claim marks the actor's handler as running unless it runs already, must wait (until retry) or has just changed.
func (l *alarmLoop) claim(key Key) (retry time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.running[key]; r != nil {
		r.skipped = true
		return time.Time{}, false
	}
	if _, moved := l.moved[key]; moved {
		return time.Time{}, false
	}
	if b, waiting := l.backoff[key]; waiting && b.until.After(l.directory.now()) {
		return b.until, false
	}
	l.running[key] = &alarmRun{}
	return time.Time{}, true
}

// fire runs one actor's handler.
func (l *alarmLoop) fire(key Key) {
	err := l.directory.runAlarm(key)
	if err != nil && !expected(err) {
		l.directory.log.Error("alarm cannot be run", slog.String("namespace", key.Namespace),
			slog.String("id", key.ID.String()), slog.Any("error", err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	run := l.running[key]
	delete(l.running, key)
	if run.changed && run.skipped {
		l.lookAt(l.directory.now())
	}
	if run.changed {
		return
	}
	// The alarm is still stored and due: the handler could not be run, or the instance left the alarm as it was.
	b := l.backoff[key]
	b.delay = min(max(firstAlarmBackoff, 2*b.delay), maxAlarmBackoff)
	b.until = l.directory.now().Add(b.delay)
	l.backoff[key] = b
	l.lookAt(b.until)
}

// lookAt has the loop look no later than at that time. Called under mu.
func (l *alarmLoop) lookAt(at time.Time) {
	if !l.next.IsZero() && !at.Before(l.next) {
		return
	}
	l.next = at
	if !l.passing {
		l.nudge()
	}
}

// runAlarm activates an actor and runs its alarm handler.
func (d *Directory) runAlarm(key Key) error {
	h, err := d.Acquire(d.ctx, key, "")
	if err != nil {
		return err
	}
	defer h.Release()
	return h.Instance().Alarm(d.ctx)
}

// serves reports whether a namespace has a class.
func (d *Directory) serves(namespace string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.classes[namespace] != nil
}

// pace spreads starts over time: rate a second, with burst of them at once.
type pace struct {
	rate, burst, tokens float64
	last                time.Time
}

func newPace(rate, burst int) *pace {
	return &pace{rate: float64(rate), burst: float64(burst), tokens: float64(burst), last: time.Now()}
}

// wait blocks until a start is allowed and reports false if stop was closed first.
func (p *pace) wait(stop <-chan struct{}) bool {
	now := time.Now()
	p.tokens = min(p.burst, p.tokens+now.Sub(p.last).Seconds()*p.rate)
	p.last = now
	if p.tokens >= 1 {
		return true
	}
	timer := time.NewTimer(time.Duration((1 - p.tokens) / p.rate * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stop:
		return false
	}
}

func (p *pace) take() { p.tokens-- }

var _ Backend = (*resident)(nil)
