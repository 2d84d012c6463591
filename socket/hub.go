package socket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/durable"
)

const (
	// connectWithin is how long a socket that was accepted may wait for its connection.
	connectWithin = 2 * time.Minute
	// listBytes is about how many bytes of tags and attachments one list carries.
	listBytes = 1 << 20
)

// Config makes a Hub. Deliver is required.
type Config struct {
	// Deliver hands an event of a socket to its actor, waking it if it sleeps, and returns once the actor's handler has come to
	// its end. An error says that the actor could not be reached.
	Deliver func(ctx context.Context, actor durable.Key, ev agentruntime.SocketEvent) error
}

// Hub has all sockets of all actors. Its methods are safe for concurrent use.
type Hub struct {
	cfg    Config
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup // readers, writers and deliveries

	mu     sync.Mutex // guards everything below and the owners
	next   uint64
	owners map[durable.Key]*owner
	// accounts are those of all namespaces that ever had a socket.
	accounts map[string]*account
	closed   bool
}

// owner is an actor with sockets, or one in memory.
type owner struct {
	key     durable.Key
	sockets map[uint64]*Socket
	auto    *agentruntime.AutoResponse
	held    int // instances in memory
}

// New returns a hub without sockets.
func New(cfg Config) *Hub {
	h := &Hub{cfg: cfg, owners: map[durable.Key]*owner{}, accounts: map[string]*account{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Actor returns an instance's way to the sockets of its actor. The instance closes it at its end: what it accepted and
// nobody was connected to is given up then.
func (h *Hub) Actor(key durable.Key) *Actor {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.owner(key).held++
	return &Actor{hub: h, key: key}
}

// owner is the owner of a key, made if there is none. Called under mu.
func (h *Hub) owner(key durable.Key) *owner {
	o := h.owners[key]
	if o == nil {
		o = &owner{key: key, sockets: map[uint64]*Socket{}}
		h.owners[key] = o
	}
	return o
}

// tidy forgets an owner that has nothing. Called under mu.
func (h *Hub) tidy(o *owner) {
	if o.held == 0 && len(o.sockets) == 0 && h.owners[o.key] == o {
		delete(h.owners, o.key)
	}
}

// find returns a socket of an actor, nil if there is none of that number.
func (h *Hub) find(key durable.Key, id uint64) *Socket {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.owners[key]; o != nil {
		return o.sockets[id]
	}
	return nil
}

// forget takes a socket out.
func (h *Hub) forget(s *Socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.owners[s.actor]; o != nil && o.sockets[s.id] == s {
		delete(o.sockets, s.id)
		h.tidy(o)
	}
}

// spawn runs f, unless the hub is closed.
func (h *Hub) spawn(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.work.Go(f)
	return true
}

// Take gives out the other side of a socket that its actor has accepted, once: what a Response with a Kept socket stands for.
func (h *Hub) Take(key durable.Key, id uint64) (*Outer, error) {
	s := h.find(key, id)
	if s == nil || !s.taken.CompareAndSwap(false, true) {
		return nil, errors.New("the other side of the Response's WebSocket is not there any more")
	}
	return &Outer{s: s}, nil
}

// DropNamespace closes every socket of the actors of a namespace, because nothing is there any more to serve them.
func (h *Hub) DropNamespace(namespace string) {
	h.mu.Lock()
	var all []*Socket
	for key, o := range h.owners {
		if key.Namespace != namespace {
			continue
		}
		for _, s := range o.sockets {
			all = append(all, s)
		}
	}
	h.mu.Unlock()
	for _, s := range all {
		s.close(closeGoingAway, "the agent is not here any more")
	}
}

// Open returns how many sockets there are.
func (h *Hub) Open() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, o := range h.owners {
		n += len(o.sockets)
	}
	return n
}

// Close tells every client that the server goes away, and ends what is under way.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	var all []*Socket
	for _, o := range h.owners {
		for _, s := range o.sockets {
			all = append(all, s)
		}
	}
	h.mu.Unlock()
	h.cancel()
	var gone sync.WaitGroup
	for _, s := range all {
		gone.Go(s.goAway) // each may have to wait for its client
	}
	gone.Wait()
	h.work.Wait()
}

// Actor is one instance's way to its actor's sockets: agentruntime.Sockets.
type Actor struct {
	hub  *Hub
	key  durable.Key
	once sync.Once
}

// Close gives up what the instance accepted and nobody was connected to.
func (a *Actor) Close() {
	a.once.Do(func() {
		a.hub.mu.Lock()
		o := a.hub.owner(a.key)
		o.held--
		var lost []*Socket
		if o.held == 0 {
			for id, s := range o.sockets {
				if s.taken.CompareAndSwap(false, true) {
					delete(o.sockets, id)
					lost = append(lost, s)
				}
			}
		}
		a.hub.tidy(o)
		a.hub.mu.Unlock()
		for _, s := range lost {
			s.abandon()
		}
	})
}

// Accept implements agentruntime.Sockets.
func (a *Actor) Accept(_ context.Context, tags []string, attachment []byte) (uint64, error) {
	if err := agentruntime.CheckTags(tags); err != nil {
		return 0, err
	}
	if err := agentruntime.CheckAttachment(attachment); err != nil {
		return 0, err
	}
	h := a.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return 0, errors.New("the server is going away")
	}
	o := h.owner(a.key)
	if len(o.sockets) >= agentruntime.MaxSockets {
		return 0, fmt.Errorf("the actor has %d WebSockets already, which is the limit", len(o.sockets))
	}
	of := h.accounts[a.key.Namespace]
	if of == nil {
		of = new(account)
		h.accounts[a.key.Namespace] = of
	}
	if of.waiting.Load() >= maxWaiting {
		return 0, fmt.Errorf("%d WebSockets of the class were accepted and not answered with yet, which is the limit", maxWaiting)
	}
	of.waiting.Add(1)
	h.next++
	s := &Socket{hub: h, of: of, actor: a.key, id: h.next, tags: tags, attachment: attachment}
	s.waiting = time.AfterFunc(connectWithin, func() {
		if s.taken.CompareAndSwap(false, true) {
			h.forget(s)
			s.abandon()
		}
	})
	o.sockets[s.id] = s
	return s.id, nil
}

