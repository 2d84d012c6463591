package waf

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
)

// Client is who sent a request, as the caller decided it: behind a trusted proxy this is not the socket's peer.
type Client struct {
	IP   netip.Addr
	Port int
}

// Transaction is one request and its response under inspection. It is used by one goroutine at a time.
type Transaction struct {
	engine   *Engine
	tx       types.Transaction
	refused  int // status of a refusal this package decided itself, 0 for none
	proto    string
	response *responseWriter
	closed   bool
	last     Verdict // the verdict at Close
}

// Inspect runs the rules over a request's headers and body (phases 1 and 2). id names the transaction to rules
// and should be the request's own id.
//
// It reads at most the body limit and one byte into memory and replaces r.Body by one that replays what was
// read and then goes on with the rest. Bodies of gRPC calls and of CONNECT are streams that may wait for the
// response, so they are not read. r.Header and every other part of r stay as they are.
//
// The caller reads the outcome from Verdict, may wrap the response with ResponseWriter, and calls Close once.
// On an error (ErrBody, ErrInspect) there is no transaction to close, and the request must be refused.
func (e *Engine) Inspect(r *http.Request, client Client, id string) (*Transaction, error) {
	t := &Transaction{engine: e, proto: r.Proto}
	t.tx = e.create(experimental.Options{ID: id, Context: r.Context()})
	if err := t.request(r, client); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Transaction) request(r *http.Request, client Client) error {
	tx := t.tx
	ip := ""
	if client.IP.IsValid() {
		ip = client.IP.Unmap().WithZone("").String()
	}
	tx.ProcessConnection(ip, client.Port, "", 0)

	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	extended := method == http.MethodConnect && len(r.Header[":protocol"]) > 0
	if extended {
		method = http.MethodGet // a WebSocket over HTTP/2 (RFC 8441) is what GET with Upgrade is over HTTP/1.1
	}
	uri := r.RequestURI
	if uri == "" {
		uri = r.URL.RequestURI()
	}
	tx.ProcessURI(uri, method, r.Proto)
	t.requestHeaders(r)

	if tx.ProcessRequestHeaders() != nil {
		return nil
	}
	if err := t.requestBody(r, extended); err != nil {
		return err
	}
	if t.refused != 0 && t.engine.config.Mode == ModeBlock {
		return nil
	}
	if _, err := tx.ProcessRequestBody(); err != nil {
		return fmt.Errorf("%w: request body: %w", ErrInspect, err)
	}
	return nil
}

// requestHeaders hands every header to the rules, also those that net/http moves out of r.Header.
func (t *Transaction) requestHeaders(r *http.Request) {
	for name, values := range r.Header {
		if name == "" || name[0] == ':' {
			continue
		}
		for _, v := range values {
			t.tx.AddRequestHeader(name, v)
		}
	}
	if r.Host != "" {
		t.tx.AddRequestHeader("Host", r.Host)
		t.tx.SetServerName(serverName(r.Host))
	}
	for _, v := range r.TransferEncoding {
		t.tx.AddRequestHeader("Transfer-Encoding", v)
	}
	if r.ContentLength > 0 && r.Header["Content-Length"] == nil && len(r.TransferEncoding) == 0 {
		t.tx.AddRequestHeader("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
}

// serverName is the Host header without its port.
func serverName(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	return host
}

// Verdict returns the outcome so far. After the response was written through ResponseWriter it covers the
// response too. It may be called after Close.
func (t *Transaction) Verdict() Verdict {
	if t.closed {
		return t.last
	}
	v := Verdict{Rules: t.matches()}
	t.scores(&v)
	switch interruption, detected := t.interruption(); {
	case interruption != nil:
		v.Action, v.Status = Block, refusalStatus(interruption)
	case detected != nil:
		v.Action, v.Status = Detect, refusalStatus(detected)
	}
	if t.refused != 0 {
		v.Status = t.refused
		v.Action = Block
		if t.engine.config.Mode == ModeDetect {
			v.Action = Detect
		}
	}
	return v
}

// detectable is what Coraza's transaction tells beyond its interface: what ModeBlock would have done.
type detectable interface {
	DetectionOnlyInterruption() *types.Interruption
}

func (t *Transaction) interruption() (real, detected *types.Interruption) {
	real = t.tx.Interruption()
	if d, ok := t.tx.(detectable); ok {
		detected = d.DetectionOnlyInterruption()
	}
	return real, detected
}

// refusalStatus returns a rule's own status where it is one of an error, else 403.
func refusalStatus(i *types.Interruption) int {
	if i.Status >= 400 && i.Status <= 599 {
		return i.Status
	}
	return http.StatusForbidden
}

func (t *Transaction) matches() []Match {
	var out []Match
	for _, m := range t.tx.MatchedRules() {
		rule := m.Rule()
		text, ok := t.engine.rules[rule.ID()]
		if !ok {
			continue
		}
		out = append(out, Match{
			ID: rule.ID(), Message: text.message, Severity: text.severity,
			Tags: text.tags, Phase: text.phase, Paranoia: text.paranoia,
		})
	}
	return out
}

// scores reads the CRS sums. The sum of each paranoia level is kept as rules match, so it is right also when
// a rule of the site ended the phase before the CRS added them up.
func (t *Transaction) scores(v *Verdict) {
	if !t.engine.config.CRS {
		return
	}
	state, ok := t.tx.(plugintypes.TransactionState)
	if !ok {
		return
	}
	vars := state.Variables().TX()
	for level := 1; level <= t.engine.config.Paranoia; level++ {
		v.Score += number(vars.Get(inboundScore[level]))
		v.OutboundScore += number(vars.Get(outboundScore[level]))
	}
}

// The CRS variables of the anomaly score of each paranoia level; index 0 is unused.
var (
	inboundScore  = [5]string{1: "inbound_anomaly_score_pl1", 2: "inbound_anomaly_score_pl2", 3: "inbound_anomaly_score_pl3", 4: "inbound_anomaly_score_pl4"}
	outboundScore = [5]string{1: "outbound_anomaly_score_pl1", 2: "outbound_anomaly_score_pl2", 3: "outbound_anomaly_score_pl3", 4: "outbound_anomaly_score_pl4"}
)

func number(values []string) int {
	if len(values) == 0 {
		return 0
	}
	n, err := strconv.Atoi(values[0])
	if err != nil {
		return 0
	}
	return n
}

// Close drops what ResponseWriter still holds back (Finish sends it), runs the logging rules (phase 5) and releases what the
// transaction holds. A second call does nothing. The body that Inspect put in place stays readable.
func (t *Transaction) Close() {
	if t.closed {
		return
	}
	if t.response != nil {
		t.response.detach()
	}
	t.tx.ProcessLogging()
	t.last = t.Verdict()
	t.closed = true
	if err := t.tx.Close(); err != nil {
		t.engine.log.Warn("waf transaction not closed cleanly", "error", err)
	}
	t.tx = nil
}
