package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

// Each of alarmActors has a chain of alarmChain alarms: a handler sets the next one.
const (
	alarmActors = 20
	alarmChain  = 15
)

// alarmChild runs the alarms and says each run, and "all" once no alarm is left.
func alarmChild(dir string) error {
	s, err := Open(Config{Dir: dir})
	if err != nil {
		return err
	}
	defer s.Close()
	d := durable.NewDirectory(durable.Config{Store: s})
	out := make(chan string, 100)
	d.Register("test", durable.NewNativeClass(durable.NativeConfig{Alarm: func(ctx context.Context, n *durable.Native, info durable.AlarmInfo) error {
		out <- "ran " + n.Name() + " " + strconv.FormatInt(info.Scheduled.UnixMilli(), 10)
		return n.Do(ctx, func(st *durable.Storage) error { return alarmEffect(ctx, st, info.Scheduled) })
	}}))
	ctx := context.Background()
	for i := range alarmActors {
		name := strconv.Itoa(i)
		h, err := d.Acquire(ctx, space.Key(space.IDFromName(name)), name)
		if err != nil {
			return err
		}
		err = h.Instance().(*durable.Native).Do(ctx, func(st *durable.Storage) error {
			if total, _, err := st.Get(ctx, "total"); err != nil || total != nil {
				return err
			}
			return errors.Join(st.Put("total", []byte("0")), st.SetAlarm(time.Now()))
		})
		h.Release()
		if err != nil {
			return err
		}
	}
	fmt.Println("ready")
	d.Start()
	go func() {
		look := time.NewTicker(5 * time.Millisecond)
		for {
			select {
			case line := <-out:
				fmt.Println(line)
			case <-look.C:
				if due, _, err := s.Due(ctx, time.Now().Add(time.Hour), nil, 1); err == nil && len(due) == 0 {
					fmt.Println("all")
				}
			}
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// alarmEffect counts a firing in, once, and sets the chain's next alarm in the same commit.
func alarmEffect(ctx context.Context, st *durable.Storage, scheduled time.Time) error {
	key := "done/" + strconv.FormatInt(scheduled.UnixMilli(), 10)
	done, _, err := st.Get(ctx, key)
	if err != nil || done != nil {
		return err // it ran before, and its effect was committed: only the alarm's removal was not
	}
	value, _, err := st.Get(ctx, "total")
	if err != nil {
		return err
	}
	total, err := strconv.Atoi(string(value))
	if err != nil {
		return err
	}
	total++
	if err := errors.Join(st.Put(key, nil), st.Put("total", []byte(strconv.Itoa(total)))); err != nil || total == alarmChain {
		return err
	}
	return st.SetAlarm(max2(time.Now(), scheduled.Add(time.Millisecond)))
}

func max2(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// TestAlarmsUnderKills kills the process again and again while alarms fire. In the end each handler has run for each of
// its alarms at least once, and the effect of each was committed once.
func TestAlarmsUnderKills(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(testkit.Seed(t), 0))
	ran := map[string]int{}
	rounds := testkit.Int(t, "GATEHOUSE_ROUNDS", 4)
	for round := 0; ; round++ {
		cmd, lines := startChild(t, dir, childKind+"=alarms")
		most := 1 + random.IntN(3*alarmActors*alarmChain/max(2, rounds))
		if round >= rounds {
			most = maxInt // no more kills: it may come to the end
		}
		for n := 0; n < most && ran["all"] == 0 && lines.Scan(); n++ {
			ran[lines.Text()]++
		}
		check(t, cmd.Process.Kill())
		for lines.Scan() {
			ran[lines.Text()]++
		}
		_ = cmd.Wait()
		left := unfinished(t, dir)
		t.Logf("round %d: %d chains are not at their end", round, left)
		if left == 0 {
			break
		}
		if ran["all"] > 0 {
			t.Fatal("no alarm is left, and not all chains are at their ends")
		}
		if round > rounds+10 {
			t.Fatal("the chains do not come to their ends")
		}
	}
	s := openIn(t, dir)
	for i := range alarmActors {
		name := strconv.Itoa(i)
		f, state, err := s.Acquire(t.Context(), space.Key(space.IDFromName(name)))
		check(t, err)
		entries, err := s.Scan(t.Context(), f, durable.Range{Prefix: "done/"})
		check(t, err)
		total, err := read(t, s, f, "total")
		check(t, err)
		if len(entries) != alarmChain || string(total) != strconv.Itoa(alarmChain) || !state.Alarm.IsZero() {
			t.Errorf("%s: %d effects, total %s, alarm %v; want %d of each and none", name, len(entries), total, state.Alarm.At, alarmChain)
		}
	}
	again := 0
	for _, n := range ran {
		again += n - 1
	}
	t.Logf("%d runs were heard of more than once", again)
}

// unfinished returns how many chains have not come to their ends.
func unfinished(t *testing.T, dir string) (left int) {
	t.Helper()
	s := openIn(t, dir)
	for i := range alarmActors {
		f, state, err := s.Acquire(t.Context(), space.Key(space.IDFromName(strconv.Itoa(i))))
		check(t, err)
		total, err := read(t, s, f, "total")
		check(t, err)
		if string(total) != strconv.Itoa(alarmChain) || !state.Alarm.IsZero() {
			left++
		}
	}
	check(t, s.Close())
	return left
}

// TestAlarmStorm lets 50,000 alarms come due while the store is closed. After it is opened they fire at the rate that the
// directory allows, and none is lost or fires twice.
func TestAlarmStorm(t *testing.T) {
	const alarms, rate = 50_000, 20_000
	dir := t.TempDir()
	s := openIn(t, dir)
	at := time.UnixMilli(1_700_000_000_000)
	outcomes := make(chan error, alarms)
	for i := range alarms {
		f := hold(t, s, strconv.Itoa(i))
		s.Commit(durable.Batch{Fence: f, Alarm: &durable.Alarm{At: at, Scheduled: at}}, func(err error) { outcomes <- err })
		s.Release(f)
	}
	for range alarms {
		check(t, <-outcomes)
	}
	check(t, s.Close())

	s = openIn(t, dir)
	d := durable.NewDirectory(durable.Config{Store: s, AlarmsPerSecond: rate, MaxConcurrentAlarms: 64})
	fired := make(chan durable.ID, alarms)
	d.Register("test", durable.NewNativeClass(durable.NativeConfig{Alarm: func(_ context.Context, n *durable.Native, _ durable.AlarmInfo) error {
		fired <- n.Key().ID
		return nil
	}}))
	begun := time.Now()
	d.Start()
	seen := map[durable.ID]bool{}
	for range alarms {
		id := <-fired
		if seen[id] {
			t.Fatalf("%s fired twice", id)
		}
		seen[id] = true
	}
	took := time.Since(begun)
	t.Logf("%d alarms in %s", alarms, took)
	// A bound from below is what the pace promises; how much longer it takes is the machine's affair.
	if least := time.Duration(alarms-64) * time.Second / rate; took < least {
		t.Errorf("they took %s, at %d a second at least %s", took, rate, least)
	}
	check(t, d.Close(t.Context()))
	if due, _, err := s.Due(t.Context(), time.Now(), nil, 10); err != nil || len(due) > 0 {
		t.Errorf("still due: %v, %v", due, err)
	}
}
