package egress

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// hopByHop are the fields that belong to a connection (RFC 9110, section 7.6.1)
// or that net/http writes from the request itself.
var hopByHop = []string{
	"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Http2-Settings", "Host", "Content-Length", "Expect",
}

// credentials are the fields dropped when a redirect leaves the origin. Fetch
// drops Authorization; Cookie and the usual names of API keys carry the same
// power, so they go too.
var credentials = []string{
	"Authorization", "Cookie", "Cookie2", "Proxy-Authorization", "Www-Authenticate",
	"Gatehouse-Chain", // who called whom is between two servers
	"X-Api-Key", "Api-Key", "X-Auth-Token", "X-Access-Token", "X-Amz-Security-Token", "X-Goog-Api-Key",
}

// bodyFields are dropped when a redirect turns the request into a GET (Fetch,
// "request-body-header name").
var bodyFields = []string{"Content-Encoding", "Content-Language", "Content-Location", "Content-Type"}

// userAgent is sent when the request has none.
const userAgent = "gatehouse-egress"

// outgoing returns the fields that may leave: a copy with canonical names and
// without what speaks of the connection, of a proxy, or of the Host. A field
// whose name or value could split the message is an error.
func outgoing(from http.Header) (http.Header, error) {
	out := make(http.Header, len(from)+1)
	for name, values := range from {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, errors.New("a header's name has a character that no name may have")
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return nil, errors.New("a header's value has a control character")
			}
		}
		canonical := http.CanonicalHeaderKey(name)
		out[canonical] = append(out[canonical], values...)
	}
	for _, list := range out["Connection"] {
		for token := range strings.SplitSeq(list, ",") {
			out.Del(strings.TrimSpace(token))
		}
	}
	for _, name := range hopByHop {
		out.Del(name)
	}
	for name := range out {
		if strings.HasPrefix(name, "Proxy-") {
			delete(out, name)
		}
	}
	if _, ok := out["User-Agent"]; !ok {
		out.Set("User-Agent", userAgent)
	}
	return out, nil
}

// upgrade adds the fields by which the handshake of a WebSocket asks for the connection (RFC 6455, section 4.1).
func upgrade(header http.Header) {
	header.Set("Connection", "Upgrade")
	header.Set("Upgrade", "websocket")
}

// drop removes fields, however their names are spelled in the map.
func drop(header http.Header, names []string) {
	for name := range header {
		if slices.Contains(names, http.CanonicalHeaderKey(name)) {
			delete(header, name)
		}
	}
}
