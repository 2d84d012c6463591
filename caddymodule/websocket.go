package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/egress"
	"github.com/gatehouse-edge/gatehouse/socket"
)

// maxSocketMessage is the largest message of a WebSocket in bytes, as at Cloudflare.
const maxSocketMessage = 32 << 20

// isUpgrade says whether a request's header asks for a WebSocket.
func isUpgrade(header http.Header) bool {
	return strings.EqualFold(header.Get("Upgrade"), "websocket")
}

// serveSocket answers a request with the WebSocket of the code's response, and returns when it has come to its end.
func (v *visit) serveSocket(w http.ResponseWriter, r *http.Request, resp *agentruntime.Response) error {
	if !isUpgrade(r.Header) {
		_ = resp.Socket.Close(1006, "")
		w.Header().Set("Upgrade", "websocket")
		return v.refuse("agent", http.StatusUpgradeRequired, "the code answered with a WebSocket, and the request did not ask for one")
	}
	if kept, ok := resp.Socket.(*socket.Outer); ok {
		return v.serveKept(w, r, resp, kept)
	}
	protocols := resp.Header.Values("Sec-Websocket-Protocol")
	for name, values := range resp.Header {
		if !strings.HasPrefix(name, "Sec-Websocket-") {
			w.Header()[name] = append([]string(nil), values...)
		}
	}
	// Which origins may connect is for the code to decide, as it is for any other request.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: protocols})
	if err != nil {
		_ = resp.Socket.Close(1006, "")
		return nil // the client has been told already
	}
	carry(r.Context(), conn, resp.Socket, nil)
	return nil
}

// carry moves messages between a connection and the code's end of it until both sides have closed. check, unless it is nil, looks at what the
// code sends.
func carry(ctx context.Context, conn *websocket.Conn, socket agentruntime.Socket, check func([]byte) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn.SetReadLimit(maxSocketMessage)
	read := make(chan struct{})
	go func() {
		defer close(read)
		fromConn(ctx, conn, socket)
	}()
	toConn(ctx, conn, socket, check)
	cancel()
	_ = conn.CloseNow()
	<-read
}

// fromConn hands over what the connection brings, and at last how it closed.
func fromConn(ctx context.Context, conn *websocket.Conn, socket agentruntime.Socket) {
	for {
		kind, data, err := conn.Read(ctx)
		if err != nil {
			closed, ok := errors.AsType[websocket.CloseError](err)
			if !ok {
				closed.Code = websocket.StatusAbnormalClosure
			}
			_ = socket.Close(int(closed.Code), closed.Reason)
			return
		}
		if err := socket.Send(ctx, agentruntime.Message{Text: kind == websocket.MessageText, Data: data}); err != nil {
			return
		}
	}
}

// toConn sends what the code sends, and at last how it closed. check, unless it is nil, looks at each message before.
func toConn(ctx context.Context, conn *websocket.Conn, socket agentruntime.Socket, check func([]byte) error) {
	for {
		m, err := socket.Receive(ctx)
		if err != nil {
			closed, ok := errors.AsType[*agentruntime.CloseError](err)
			if ok && check != nil && check([]byte(closed.Reason)) != nil {
				closed = &agentruntime.CloseError{Code: int(websocket.StatusPolicyViolation)}
			}
			if ok && closed.Code != int(websocket.StatusAbnormalClosure) {
				_ = conn.Close(websocket.StatusCode(closed.Code), closed.Reason)
			}
			return
		}
		kind := websocket.MessageBinary
		if m.Text {
			kind = websocket.MessageText
		}
		if check != nil {
			if err := check(m.Data); err != nil {
				_ = socket.Close(int(websocket.StatusPolicyViolation), "egress: the message may not leave")
				_ = conn.Close(websocket.StatusPolicyViolation, "")
				return
			}
		}
		if err := conn.Write(ctx, kind, m.Data); err != nil {
			_ = socket.Close(int(websocket.StatusAbnormalClosure), "")
			return
		}
	}
}

