package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// books are those of all stores that this process holds.
func books() map[string]*hostBook {
	all := map[string]*hostBook{}
	edges.Range(func(_, v any) bool {
		e := v.(*edge)
		e.mu.Lock()
		defer e.mu.Unlock()
		maps.Copy(all, e.books)
		return true
	})
	return all
}

// approvalRequest is the body of POST /gatehouse/approvals.
type approvalRequest struct {
	Agent    string `json:"agent"`
	Host     string `json:"host"`
	Decision string `json:"decision"` // grant or deny
}

// serveApprovals lists the hosts that wait for approval, with the parameter all everything that is remembered; a POST decides.
func serveApprovals(w http.ResponseWriter, r *http.Request) error {
	fail := func(status int, err error) error { return caddy.APIError{HTTPStatus: status, Err: err} }
	all := books()
	w.Header().Set("Content-Type", "application/json")
	switch r.Method {
	case http.MethodGet:
		list := []approval{}
		for _, owner := range slices.Sorted(maps.Keys(all)) {
			part, err := all[owner].list(r.Context(), r.URL.Query().Has("all"))
			if err != nil {
				return fail(http.StatusServiceUnavailable, err)
			}
			list = append(list, part...)
		}
		return json.NewEncoder(w).Encode(list)
	case http.MethodPost:
		var q approvalRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&q); err != nil {
			return fail(http.StatusBadRequest, fmt.Errorf("read the decision: %w", err))
		}
		state := map[string]string{"grant": hostGranted, "deny": hostDenied}[q.Decision]
		if state == "" {
			return fail(http.StatusBadRequest, fmt.Errorf("decision %q: it is grant or deny", q.Decision))
		}
		book := all[q.Agent]
		if book == nil {
			return fail(http.StatusNotFound, fmt.Errorf("%s has no egress policy here (there are: %s)", q.Agent, names(all)))
		}
		found, err := book.decide(r.Context(), strings.ToLower(strings.TrimSuffix(q.Host, ".")), state)
		if err != nil {
			return fail(http.StatusServiceUnavailable, err)
		}
		if !found {
			return fail(http.StatusNotFound, fmt.Errorf("%s has not called %s, nor asked to; see: caddy gatehouse approvals list --all", q.Agent, q.Host))
		}
		return json.NewEncoder(w).Encode(q)
	}
	return fail(http.StatusMethodNotAllowed, errors.New("GET lists approvals, POST decides"))
}
