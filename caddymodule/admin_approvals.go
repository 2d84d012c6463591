package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-edge/gatehouse/dashboard"
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

// decideApproval carries a decision out. What is wrong with the question is a *dashboard.Error.
func decideApproval(ctx context.Context, q approvalRequest) error {
	fail := func(status int, format string, args ...any) error {
		return &dashboard.Error{Status: status, Err: fmt.Errorf(format, args...)}
	}
	state := map[string]string{"grant": hostGranted, "deny": hostDenied}[q.Decision]
	if state == "" {
		return fail(http.StatusBadRequest, "decision %q: it is grant or deny", q.Decision)
	}
	all := books()
	book := all[q.Agent]
	if book == nil {
		return fail(http.StatusNotFound, "%s has no egress policy here (there are: %s)", q.Agent, names(all))
	}
	found, err := book.decide(ctx, strings.ToLower(strings.TrimSuffix(q.Host, ".")), state)
	if err != nil {
		return err
	}
	if !found {
		return fail(http.StatusNotFound, "%s has not called %s, nor asked to; see: caddy gatehouse approvals list --all", q.Agent, q.Host)
	}
	return nil
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
		if err := decideApproval(r.Context(), q); err != nil {
			if refused, ok := errors.AsType[*dashboard.Error](err); ok {
				return fail(refused.Status, refused.Err)
			}
			return fail(http.StatusServiceUnavailable, err)
		}
		return json.NewEncoder(w).Encode(q)
	}
	return fail(http.StatusMethodNotAllowed, errors.New("GET lists approvals, POST decides"))
}
