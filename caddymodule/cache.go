package caddymodule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/cache"
	"github.com/gatehouse-edge/gatehouse/record"
)

// cacheOf is the HTTP cache of an agent. It outlives the agent's releases.
func (e *edge) cacheOf(agent string) *cache.Store {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.caches[agent]
	if s == nil {
		s = cache.New(cache.Config{})
		if e.caches == nil {
			e.caches = map[string]*cache.Store{}
		}
		e.caches[agent] = s
	}
	return s
}

// cacheFetch does one operation on the agent's cache, see agentruntime.TargetCache.
func (h *host) cacheFetch(ctx context.Context, target agentruntime.Target, req *agentruntime.Request) (*agentruntime.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
		stop := context.AfterFunc(ctx, func() { _ = req.Body.Close() })
		defer stop()
	}
	h.rec.Write(func(e *record.Entry) { e.Did.Storage.Cache++ })
	store := h.rel.edge.cacheOf(h.rel.name)
	switch req.Method {
	case http.MethodGet:
		a, ok := store.Match(target.Binding, req.URL, req.Header)
		if !ok {
			return &agentruntime.Response{Status: http.StatusGatewayTimeout, StatusText: "nothing in the cache", URL: req.URL}, nil
		}
		resp := &agentruntime.Response{Status: a.Status, StatusText: http.StatusText(a.Status), Header: a.Header, URL: req.URL}
		if len(a.Body) > 0 {
			resp.Body = &keptBody{bytes.NewReader(a.Body)}
		}
		return resp, nil
	case http.MethodPut:
		return h.cachePut(store, target.Binding, req)
	case "PURGE":
		status := http.StatusNotFound
		if store.Delete(target.Binding, req.URL) {
			status = http.StatusOK
		}
		return &agentruntime.Response{Status: status, URL: req.URL}, nil
	}
	return nil, fmt.Errorf("cache: unknown operation %s", req.Method)
}

func (h *host) cachePut(store *cache.Store, name string, req *agentruntime.Request) (*agentruntime.Response, error) {
	header, request := http.Header{}, http.Header{}
	for field, values := range req.Header {
		if of, ok := strings.CutPrefix(field, agentruntime.CacheRequest); ok {
			request[of] = values
		} else if field != agentruntime.CacheStatus {
			header[field] = values
		}
	}
	status := 0
	if s := req.Header[agentruntime.CacheStatus]; len(s) == 1 {
		status, _ = strconv.Atoi(s[0])
	}
	if status < 200 || status > 599 {
		return nil, fmt.Errorf("cache: put: %d is no status of an answer", status)
	}
	var err error
	if req.Body == nil {
		err = store.Put(name, req.URL, request, status, header, nil)
	} else {
		err = store.Put(name, req.URL, request, status, header, req.Body)
	}
	if errors.Is(err, cache.ErrNotKept) {
		return &agentruntime.Response{Status: http.StatusRequestEntityTooLarge, StatusText: err.Error(), URL: req.URL}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cache: put: %w", err)
	}
	return &agentruntime.Response{Status: http.StatusNoContent, URL: req.URL}, nil
}

// keptBody is a body in memory, whose size is known.
type keptBody struct{ *bytes.Reader }

func (*keptBody) Close() error { return nil }
