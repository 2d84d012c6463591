package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/cache"
	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/kv"
	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/socket"
	"github.com/gatehouse-edge/gatehouse/throttle"
)

// edges holds the open stores by folder, across reloads.
var edges = caddy.NewUsagePool()

// tail is where those who watch get the records of every configuration of this process.
var tail record.Tail

// edge is what must exist once, however many configurations overlap: the store, the directory of actors with their
// alarms, the KV namespaces and the cron schedules. It is pooled by the store's folder and opened at its first use.
type edge struct {
	storage storage

	once      sync.Once
	err       error
	store     durable.Store
	directory *durable.Directory
	spaces    *kv.Namespaces
	schedule  *schedule
	// sockets are those of all actors: they stay open across reloads and changes of code.
	sockets *socket.Hub

	// serving is the configuration that started last: what no request began goes its ways.
	serving atomic.Pointer[App]
	// recent are the records that the page looks back at; nil without a page.
	recent atomic.Pointer[record.Recent]
	// untailed counts the records that tail agents were too slow for.
	untailed atomic.Int64
	// tailed says that an agent has tail agents.
	tailed  atomic.Bool
	watches watches
	saving  chan struct{} // ends the saving of baselines
	saved   sync.WaitGroup
	// work is what runs on after its request: waitUntil, bodies of actors, tail handlers.
	work sync.WaitGroup

	mu sync.Mutex
	// duty says which release is in charge of an agent's actors and schedules: the last of its list.
	duty map[string][]duty
	// caches are the agents' HTTP caches, zones the counters of their rate limits.
	caches map[string]*cache.Store
	zones  map[string]*throttle.Zone
	// books remember the hosts that agents and clients of proxies have called.
	books map[string]*hostBook
	// waiting counts, for each agent, the requests whose answer has not begun.
	waiting map[string]*atomic.Int64
}

// duty is one configuration's claim on an agent.
type duty struct {
	owner *agent
	rel   *release
}

func newEdge(s storage) *edge {
	e := &edge{storage: s, duty: map[string][]duty{}}
	return e
}

// open opens the store if it is not open. The first error stays.
func (e *edge) open() error {
	e.once.Do(func() { e.err = e.doOpen() })
	return e.err
}

func (e *edge) doOpen() error {
	log := storeLog()
	store, err := e.storage.open()
	if err != nil {
		return fmt.Errorf("gatehouse: %w", err)
	}
	e.store = store
	e.directory = durable.NewDirectory(durable.Config{Store: store, Logger: log})
	e.directory.Register(strictNamespace, newStrictClass())
	e.directory.Register(strictLedgerNamespace, newStrictClass())
	e.directory.Register(hostsNamespace, durable.NewNativeClass(durable.NativeConfig{}))
	e.directory.Register(baselineNamespace, durable.NewNativeClass(durable.NativeConfig{}))
	e.directory.Register(oauthNamespace, durable.NewNativeClass(durable.NativeConfig{}))
	e.sockets = socket.New(socket.Config{Deliver: e.deliver})
	e.spaces = kv.New(kv.Config{Store: store})
	e.schedule = newSchedule(e)
	e.mu.Lock()
	for name := range e.duty {
		e.assign(name, nil)
	}
	e.mu.Unlock()
	e.directory.Start()
	e.saving = make(chan struct{})
	e.saved.Go(func() {
		minute := time.NewTicker(time.Minute)
		defer minute.Stop()
		for {
			select {
			case <-minute.C:
				e.saveBaselines()
			case <-e.saving:
				return
			}
		}
	})
	return nil
}

// Destruct closes everything once no configuration uses the store any more.
func (e *edge) Destruct() error {
	e.once.Do(func() { e.err = durable.ErrClosed })
	for _, s := range e.caches {
		s.Close()
	}
	for _, z := range e.zones {
		z.Close()
	}
	if e.store == nil {
		return nil
	}
	e.schedule.close()
	e.sockets.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		e.work.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	logQueue().Flush(2 * time.Second)
	baselineQueue().Flush(2 * time.Second)
	close(e.saving)
	e.saved.Wait()
	e.saveBaselines()
	err := e.directory.Close(ctx)
	e.spaces.Close()
	return errors.Join(err, e.store.Close())
}

// out is where the records of what no request began go.
func (e *edge) out() *outlets { return e.serving.Load().out }

// log is the logger of the configuration that started last.
func (e *edge) log() *zap.Logger {
	if a := e.serving.Load(); a != nil {
		return a.logger
	}
	return caddy.Log().Named("gatehouse")
}

// headed says whether anybody wants the headers of requests.
func (e *edge) headed() bool {
	return tail.WantsHeaders() || e.tailed.Load()
}

// enlist puts owner's release in charge of the agent's actors, alarms and schedules; an owner that is in charge already
// changes its release.
func (e *edge) enlist(owner *agent, rel *release) {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := e.duty[owner.name]
	before := inCharge(list)
	if i := slices.IndexFunc(list, func(d duty) bool { return d.owner == owner }); i >= 0 {
		list[i].rel = rel
	} else {
		list = append(list, duty{owner, rel})
	}
	e.duty[owner.name] = list
	e.assign(owner.name, before)
}

// dismiss ends owner's claim. The release before it is in charge again if there is one.
func (e *edge) dismiss(owner *agent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := e.duty[owner.name]
	before := inCharge(list)
	list = slices.DeleteFunc(list, func(d duty) bool { return d.owner == owner })
	e.duty[owner.name] = list
	e.assign(owner.name, before)
	if len(list) == 0 {
		delete(e.duty, owner.name)
	}
}

// assign makes the directory's classes those of the release in charge. It is called with the lock held.
func (e *edge) assign(name string, before *release) {
	if e.directory == nil {
		return
	}
	tailed := false
	for _, list := range e.duty {
		now := inCharge(list)
		tailed = tailed || now != nil && len(now.config.Tail) > 0
	}
	e.tailed.Store(tailed)
	now := inCharge(e.duty[name])
	if before != nil && before != now {
		for ns := range before.classes {
			if now == nil || now.classes[ns] == nil {
				e.directory.Register(ns, nil)
				e.sockets.DropNamespace(ns)
			}
		}
	}
	if now == nil {
		return
	}
	for ns, class := range now.classes {
		e.directory.Register(ns, class)
	}
}

// current is the release in charge of the named agent, nil if there is none.
func (e *edge) current(name string) *release {
	e.mu.Lock()
	defer e.mu.Unlock()
	return inCharge(e.duty[name])
}

// releases are the releases in charge.
func (e *edge) releases() []*release {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []*release
	for _, list := range e.duty {
		if r := inCharge(list); r != nil {
			all = append(all, r)
		}
	}
	return all
}

// whenEnded hands an invocation's report to done when the invocation has come to its end: at once if it has, so that the
// common request needs no goroutine more.
func (e *edge) whenEnded(inv invocation, done func(agentruntime.Report)) {
	if rep, ended := inv.Ended(); ended {
		done(rep)
		return
	}
	e.work.Go(func() { done(inv.Wait()) })
}

func inCharge(list []duty) *release {
	if len(list) == 0 {
		return nil
	}
	return list[len(list)-1].rel
}

// openRecord begins the record of work that no request began.
func (e *edge) openRecord(kind record.Kind, rel *release) *record.Record {
	r := e.out().open(kind)
	r.Write(func(x *record.Entry) {
		x.Agent, x.Version = rel.name, rel.version()
	})
	return r
}
