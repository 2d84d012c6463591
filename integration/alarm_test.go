package integration

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// attempt is one run of the alarm handler of cell.ts: what it was told, when, and how it ended.
type attempt struct {
	IsRetry    bool
	RetryCount int
	Pending    *int64
	At         time.Time `json:"-"`
	Outcome    string    `json:"-"`
}

// attempts are the runs of alarm handlers in the log, in order.
func (s *server) attempts() []attempt {
	var all []attempt
	for _, r := range s.records() {
		if r.Kind != "alarm" {
			continue
		}
		a := attempt{Outcome: r.Outcome}
		if len(r.Logs) > 0 {
			a.At = r.Logs[0].Time
			if err := json.Unmarshal([]byte(r.Logs[0].Message), &a); err != nil {
				s.t.Errorf("the handler logged %q", r.Logs[0].Message)
			}
		}
		all = append(all, a)
	}
	return all
}

// waitAlarms waits until the alarm handler of the actor has come to its end n times.
func (s *server) waitAlarms(name string, n int) {
	s.t.Helper()
	s.wait("the alarm of "+name, func() bool {
		var fired *int
		return s.call(&fired, name, "get", "fired") == nil && fired != nil && *fired == n
	})
}

func TestAlarmAfterKill(t *testing.T) {
	s := startCells(t)
	// One is due while the server is down, one after it has started again.
	due := time.Now().Add(300 * time.Millisecond)
	ask[int64](s, "down", "setAlarm", due.UnixMilli())
	late := time.Now().Add(4 * time.Second)
	if at := ask[int64](s, "later", "setAlarm", late.UnixMilli()); at != late.UnixMilli() {
		t.Errorf("getAlarm after setAlarm(%d) is %d", late.UnixMilli(), at)
	}
	s.kill()
	if len(s.attempts()) > 0 {
		t.Log("the server was slow to die: the first alarm fired before")
	}
	<-time.After(time.Until(due))
	s.start()
	s.waitAlarms("down", 1)
	s.waitAlarms("later", 1)
	if now := time.Now(); now.Before(late) {
		t.Errorf("the second alarm fired %s before its time", late.Sub(now))
	}
	for _, name := range []string{"down", "later"} {
		if _, alarm := s.do("POST", "/cell/"+name+"/getAlarm", "[]"); alarm != "null" {
			t.Errorf("%s still has the alarm %s after it fired", name, alarm)
		}
	}
	for _, a := range s.attempts() {
		if a.IsRetry || a.RetryCount != 0 || a.Pending != nil || a.Outcome != "ok" {
			t.Errorf("a crash counts as a failure of the handler, or the handler sees its own alarm: %+v", a)
		}
	}
	// Fired alarms do not come back.
	s.stop()
	s.start()
	ask[int64](s, "mark", "setAlarm", time.Now().UnixMilli())
	s.waitAlarms("mark", 1)
	for _, name := range []string{"down", "later"} {
		if n := ask[int](s, name, "get", "fired"); n != 1 {
			t.Errorf("the alarm of %s has fired %d times", name, n)
		}
	}
}

// TestAlarmRetries lets a handler throw twice. It is tried again after 2 s and then after 4 s, each up to a quarter longer,
// also when the server is killed between: that does not count as a failure.
func TestAlarmRetries(t *testing.T) {
	s := startCells(t)
	ask[any](s, "failing", "put", map[string]int{"failures": 2})
	ask[int64](s, "failing", "setAlarm", time.Now().UnixMilli())
	s.waitAlarms("failing", 1)
	s.wait("the records of three attempts", func() bool { return len(s.attempts()) >= 3 })

	got := s.attempts()
	if len(got) != 3 {
		t.Fatalf("%d attempts, want 3: %+v", len(got), got)
	}
	for i, a := range got {
		outcome := "exception"
		if i == 2 {
			outcome = "ok"
		}
		if a.IsRetry != (i > 0) || a.RetryCount != i || a.Outcome != outcome || a.Pending != nil {
			t.Errorf("attempt %d: %+v, want outcome %s", i+1, a, outcome)
		}
	}
	first, second := got[1].At.Sub(got[0].At), got[2].At.Sub(got[1].At)
	if first < 2*time.Second || second < 4*time.Second || second <= first {
		t.Errorf("the retries came after %s and %s, want at least 2 s and then at least 4 s", first, second)
	}
	failed := slices.IndexFunc(s.records(), func(r loggedRecord) bool {
		return r.Kind == "alarm" && len(r.Exceptions) == 1 && r.Exceptions[0].Message == "the alarm fails on purpose"
	})
	if failed < 0 {
		t.Error("no record holds the exception of the handler")
	}

	// No attempt comes after the success: an alarm set now, and due after any that might be left, is the next that runs.
	ask[int64](s, "mark", "setAlarm", time.Now().Add(time.Second).UnixMilli())
	s.waitAlarms("mark", 1)
	s.wait("the record of the last alarm", func() bool { return len(s.attempts()) >= 4 })
	if n := len(s.attempts()); n != 4 {
		t.Errorf("%d attempts, want 4: the alarm that succeeded came again: %+v", n, s.attempts())
	}
	if _, alarm := s.do("POST", "/cell/failing/getAlarm", "[]"); alarm != "null" {
		t.Errorf("an alarm is left: %s", alarm)
	}
}

// TestAlarmRetryAfterKill kills the server between a failed attempt and its retry.
func TestAlarmRetryAfterKill(t *testing.T) {
	s := startCells(t)
	ask[any](s, "failing", "put", map[string]int{"failures": 1})
	ask[int64](s, "failing", "setAlarm", time.Now().UnixMilli())
	s.wait("the first attempt", func() bool { return len(s.attempts()) == 1 })
	s.kill()
	s.start()
	s.waitAlarms("failing", 1)
	s.wait("the record of the retry", func() bool { return len(s.attempts()) >= 2 })
	got := s.attempts()
	if len(got) != 2 || !got[1].IsRetry || got[1].RetryCount != 1 || got[1].Outcome != "ok" {
		t.Fatalf("attempts %+v, want a failed one and a retry that succeeded", got)
	}
	if delay := got[1].At.Sub(got[0].At); delay < 2*time.Second {
		t.Errorf("the retry came after %s, the restart must not hasten it", delay)
	}
}
