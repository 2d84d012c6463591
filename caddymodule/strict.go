package caddymodule

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/throttle"
)

// strictNamespace is the namespace of the actors that count strict zones: one actor for each zone and key.
const strictNamespace = "gatehouse/throttle"

// strictCounter counts strict zones in durable actors: exactly, and across restarts.
type strictCounter struct{ directory *durable.Directory }

var strictActors = durable.NewNamespace(strictNamespace)

// newStrictClass makes the class of counting actors. Their alarm, set for when a window has passed without a request,
// removes what they keep.
func newStrictClass() durable.Class {
	return durable.NewNativeClass(durable.NativeConfig{
		Alarm: func(ctx context.Context, n *durable.Native, _ durable.AlarmInfo) error {
			return n.Do(ctx, func(s *durable.Storage) error {
				// An admission since the alarm fired has set it anew: the window is in use.
				if _, again := s.Alarm(); again {
					return nil
				}
				return s.DeleteAll()
			})
		},
	})
}

// doStrict runs f as an event of the actor that stands for a key of a zone, a budget or another limit.
func doStrict(ctx context.Context, directory *durable.Directory, actors durable.Namespace, limit, key string, f func(*durable.Storage) error) error {
	handle, err := directory.Acquire(ctx, actors.Key(actors.IDFromName(strconv.Quote(limit)+" "+key)), "")
	if err != nil {
		return err
	}
	defer handle.Release()
	n, ok := handle.Instance().(*durable.Native)
	if !ok {
		return fmt.Errorf("%s is not kept by this process", limit)
	}
	return n.Do(ctx, f)
}

// Take implements throttle.Counter. An admission is durable when it returns.
func (c strictCounter) Take(ctx context.Context, zone, key string, r throttle.Rate) (throttle.Decision, error) {
	var d throttle.Decision
	err := doStrict(ctx, c.directory, strictActors, zone, key, func(s *durable.Storage) error {
		now := time.Now()
		var err error
		if d, err = throttle.Take(ctx, slots{s}, r, now); err != nil || !d.Allowed {
			return err
		}
		return s.SetAlarm(now.Add(d.Reset + time.Second))
	})
	return d, err
}

// slots keeps a window in an actor's storage: the head under "head", each time under its slot's number.
type slots struct{ s *durable.Storage }

func (w slots) Head(ctx context.Context) (throttle.Head, error) {
	b, ok, err := w.s.Get(ctx, "head")
	if err != nil || !ok {
		return throttle.Head{}, err
	}
	if len(b) != 16 {
		return throttle.Head{}, fmt.Errorf("throttle: a head of %d bytes is stored, not 16", len(b))
	}
	return throttle.Head{Count: int64(binary.BigEndian.Uint64(b)), Limit: int(binary.BigEndian.Uint64(b[8:]))}, nil
}

func (w slots) Slot(ctx context.Context, i int) (int64, bool, error) {
	b, ok, err := w.s.Get(ctx, strconv.Itoa(i))
	if err != nil || !ok {
		return 0, false, err
	}
	if len(b) != 8 {
		return 0, false, fmt.Errorf("throttle: a slot of %d bytes is stored, not 8", len(b))
	}
	return int64(binary.BigEndian.Uint64(b)), true, nil
}

func (w slots) Admit(_ context.Context, i int, t int64, head throttle.Head) error {
	return w.s.PutMany([]durable.Entry{headEntry(head), slotEntry(i, t)})
}

func (w slots) Replace(_ context.Context, times []int64, head throttle.Head) error {
	if err := w.s.DeleteAll(); err != nil {
		return err
	}
	entries := []durable.Entry{headEntry(head)}
	for i, t := range times {
		entries = append(entries, slotEntry(i, t))
	}
	return w.s.PutMany(entries)
}

func headEntry(h throttle.Head) durable.Entry {
	b := binary.BigEndian.AppendUint64(nil, uint64(h.Count))
	return durable.Entry{Key: "head", Value: binary.BigEndian.AppendUint64(b, uint64(h.Limit))}
}

func slotEntry(i int, t int64) durable.Entry {
	return durable.Entry{Key: strconv.Itoa(i), Value: binary.BigEndian.AppendUint64(nil, uint64(t))}
}

var _ throttle.Counter = strictCounter{}
