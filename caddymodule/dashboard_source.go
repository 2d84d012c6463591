package caddymodule

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/dashboard"
	"github.com/gatehouse-edge/gatehouse/durable"
)

// pageSource is what the page shows of a store and its agents.
type pageSource struct{ edge *edge }

// maxCounted is how many actors of a namespace are counted, and maxJournal how many entries of a workflow's journal are read.
const (
	maxCounted = 1000
	maxJournal = 2000
)

// Agents implements dashboard.Source.
func (s pageSource) Agents() []dashboard.Agent {
	list := []dashboard.Agent{}
	for _, rel := range s.edge.releases() {
		a := dashboard.Agent{
			Name: rel.name, Version: rel.version(), Main: cmp.Or(rel.config.Wrangler, rel.config.Main), Isolation: rel.config.isolation(), Handlers: rel.agent.Handlers(),
			Egress: rel.config.Egress, Callers: rel.config.Callers, Tail: rel.config.Tail,
		}
		for _, ns := range slices.Sorted(maps.Keys(rel.classes)) {
			a.Classes = append(a.Classes, strings.TrimPrefix(ns, rel.name+"/"))
		}
		for _, c := range rel.crons {
			a.Crons = append(a.Crons, c.text)
		}
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b dashboard.Agent) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// snapshot gives what the store holds now. The caller closes it.
func (s pageSource) snapshot() (durable.Snapshot, error) {
	if err := s.edge.open(); err != nil {
		return nil, err
	}
	store, ok := s.edge.store.(durable.Snapshotter)
	if !ok {
		return nil, errors.New("this store cannot be looked into")
	}
	return store.Snapshot()
}

// Namespaces implements dashboard.Source. Those of Gatehouse itself are left out.
func (s pageSource) Namespaces(ctx context.Context) ([]dashboard.Namespace, error) {
	v, err := s.snapshot()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	found := map[string]*dashboard.Namespace{}
	for _, name := range v.Namespaces() {
		if owner, _, _ := strings.Cut(name, "/"); owner != "gatehouse" && owner != "kv" {
			found[name] = &dashboard.Namespace{Name: name}
		}
	}
	for _, rel := range s.edge.releases() {
		for name, class := range rel.classes {
			if found[name] == nil {
				found[name] = &dashboard.Namespace{Name: name}
			}
			found[name].Workflow = class.workflow
		}
	}
	list := []dashboard.Namespace{}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		n := found[name]
		for a, err := range v.Actors(ctx, name, nil) {
			if err != nil {
				return nil, err
			}
			if n.Actors == maxCounted {
				n.More = true
				break
			}
			n.Actors++
			n.Bytes += a.State.Bytes
		}
		list = append(list, *n)
	}
	return list, nil
}

// Actors implements dashboard.Source.
func (s pageSource) Actors(ctx context.Context, namespace, after string, limit int) (dashboard.ActorPage, error) {
	v, err := s.snapshot()
	if err != nil {
		return dashboard.ActorPage{}, err
	}
	defer v.Close()
	return pageOfActors(ctx, v, namespace, after, limit)
}

// Workflow implements dashboard.Source. The journal is that of agentruntime's workflow instances.
func (s pageSource) Workflow(ctx context.Context, namespace, id string) (*dashboard.Workflow, error) {
	parsed, err := parseID(id)
	if err != nil {
		return nil, &dashboard.Error{Status: http.StatusBadRequest, Err: err}
	}
	v, err := s.snapshot()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	key := durable.Key{Namespace: namespace, ID: parsed}
	stored, found, err := v.Actor(ctx, key)
	if err != nil || !found {
		return nil, err
	}
	w := &dashboard.Workflow{Name: stored.State.Name, Status: "unknown", Steps: []dashboard.Step{}}
	n := 0
	for entry, err := range v.Entries(ctx, key) {
		if err != nil {
			return nil, err
		}
		if n++; n > maxJournal {
			break
		}
		switch told := agentruntime.ReadJournal(entry.Key, entry.Value); {
		case told == nil:
		case told.Kind == "":
			w.Status = told.State
		default:
			w.Steps = append(w.Steps, dashboard.Step{Name: told.Step, Kind: told.Kind, State: told.State})
		}
	}
	return w, nil
}

// Approvals implements dashboard.Source.
func (s pageSource) Approvals(ctx context.Context, all bool) ([]dashboard.Approval, error) {
	list := []dashboard.Approval{}
	held := books()
	for _, owner := range slices.Sorted(maps.Keys(held)) {
		part, err := held[owner].list(ctx, all)
		if err != nil {
			return nil, err
		}
		for _, a := range part {
			list = append(list, dashboard.Approval{Agent: a.Agent, Host: a.Host, State: a.State, Since: a.Since})
		}
	}
	return list, nil
}

// Decide implements dashboard.Source.
func (s pageSource) Decide(ctx context.Context, agent, host, decision, by string) error {
	if err := decideApproval(ctx, approvalRequest{agent, host, decision}); err != nil {
		return err
	}
	s.edge.log().Info("a host was decided about on the page", zap.String("agent", agent), zap.String("host", host), zap.String("decision", decision), zap.String("by", by))
	return nil
}

// Events implements dashboard.Source.
func (s pageSource) Events() any { return s.edge.unusualEvents() }

// Health implements dashboard.Source.
func (s pageSource) Health() []dashboard.Count {
	counts := []dashboard.Count{
		{Name: "records that the log was too slow for", Value: logQueue().Dropped()},
		{Name: "records that readers of the tail were too slow for", Value: tail.DroppedAll()},
		{Name: "records that tail agents were too slow for", Value: s.edge.untailed.Load()},
		{Name: "entries that the audit log has not", Value: s.edge.auditDropped()},
		{Name: "records that the collector did not get", Value: s.edge.telemetryDropped()},
	}
	if db := s.edge.serving.Load().points.db; db != nil {
		counts = append(counts, dashboard.Count{Name: "data points that could not be written", Value: db.Dropped()})
	}
	return counts
}

var _ dashboard.Source = pageSource{}
