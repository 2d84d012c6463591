package socket

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// handshakeID is what a server adds to the client's key (RFC 6455, section 1.3).
const handshakeID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// HandshakeError is why a request cannot become a WebSocket.
type HandshakeError struct {
	// Status is what the client is to be answered with.
	Status int
	Text   string
}

func (e *HandshakeError) Error() string { return e.Text }

// Upgrade answers a request's handshake (RFC 6455, section 4.2) and takes its connection over, which then outlives the request.
// header is added to the answer; of the subprotocols in it the first that the client asks for is chosen. A *HandshakeError
// has answered nothing.
func Upgrade(w http.ResponseWriter, r *http.Request, header http.Header) (*Conn, error) {
	key, err := checkHandshake(r)
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum([]byte(key + handshakeID))
	out := w.Header()
	out["Upgrade"], out["Connection"] = []string{"websocket"}, []string{"Upgrade"}
	out["Sec-WebSocket-Accept"] = []string{base64.StdEncoding.EncodeToString(sum[:])}
	for name, values := range header {
		switch {
		case strings.HasPrefix(name, "Sec-Websocket-"), name == "Connection", name == "Upgrade", name == "Content-Length", name == "Transfer-Encoding":
		default:
			out[name] = slices.Clone(values)
		}
	}
	if p := subprotocol(r.Header, header); p != "" {
		out["Sec-WebSocket-Protocol"] = []string{p}
	}
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, fmt.Errorf("take over a WebSocket's connection: %w", err)
	}
	early := make([]byte, buffered.Reader.Buffered())
	_, _ = buffered.Read(early)
	err = conn.SetDeadline(time.Time{}) // the server's own for a request are not for what lasts
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("take over a WebSocket's connection: %w", err)
	}
	return newConn(conn, early), nil
}

func checkHandshake(r *http.Request) (key string, err error) {
	refuse := func(text string) (string, error) {
		return "", &HandshakeError{http.StatusUpgradeRequired, "not the handshake of a WebSocket: " + text}
	}
	switch {
	case r.Method != http.MethodGet:
		return refuse("its method is " + r.Method)
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return refuse("it came over " + r.Proto + ", and only HTTP/1.1 can be upgraded")
	case !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade"):
		return refuse("its header Connection does not say upgrade")
	case !httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket"):
		return refuse("its header Upgrade does not say websocket")
	case r.Header.Get("Sec-Websocket-Version") != "13":
		return refuse("its Sec-WebSocket-Version is not 13")
	}
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) != 1 {
		return refuse("it has not one Sec-WebSocket-Key")
	}
	key = strings.TrimSpace(keys[0])
	if b, err := base64.StdEncoding.DecodeString(key); err != nil || len(b) != 16 {
		return refuse("its Sec-WebSocket-Key is not 16 bytes in base64")
	}
	return key, nil
}

// subprotocol is the first of those that the answer offers that the client asks for.
func subprotocol(asked, offered http.Header) string {
	var theirs []string
	for _, line := range asked["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(line, ",") {
			theirs = append(theirs, strings.TrimSpace(p))
		}
	}
	for _, line := range offered["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(line, ",") {
			if p = strings.TrimSpace(p); slices.Contains(theirs, p) {
				return p
			}
		}
	}
	return ""
}