// dialSocket opens a WebSocket of code's through the agent's policy. A server that does not agree answers as any other.
func (h *host) dialSocket(ctx context.Context, req *agentruntime.Request) (*agentruntime.Response, error) {
	if req.Method != http.MethodGet {
		return nil, &agentruntime.HostError{Name: "TypeError", Message: "fetch failed: a request for a WebSocket must be a GET, not a " + req.Method}
	}
	header := req.Header.Clone()
	for name := range header {
		if name == "Connection" || name == "Upgrade" || strings.HasPrefix(name, "Sec-Websocket-") && name != "Sec-Websocket-Protocol" {
			delete(header, name)
		}
	}
	var protocols []string
	for p := range strings.SplitSeq(header.Get("Sec-Websocket-Protocol"), ",") {
		if p = strings.TrimSpace(p); p != "" {
			protocols = append(protocols, p)
		}
	}
	header.Del("Sec-Websocket-Protocol")
	if err := h.hold(); err != nil {
		return nil, err
	}
	through := &socketTransport{host: h, ctx: ctx, hops: map[int]int{}}
	conn, resp, err := websocket.Dial(ctx, req.URL, &websocket.DialOptions{
		HTTPHeader: header, Subprotocols: protocols,
		HTTPClient: &http.Client{Transport: through, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	})
	release := func() { h.rec.Release(time.Now()) }
	switch {
	case err == nil:
	case through.refused != nil:
		release()
		return nil, fetchError(through.refused)
	case resp != nil && resp.StatusCode != http.StatusSwitchingProtocols:
		release()
		return &agentruntime.Response{Status: resp.StatusCode, StatusText: http.StatusText(resp.StatusCode), Header: resp.Header, Body: resp.Body, URL: req.URL}, nil
	default:
		release()
		return nil, &agentruntime.HostError{Name: "TypeError", Message: "fetch failed: " + h.rel.redact(handshakeFault(err))}
	}
	ours, theirs := agentruntime.NewSocketPair()
	h.rel.edge.work.Go(func() {
		defer release()
		carry(ctx, conn, ours, through.check)
	})
	answered := resp.Header.Clone()
	return &agentruntime.Response{Status: http.StatusSwitchingProtocols, StatusText: "Switching Protocols", Header: answered, URL: req.URL, Socket: theirs}, nil
}

// handshakeFault says what was wrong with a server's answer without repeating where it was sent.
func handshakeFault(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return fmt.Sprintf("the WebSocket handshake failed: %v", err)
}

// socketTransport sends the handshake through the agent's policy.
type socketTransport struct {
	host    *host
	ctx     context.Context
	hops    map[int]int
	refused error
	check   func([]byte) error // looks at what is sent; nil for nothing
}

func (t *socketTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	h := t.host
	res, err := h.rel.policy.Do(req.Context(), req, egress.Options{
		Redirect: egress.RedirectManual, WebSocket: true,
		Observe: func(c egress.Call) { h.observe(t.hops, c, true, "") },
	})
	if err != nil {
		t.refused = err
		return nil, err
	}
	h.observe(t.hops, res.Call, false, "")
	t.check = res.Check
	return res.Response, nil
}

// Connect implements agentruntime.Host.
func (h *host) Connect(ctx context.Context, address string, opt agentruntime.ConnectOptions) (agentruntime.Conn, error) {
	if err := h.hold(); err != nil {
		return nil, err
	}
	hops := map[int]int{}
	conn, err := h.rel.policy.Connect(ctx, address, func(c egress.Call) {
		h.observe(hops, c, true, "")
		h.rec.Release(time.Now())
	})
	if err != nil {
		return nil, connectError(err)
	}
	if opt.TLS {
		if conn, err = conn.StartTLS(ctx); err != nil {
			return nil, connectError(err)
		}
	}
	c := &connection{conn: conn}
	context.AfterFunc(ctx, func() { _ = c.Close() })
	return c, nil
}

// connectError is fetchError in the words of connect.
func connectError(err error) error {
	err = fetchError(err)
	if failed, ok := errors.AsType[*agentruntime.HostError](err); ok {
		return &agentruntime.HostError{Name: "Error", Message: "connect failed: " + strings.TrimPrefix(failed.Message, "fetch failed: ")}
	}
	return err
}

// connection is a TCP connection of code's.
type connection struct{ conn *egress.Conn }

func (c *connection) Read(p []byte) (int, error) { return c.conn.Read(p) }
func (c *connection) Close() error               { return c.conn.Close() }

// Write gives a refusal the form that code understands.
func (c *connection) Write(p []byte) (int, error) {
	n, err := c.conn.Write(p)
	if _, refused := errors.AsType[*egress.Refusal](err); refused {
		err = connectError(err)
	}
	return n, err
}

func (c *connection) CloseWrite() error { return c.conn.CloseWrite() }

// StartTLS implements agentruntime.Conn. Nothing else uses the connection meanwhile.
func (c *connection) StartTLS(ctx context.Context) error {
	conn, err := c.conn.StartTLS(ctx)
	if err != nil {
		return connectError(err)
	}
	c.conn = conn
	return nil
}
