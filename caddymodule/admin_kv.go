package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-edge/gatehouse/kv"
)

// kvItem is a key of a namespace as the admin endpoint gives and takes it.
type kvItem struct {
	Namespace  string          `json:"namespace,omitempty"`
	Key        string          `json:"key"`
	Value      []byte          `json:"value,omitempty"` // in base64
	Metadata   json.RawMessage `json:"metadata,omitempty"`
	Expiration time.Time       `json:"expiration,omitzero"`
	TTL        int64           `json:"ttl,omitempty"` // in seconds, to put
	Version    string          `json:"version,omitempty"`
}

// kvPage is a part of a listing.
type kvPage struct {
	Keys   []kvItem `json:"keys"`
	Cursor string   `json:"cursor,omitempty"` // of the next page
}

// kvSpace finds the namespace that an agent in charge is bound to.
func kvSpace(r *http.Request, name string) (*kv.Namespace, error) {
	known := map[string]*edge{}
	edges.Range(func(_, v any) bool {
		for _, rel := range v.(*edge).releases() {
			for _, space := range rel.config.KV {
				known[space] = v.(*edge)
			}
		}
		return true
	})
	e := known[name]
	if e == nil {
		return nil, caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("no agent of this server is bound to the namespace %q (there are: %s)", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))}
	}
	if err := e.open(); err != nil {
		return nil, caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
	}
	space, err := e.spaces.Open(r.Context(), name)
	if err != nil {
		return nil, caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
	}
	return space, nil
}

// serveKV reads and changes keys: GET with key, or without one for a listing (prefix, limit, cursor), PUT with an item, DELETE with key.
func serveKV(w http.ResponseWriter, r *http.Request) error {
	q, item := r.URL.Query(), kvItem{}
	if r.Method == http.MethodPut {
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<20)).Decode(&item); err != nil {
			return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: fmt.Errorf("read the item: %w", err)}
		}
		q.Set("namespace", item.Namespace)
	}
	space, err := kvSpace(r, q.Get("namespace"))
	if err != nil {
		return err
	}
	answer, err := changeKV(r, space, item)
	var refused *kv.Error
	var told caddy.APIError
	switch {
	case errors.As(err, &refused):
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: refused}
	case errors.As(err, &told):
		return told
	case err != nil:
		return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answer)
}

func changeKV(r *http.Request, space *kv.Namespace, item kvItem) (any, error) {
	q := r.URL.Query()
	key := q.Get("key")
	switch {
	case r.Method == http.MethodGet && !q.Has("key"):
		limit, _ := strconv.Atoi(q.Get("limit"))
		found, err := space.List(r.Context(), kv.ListOptions{Prefix: q.Get("prefix"), Limit: limit, Cursor: q.Get("cursor")})
		page := kvPage{Keys: []kvItem{}, Cursor: found.Cursor}
		for _, k := range found.Keys {
			page.Keys = append(page.Keys, kvItem{Key: k.Name, Metadata: k.Metadata, Expiration: k.Expiration})
		}
		return page, err
	case r.Method == http.MethodGet:
		v, found, err := space.Get(r.Context(), key)
		if err == nil && !found {
			err = caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("the namespace %s has no key %q", space.Name(), key)}
		}
		return kvItem{Namespace: space.Name(), Key: key, Value: v.Value, Metadata: v.Metadata, Expiration: v.Expiration, Version: v.Version}, err
	case r.Method == http.MethodPut:
		version, err := space.Put(r.Context(), item.Key, item.Value, kv.PutOptions{TTL: time.Duration(item.TTL) * time.Second, Metadata: item.Metadata})
		return kvItem{Namespace: space.Name(), Key: item.Key, Version: version}, err
	case r.Method == http.MethodDelete:
		return kvItem{Namespace: space.Name(), Key: key}, space.Delete(r.Context(), key, nil)
	}
	return nil, caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("GET, PUT or DELETE a key")}
}
