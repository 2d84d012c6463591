package dashboard

import (
	"context"
	"time"
)

// Source is what the page shows besides records. All methods are safe for concurrent use and quick: they give a part where
// the whole would be long.
type Source interface {
	// Agents are those in charge, sorted by name.
	Agents() []Agent
	// Namespaces are the classes of actors that store something, or could.
	Namespaces(ctx context.Context) ([]Namespace, error)
	// Actors gives up to limit actors of a namespace that store something, by id, after the given id (empty: from the first).
	Actors(ctx context.Context, namespace, after string, limit int) (ActorPage, error)
	// Workflow gives what an instance's journal says. It is nil for an actor that is none.
	Workflow(ctx context.Context, namespace, id string) (*Workflow, error)
	// Approvals are the hosts that wait for a decision, or with all everything that is remembered.
	Approvals(ctx context.Context, all bool) ([]Approval, error)
	// Decide decides about a host: grant or deny. by is who did.
	Decide(ctx context.Context, agent, host, decision, by string) error
	// Events are the unusual calls of late, the newest last.
	Events() any
	// Health is what the server lost or cannot do, empty texts for nothing.
	Health() []Count
}

// Agent is one agent with the version of its code in charge.
type Agent struct {
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	Main      string   `json:"main"`
	Isolation string   `json:"isolation"`
	Handlers  []string `json:"handlers"`
	Classes   []string `json:"classes"`
	Crons     []string `json:"crons"`
	Egress    string   `json:"egress"` // empty: none
	Callers   []string `json:"callers"`
	Tail      []string `json:"tail"`
}

// Namespace is a class of actors.
type Namespace struct {
	Name     string `json:"name"`
	Workflow bool   `json:"workflow"`
	Actors   int    `json:"actors"`
	More     bool   `json:"more"` // there are more than were counted
	Bytes    int64  `json:"bytes"`
}

// Actor is one actor that stores something, its SQL database included.
type Actor struct {
	ID      string     `json:"id"`
	Name    string     `json:"name,omitempty"`
	Entries int64      `json:"entries"`
	Bytes   int64      `json:"bytes"`
	Alarm   *time.Time `json:"alarm,omitempty"`
}

// ActorPage is a part of a namespace's actors. Next is the id to go on after, empty at the end.
type ActorPage struct {
	Actors []Actor `json:"actors"`
	Next   string  `json:"next,omitempty"`
}

// Workflow is an instance with its steps, as its journal has them.
type Workflow struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Steps  []Step `json:"steps"`
}

// Step is a step in the journal: done, waiting, failed or tried. Kind is do, sleep or waitForEvent.
type Step struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	State string `json:"state"`
}

// Approval is a host and what was decided about it.
type Approval struct {
	Agent string    `json:"agent"`
	Host  string    `json:"host"`
	State string    `json:"state"`
	Since time.Time `json:"since"`
}

// Count is a number that should be 0.
type Count struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
}
