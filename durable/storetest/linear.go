package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

const (
	linearClients = 16
	linearActors  = 4
	linearKeys    = 3
	// fewestDisturbances is how often the clients are upset before they stop, also where they are quick.
	fewestDisturbances = 60
)

// Step is what a client asks of an actor.
type Step struct {
	Actor int
	Kind  StepKind
	Key   int
	// Value is what is put. Old is what it is compared with.
	Value, Old string
}

// StepKind says what a step does.
type StepKind int

const (
	StepPut StepKind = iota // Value at Key
	StepGet
	StepList
	StepCompareAndSet
)

// Answer is what it is told. An unknown one never came: the write may have happened or not, at any time.
type Answer struct {
	unknown bool
	// Value is the key's, for a compare-and-set the one before; for a list all of them, with commas between.
	Value   string
	Swapped bool
}

// held is an actor's state: its keys' values.
type held [linearKeys]string

// linear is the model: actors are apart from each other, and each is a map.
var linear = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, linearActors)
		for _, o := range history {
			a := o.Input.(Step).Actor
			parts[a] = append(parts[a], o)
		}
		return parts
	},
	Init: func() any { return held{} },
	Step: func(state, input, output any) (bool, any) {
		h, in, out := state.(held), input.(Step), output.(Answer)
		switch in.Kind {
		case StepPut:
			h[in.Key] = in.Value
			return true, h
		case StepGet:
			return out.Value == h[in.Key], h
		case StepList:
			return out.Value == strings.Join(h[:], ","), h
		default:
			before := h[in.Key]
			fits := before == in.Old
			if fits {
				h[in.Key] = in.Value
			}
			return out.unknown || out.Swapped == fits && out.Value == before, h
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// Linear lets 16 clients put, get, list and compare-and-set in the same few actors while these are evicted and reset, and
// disturb, unless it is nil, upsets the store; and looks whether the history is linearizable.
func Linear(t *testing.T, cfg Config, disturb func(durable.Store)) {
	store := open(t, cfg.New(t))
	d := durable.NewDirectory(durable.Config{Store: store, IdleAfter: time.Millisecond, MaxResident: linearActors - 1})
	d.Register(space.Name(), durable.NewNativeClass(durable.NativeConfig{}))
	d.Start()
	History(t, func(s Step) (Answer, error) { return take(t.Context(), d, s) }, func(n int, random *rand.Rand) {
		d.Reset(key(fmt.Sprint(random.IntN(linearActors))), errors.New("reset by the test"))
		if disturb != nil && n%60 == 15 {
			disturb(store)
		}
	})
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// History has 16 clients take steps at once, in the same few actors, while disturb is called all the time, and looks whether
// each actor's history could have happened one step after the other (porcupine). take returns an error where the outcome is
// not known; one that matches ErrNotBegun says that nothing has happened. GATEHOUSE_STEPS is how many steps each client takes at least,
// GATEHOUSE_SEED repeats its choices.
func History(t *testing.T, take func(Step) (Answer, error), disturb func(n int, random *rand.Rand)) {
	seed, steps := testkit.Seed(t), testkit.Int(t, "GATEHOUSE_STEPS", 60)
	t.Logf("GATEHOUSE_STEPS=%d", steps)
	begun := time.Now()
	var disturbed atomic.Int64
	var mu sync.Mutex
	var history []porcupine.Operation
	var clients sync.WaitGroup
	for c := range linearClients {
		random := rand.New(rand.NewPCG(uint64(seed), uint64(c)))
		clients.Go(func() {
			for n, tries := 0, 0; (n < steps || disturbed.Load() < fewestDisturbances) && tries < 500*steps; tries++ {
				in := Step{
					Actor: random.IntN(linearActors), Kind: StepKind(random.IntN(4)), Key: random.IntN(linearKeys),
					Value: fmt.Sprintf("%d.%d", c, tries),
				}
				if in.Kind == StepCompareAndSet {
					mu.Lock()
					in.Old = lastSeen(history, in)
					mu.Unlock()
				}
				call := time.Since(begun)
				out, err := take(in)
				if err == nil {
					n++
				} else {
					<-time.After(time.Millisecond)
				}
				if errors.Is(err, ErrNotBegun) {
					continue
				}
				o := porcupine.Operation{ClientId: c, Input: in, Call: int64(call), Output: out, Return: int64(time.Since(begun))}
				if err != nil {
					if in.Kind == StepGet || in.Kind == StepList {
						continue // it told nobody anything
					}
					o.Output, o.Return = Answer{unknown: true}, int64(time.Hour) // it may yet happen
				}
				mu.Lock()
				history = append(history, o)
				mu.Unlock()
			}
		})
	}
	ended, upset := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(upset)
		random := rand.New(rand.NewPCG(uint64(seed), 1<<32))
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
			disturb(n, random)
			disturbed.Add(1)
		}
	}()
	clients.Wait()
	close(ended)
	<-upset
	known, unknown := settle(history)
	t.Logf("%d operations, and %d with an unknown outcome, of which %d are seen to have happened", len(known)-unknown.happened, unknown.all, unknown.happened)
	if len(known) < linearClients*steps {
		t.Error("not all steps were taken")
	}
	history = known
	switch porcupine.CheckOperationsTimeout(linear, history, 2*time.Minute) {
	case porcupine.Illegal:
		t.Error("the history is not linearizable")
		for _, o := range history {
			t.Logf("%d %d..%d %s", o.ClientId, o.Call, o.Return, linear.DescribeOperation(o.Input, o.Output))
		}
	case porcupine.Unknown:
		t.Error("the history is too long to be checked: lower GATEHOUSE_STEPS")
	}
}

// outcomes counts the unknown ones.
type outcomes struct{ all, happened int }

// settle makes the best of what is unknown. All values differ, and whoever is told anything of a key is told its value. So a
// write whose value somebody was told has happened, before that one's step ended; and of one whose value nobody was ever
// told nothing followed, so that it may as well not have happened.
func settle(history []porcupine.Operation) (known []porcupine.Operation, unknown outcomes) {
	told := map[string]int64{}
	tell := func(value string, by int64) bool {
		first, ok := told[value]
		if ok && first <= by {
			return false
		}
		told[value] = by
		return true
	}
	for _, o := range history {
		if out := o.Output.(Answer); !out.unknown {
			for _, value := range strings.Split(out.Value, ",") {
				tell(value, o.Return)
			}
		}
	}
	// A compare-and-set that has happened was told what it compared with.
	for more := true; more; {
		more = false
		for _, o := range history {
			in := o.Input.(Step)
			if until, happened := told[in.Value]; happened && in.Kind == StepCompareAndSet && o.Output.(Answer).unknown {
				more = tell(in.Old, until) || more
			}
		}
	}
	for _, o := range history {
		if o.Output.(Answer).unknown {
			unknown.all++
			until, happened := told[o.Input.(Step).Value]
			if !happened {
				continue
			}
			unknown.happened++
			o.Return = until
		}
		known = append(known, o)
	}
	return known, unknown
}

// ErrNotBegun says that a step did not reach its actor.
var ErrNotBegun = errors.New("not begun")

// lastSeen is a value that the key has had lately, so that some compare-and-sets fit.
func lastSeen(history []porcupine.Operation, in Step) string {
	for i := len(history) - 1; i >= max(0, len(history)-40); i-- {
		h, out := history[i].Input.(Step), history[i].Output.(Answer)
		if h.Actor != in.Actor || h.Key != in.Key {
			continue
		}
		switch {
		case h.Kind == StepPut, h.Kind == StepCompareAndSet && out.Swapped:
			return h.Value
		case h.Kind == StepGet:
			return out.Value
		}
	}
	return ""
}

// take takes a step.
func take(ctx context.Context, d *durable.Directory, in Step) (out Answer, err error) {
	h, err := d.Acquire(ctx, key(fmt.Sprint(in.Actor)), "")
	if err != nil {
		return out, errors.Join(ErrNotBegun, err)
	}
	defer h.Release()
	name := strconv.Itoa(in.Key)
	err = h.Instance().(*durable.Native).Do(ctx, func(s *durable.Storage) error {
		switch in.Kind {
		case StepPut:
			return s.Put(name, []byte(in.Value))
		case StepGet:
			value, _, err := s.Get(ctx, name)
			out.Value = string(value)
			return err
		case StepList:
			entries, err := s.List(ctx, durable.Range{})
			var all held
			for _, e := range entries {
				all[e.Key[0]-'0'] = string(e.Value)
			}
			out.Value = strings.Join(all[:], ",")
			return err
		default:
			value, _, err := s.Get(ctx, name)
			out.Value = string(value)
			if out.Swapped = err == nil && string(value) == in.Old; out.Swapped {
				return s.Put(name, []byte(in.Value))
			}
			return err
		}
	})
	return out, err
}
