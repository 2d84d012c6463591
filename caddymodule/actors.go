package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/dashboard"
	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/durable/archive"
)

// namespaceInfo says how much a namespace of actors stores.
type namespaceInfo struct {
	Namespace string `json:"namespace"`
	Actors    int64  `json:"actors"`
	Entries   int64  `json:"entries"`
	Bytes     int64  `json:"bytes"`
	Alarms    int64  `json:"alarms"`
}

// actorsPage is a page of a namespace.
type actorsPage struct {
	Namespace string `json:"namespace"`
	dashboard.ActorPage
}

const maxActorsPage = 10_000

// listNamespaces writes all namespaces as JSON.
func listNamespaces(ctx context.Context, to io.Writer, v durable.Snapshot) error {
	infos := []namespaceInfo{}
	for _, namespace := range v.Namespaces() {
		info := namespaceInfo{Namespace: namespace}
		for a, err := range v.Actors(ctx, namespace, nil) {
			if err != nil {
				return err
			}
			info.Actors++
			info.Entries += a.State.Keys
			info.Bytes += a.State.Bytes
			if !a.State.Alarm.IsZero() {
				info.Alarms++
			}
		}
		infos = append(infos, info)
	}
	return json.NewEncoder(to).Encode(infos)
}

// listActors writes a page of a namespace as JSON. The query has namespace, after and limit.
func listActors(ctx context.Context, to io.Writer, v durable.Snapshot, q url.Values) error {
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit < 1 || limit > maxActorsPage {
		return fmt.Errorf("limit %q: give a number from 1 to %d", q.Get("limit"), maxActorsPage)
	}
	page := actorsPage{Namespace: q.Get("namespace")}
	if page.ActorPage, err = pageOfActors(ctx, v, page.Namespace, q.Get("after"), limit); err != nil {
		return err
	}
	return json.NewEncoder(to).Encode(page)
}

// pageOfActors is up to limit actors of a namespace after an id, empty for the first. An id that is none is a *dashboard.Error.
func pageOfActors(ctx context.Context, v durable.Snapshot, namespace, after string, limit int) (dashboard.ActorPage, error) {
	page := dashboard.ActorPage{Actors: []dashboard.Actor{}}
	var from *durable.ID
	if after != "" {
		id, err := parseID(after)
		if err != nil {
			return page, &dashboard.Error{Status: http.StatusBadRequest, Err: err}
		}
		from = &id
	}
	for a, err := range v.Actors(ctx, namespace, from) {
		if err != nil {
			return page, err
		}
		if len(page.Actors) == limit {
			page.Next = page.Actors[limit-1].ID
			break
		}
		info := dashboard.Actor{ID: a.Key.ID.String(), Name: a.State.Name, Entries: a.State.Keys, Bytes: a.State.Bytes}
		if at := a.State.Alarm.At; !at.IsZero() {
			info.Alarm = &at
		}
		page.Actors = append(page.Actors, info)
	}
	return page, nil
}

// exportActors writes actors as lines. The query has namespace, id and skip_damaged.
func exportActors(ctx context.Context, to io.Writer, v durable.Snapshot, q url.Values) error {
	which := archive.Selection{Namespace: q.Get("namespace"), SkipDamaged: q.Get("skip_damaged") != ""}
	if text := q.Get("id"); text != "" {
		id, err := parseID(text)
		if err != nil {
			return err
		}
		which.ID = &id
	}
	_, err := archive.Export(ctx, to, v, which)
	return err
}

func parseID(text string) (durable.ID, error) {
	a := archive.LineActor{Namespace: "-", ID: text}
	s, err := a.Stored()
	if err != nil {
		return durable.ID{}, fmt.Errorf("%w: an id has 64 hexadecimal digits", err)
	}
	return s.Key.ID, nil
}

// readActors answers a query about actors, as the server and as a command that reads a stopped store.
func readActors(ctx context.Context, to io.Writer, v durable.Snapshot, q url.Values) error {
	switch {
	case q.Get("export") != "":
		return exportActors(ctx, to, v, q)
	case q.Get("namespace") != "":
		return listActors(ctx, to, v, q)
	}
	return listNamespaces(ctx, to, v)
}

// serveActors is readActors on the admin endpoint.
func serveActors(w http.ResponseWriter, r *http.Request, v durable.Snapshot) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	out := &tally{to: w}
	err := readActors(r.Context(), out, v, r.URL.Query())
	if err != nil && out.n == 0 {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
	}
	if err != nil {
		caddy.Log().Named("gatehouse").Error("a listing of actors was ended", zap.Error(err))
	}
	return nil
}