// List implements agentruntime.Sockets. What does not fit into one message is left for Look.
func (a *Actor) List(_ context.Context, tag *string) ([]agentruntime.SocketInfo, error) {
	a.hub.mu.Lock()
	var found []*Socket
	if o := a.hub.owners[a.key]; o != nil {
		for _, s := range o.sockets {
			if tag == nil || slices.Contains(s.tags, *tag) {
				found = append(found, s)
			}
		}
	}
	a.hub.mu.Unlock()
	slices.SortFunc(found, func(x, y *Socket) int { return cmp.Compare(x.id, y.id) })
	list := make([]agentruntime.SocketInfo, len(found))
	for i, room := 0, listBytes; i < len(found); i++ {
		info := found[i].info()
		room -= len(info.Attachment)
		for _, t := range info.Tags {
			room -= len(t)
		}
		if room < 0 {
			info = agentruntime.SocketInfo{ID: info.ID, Closing: info.Closing, Partial: true}
		}
		list[i] = info
	}
	return list, nil
}

// Look implements agentruntime.Sockets.
func (a *Actor) Look(_ context.Context, id uint64) (agentruntime.SocketInfo, error) {
	s := a.hub.find(a.key, id)
	if s == nil {
		return agentruntime.SocketInfo{ID: id, Closing: true}, nil
	}
	return s.info(), nil
}

// Send implements agentruntime.Sockets.
func (a *Actor) Send(id uint64, m agentruntime.Message) {
	if s := a.hub.find(a.key, id); s != nil {
		s.send(m)
	}
}

// End implements agentruntime.Sockets.
func (a *Actor) End(id uint64, code int, reason string) {
	if s := a.hub.find(a.key, id); s != nil {
		s.close(code, reason)
	}
}

// Attach implements agentruntime.Sockets.
func (a *Actor) Attach(id uint64, data []byte) {
	if s := a.hub.find(a.key, id); s != nil && agentruntime.CheckAttachment(data) == nil {
		s.mu.Lock()
		s.attachment = data
		s.mu.Unlock()
	}
}

// SetAutoResponse implements agentruntime.Sockets.
func (a *Actor) SetAutoResponse(pair *agentruntime.AutoResponse) {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	a.hub.owner(a.key).auto = pair
}

// AutoResponse implements agentruntime.Sockets.
func (a *Actor) AutoResponse(context.Context) (*agentruntime.AutoResponse, error) {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	return a.hub.owner(a.key).auto, nil
}

var _ agentruntime.Sockets = (*Actor)(nil)
