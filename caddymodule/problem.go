package caddymodule

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// problemTypes is where docs/problems.md says what each type of problem means; the stage's name is the fragment.
const problemTypes = "https://github.com/gatehouse-edge/gatehouse/blob/main/docs/problems.md#"

// problem is the body of a refusal (RFC 9457). It says what the client can do, and nothing of rules, keys or code: those
// are in the record, which ID finds.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// ID is the record's, an extension member; the header X-Request-Id has it too.
	ID string `json:"id"`
}

// stageError is an error that a stage ended the request with.
type stageError struct {
	stage string
	error
}

func (e stageError) Unwrap() error { return e.error }

// details are what a problem tells the client, by its stage and, where that is not enough, by status.
var details = map[string]string{
	"throttle":         "Too many requests. Wait as many seconds as Retry-After says.",
	"throttle 400":     "What this request asks to spend is no whole number, or more than the whole budget.",
	"throttle 408":     "The body came too slowly.",
	"throttle 502":     "The answer's cost could not be read.",
	"throttle 503":     "The server takes no more requests just now. Wait as many seconds as Retry-After says.",
	"identity":         "The request's identity could not be verified.",
	"bot_score":        "The request looks automated. Agents are welcome with a verified identity.",
	"challenge":        "This site asks browsers for a proof of work, which this request cannot give. Agents are welcome with a verified identity.",
	"waf":              "The request looks like an attack. If it is none, tell the site's operator this id.",
	"waf 400":          "The body is not what the Content-Type header says.",
	"waf 408":          "The body came too slowly.",
	"waf 413":          "The body is longer than this site takes.",
	"access":           "This identity is not allowed to do this.",
	"access 401":       "This needs an identity that the site knows.",
	"egress_proxy 407": "This proxy wants the name and the secret of a client.",
	"agent_dashboard":  "This page shows itself only to whom the site's access lets in.",
	"audit":            "The server cannot write its audit log, and answers nothing until it can.",
	"chain":            "The chain of agents that this request came through is not believed.",
	"chain 508":        "Agents call each other in a circle, or too deep.",
	"agent":            "The agent failed at this request.",
	"agent 413":        "The body is longer than this agent takes.",
	"agent 426":        "This resource answers with a WebSocket; the request has to ask for one.",
	"agent 503":        "The agent cannot answer just now, or reached its limit of processor time or memory.",
	"agent 504":        "The agent took too long.",
}

func newProblem(stage string, status int, id string) problem {
	detail := details[stage+" "+strconv.Itoa(status)]
	if detail == "" {
		detail = details[stage]
	}
	return problem{Type: problemTypes + stage, Title: http.StatusText(status), Status: status, Detail: detail, ID: id}
}

// answer writes the problem that ended the request, unless an error route of the site takes it, the answer has begun, or
// the client is gone. It reports whether it did, and the request is done with.
func (v *visit) answer(failed caddyhttp.HandlerError, stage string) bool {
	if v.writer.status != 0 || failed.StatusCode == statusClientGone {
		return false
	}
	if server, ok := v.request.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok && server.Errors != nil {
		if taken(server.Errors.Routes, server.Errors.WithError(v.request, failed)) {
			return false
		}
	}
	h := v.writer.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified"} {
		h.Del(name) // of an answer that this one replaces
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	v.writer.WriteHeader(failed.StatusCode)
	body, _ := json.Marshal(newProblem(stage, failed.StatusCode, v.rec.ID())) // strings and a number: it cannot fail
	_, _ = v.writer.Write(append(body, '\n'))                                 // who does not read it is gone
	return true
}

// taken reports whether one of the error routes answers r: handle_errors with a status is a matcher in a subroute.
func taken(routes caddyhttp.RouteList, r *http.Request) bool {
	for _, route := range routes {
		if match, err := route.MatcherSets.AnyMatchWithError(r); err != nil || !match {
			continue
		}
		for _, handler := range route.Handlers {
			if sub, ok := handler.(*caddyhttp.Subroute); !ok || taken(sub.Routes, r) {
				return true
			}
		}
	}
	return false
}
