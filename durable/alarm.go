package durable

import "time"

// Retrying a failed alarm handler: the first retry comes after alarmRetryDelay, each later one after twice as
// long, plus up to alarmRetryJitter of it; after maxAlarmRetries the alarm is dropped.
const (
	alarmRetryDelay  = 2 * time.Second
	alarmRetryJitter = 0.25
	maxAlarmRetries  = 6
)

// AlarmInfo is what an alarm handler is told.
type AlarmInfo struct {
	// Scheduled is the time the alarm was set for.
	Scheduled time.Time
	// RetryCount counts the failed runs before this one that count.
	RetryCount int
	// IsRetry reports whether there was one.
	IsRetry bool
}

// alarmState is the actor's alarm with every write applied.
type alarmState struct {
	current Alarm
	changed bool // the next batch must carry it
	running bool // a handler runs for current, or for what current was
	touched bool // it was set or deleted since the handler started
}

func (a *alarmState) replace(alarm Alarm) {
	a.current, a.changed, a.touched = alarm, true, true
}

// take returns the change for the next batch, or nil.
func (a *alarmState) take() *Alarm {
	if !a.changed {
		return nil
	}
	a.changed = false
	alarm := a.current
	return &alarm
}

// Alarm returns the time of the pending alarm and whether there is one. While a handler runs there is none,
// unless it was set again.
func (s *Storage) Alarm() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.alarm.current
	for o := s.txn; o != nil; o = o.below {
		if o.alarm != nil {
			return o.alarm.At, !o.alarm.IsZero()
		}
	}
	if s.alarm.running && !s.alarm.touched {
		return time.Time{}, false
	}
	return current.At, !current.IsZero()
}

// SetAlarm sets the alarm, in place of one that is pending. A past time means at once.
func (s *Storage) SetAlarm(at time.Time) error {
	at = at.Truncate(time.Millisecond)
	return s.changeAlarm(Alarm{At: at, Scheduled: at})
}

// DeleteAlarm removes the pending alarm.
func (s *Storage) DeleteAlarm() error { return s.changeAlarm(Alarm{}) }

func (s *Storage) changeAlarm(alarm Alarm) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if s.txn == nil && alarm.IsZero() && s.alarm.current.IsZero() && !s.alarm.running {
		return nil // nothing to remove: costs no batch
	}
	s.setAlarm(alarm)
	return nil
}

// setAlarm sets the alarm of the innermost transaction, or the turn's. Called under mu.
func (s *Storage) setAlarm(alarm Alarm) {
	if s.txn != nil {
		s.txn.alarm = &alarm
		return
	}
	s.alarm.replace(alarm)
}

// AlarmStarted begins a run of the alarm handler. It returns false if no alarm is due: it was deleted, set to
// a later time, or runs already. The alarm stays stored until AlarmSucceeded or AlarmFailed, so that
// it fires again if the process dies; that does not count as a retry.
func (s *Storage) AlarmStarted() (AlarmInfo, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.alarm.current
	if s.broken != nil || s.alarm.running || current.IsZero() || current.At.After(s.now()) {
		return AlarmInfo{}, false
	}
	s.alarm.running, s.alarm.touched = true, false
	return AlarmInfo{Scheduled: current.Scheduled, RetryCount: current.Retries, IsRetry: current.Retries > 0}, true
}

// AlarmSucceeded ends a run that succeeded. Unless the handler set the alarm again, its removal is buffered:
// called before the last Flush of the handler it commits together with the handler's writes.
func (s *Storage) AlarmSucceeded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.alarm.running {
		return
	}
	if !s.alarm.touched {
		s.alarm.replace(Alarm{})
	}
	s.alarm.running = false
}

// AlarmFailed ends a run that failed and reports whether the handler will run again. The next time is
// buffered, as any write. An alarm that the handler set or deleted before it failed stays as it is.
func (s *Storage) AlarmFailed() (willRetry bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.alarm.running {
		return false
	}
	s.alarm.running = false
	if s.alarm.touched {
		return !s.alarm.current.IsZero()
	}
	next := s.alarm.current
	if next.Retries >= maxAlarmRetries {
		s.alarm.replace(Alarm{})
		return false
	}
	delay := alarmRetryDelay << next.Retries
	delay += time.Duration(s.rand() * alarmRetryJitter * float64(delay))
	next.Retries++
	next.At = s.now().Add(delay).Truncate(time.Millisecond)
	s.alarm.replace(next)
	return true
}
