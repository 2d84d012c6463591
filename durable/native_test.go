package durable

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func increment(ctx context.Context, s *Storage) (uint64, error) {
	value, ok, err := s.Get(ctx, "n")
	if err != nil {
		return 0, err
	}
	var n uint64
	if ok {
		n = binary.BigEndian.Uint64(value)
	}
	n++
	return n, s.Put("n", binary.BigEndian.AppendUint64(nil, n))
}

func TestNative(t *testing.T) {
	withDirectory(t, Config{}, func(t *testing.T, d *Directory) {
		fired := make(chan AlarmInfo, 10)
		fails := 1
		class := NewNativeClass(NativeConfig{
			Start: func(_ context.Context, n *Native) error {
				n.State = "started"
				return nil
			},
			Alarm: func(ctx context.Context, n *Native, info AlarmInfo) error {
				fired <- info
				if fails > 0 {
					fails--
					return errors.New("not yet")
				}
				return n.Do(ctx, func(s *Storage) error { return s.Put("fired", nil) })
			},
		})
		d.Register("Test", class)
		var work sync.WaitGroup
		seen := make(map[uint64]bool)
		var mu sync.Mutex
		for range 100 {
			work.Go(func() {
				h := mustAcquire(t, d, testKey("a"))
				defer h.Release()
				var got uint64
				err := h.Instance().(*Native).Do(t.Context(), func(s *Storage) (err error) {
					got, err = increment(t.Context(), s)
					return err
				})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if seen[got] {
					t.Errorf("%d was given out twice", got)
				}
				seen[got] = true
			})
		}
		work.Wait()
		elapse(time.Minute) // the instance goes, the count stays
		h := mustAcquire(t, d, testKey("a"))
		defer h.Release()
		n := h.Instance().(*Native)
		if n.State != "started" || n.Key() != testKey("a") {
			t.Errorf("state %v, key %v", n.State, n.Key())
		}
		refusal := errors.New("limit reached")
		err := n.Do(t.Context(), func(s *Storage) error {
			if got, err := increment(t.Context(), s); got != 101 || err != nil {
				t.Errorf("count is %d, %v", got, err)
			}
			return refusal
		})
		if err != refusal {
			t.Errorf("refused: %v", err)
		}
		check(t, n.Do(t.Context(), func(s *Storage) error {
			if got, err := increment(t.Context(), s); got != 101 || err != nil {
				t.Errorf("count after a refusal is %d, %v", got, err)
			}
			return s.SetAlarm(time.Now().Add(time.Second))
		}))
		elapse(time.Minute)
		if first, second := <-fired, <-fired; first.IsRetry || second.RetryCount != 1 || len(fired) != 0 {
			t.Errorf("alarm runs: %+v, %+v", first, second)
		}
		check(t, n.Do(t.Context(), func(s *Storage) error {
			wantValue(t, s, "fired", "")
			_, set := s.Alarm()
			if set {
				t.Error("the alarm is still set")
			}
			return nil
		}))
	})
}

func TestNativePanicBreaks(t *testing.T) {
	withDirectory(t, Config{}, func(t *testing.T, d *Directory) {
		d.Register("Test", NewNativeClass(NativeConfig{}))
		h := mustAcquire(t, d, testKey("a"))
		n := h.Instance().(*Native)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = n.Do(t.Context(), func(*Storage) error { panic("bug") })
		}()
		if err := n.Do(t.Context(), func(*Storage) error { return nil }); !errors.Is(err, ErrReset) {
			t.Errorf("event after a panic: %v", err)
		}
		h.Release()
		fresh := mustAcquire(t, d, testKey("a"))
		defer fresh.Release()
		if fresh.Instance() == Instance(n) {
			t.Error("the broken instance was used again")
		}
	})
}

func TestNativeAlarmStoppedByClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemory()
		var infos []AlarmInfo
		class := NewNativeClass(NativeConfig{Alarm: func(ctx context.Context, _ *Native, info AlarmInfo) error {
			infos = append(infos, info)
			if len(infos) > 1 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}})
		for range 2 {
			d := NewDirectory(Config{Store: store})
			d.Register("Test", class)
			if len(infos) == 0 {
				h := mustAcquire(t, d, testKey("a"))
				check(t, h.Instance().(*Native).Do(t.Context(), func(s *Storage) error { return s.SetAlarm(time.Now()) }))
				h.Release()
			}
			d.Start()
			elapse(time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_ = d.Close(ctx) // the first time the handler does not end by itself
			cancel()
		}
		if len(infos) != 2 || infos[1].IsRetry {
			t.Errorf("runs: %+v", infos)
		}
		check(t, store.Close())
	})
}
