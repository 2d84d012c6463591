package bot

import (
	"net/http"
	"strings"
)

// Signals is what a score is made from. The zero value is a request without
// any header. All of it is the client's word except TLS and the protocol.
type Signals struct {
	Method     string
	ProtoMajor int
	ProtoMinor int
	// TLS tells whether the client's connection was secure. Where a trusted
	// proxy ends TLS, the caller sets it from what the proxy says.
	TLS bool
	// WebSocket tells whether the request is an HTTP/1.1 WebSocket handshake.
	WebSocket bool
	// Handshake is the client's TLS handshake; nil where it is not known.
	Handshake *Handshake

	UserAgent       string
	Accept          string
	AcceptLanguage  string
	AcceptEncoding  string
	SecCHUA         string
	SecCHUAMobile   string
	SecCHUAPlatform string
	SecFetchSite    string
	SecFetchMode    string
	SecFetchDest    string
}

// FromRequest reads the signals of a request. It keeps no reference to it.
func FromRequest(r *http.Request) Signals {
	h := r.Header
	return Signals{
		Method:          r.Method,
		ProtoMajor:      r.ProtoMajor,
		ProtoMinor:      r.ProtoMinor,
		TLS:             r.TLS != nil,
		WebSocket:       strings.EqualFold(first(h, "Upgrade"), "websocket"),
		UserAgent:       first(h, "User-Agent"),
		Accept:          first(h, "Accept"),
		AcceptLanguage:  first(h, "Accept-Language"),
		AcceptEncoding:  first(h, "Accept-Encoding"),
		SecCHUA:         first(h, "Sec-Ch-Ua"),
		SecCHUAMobile:   first(h, "Sec-Ch-Ua-Mobile"),
		SecCHUAPlatform: first(h, "Sec-Ch-Ua-Platform"),
		SecFetchSite:    first(h, "Sec-Fetch-Site"),
		SecFetchMode:    first(h, "Sec-Fetch-Mode"),
		SecFetchDest:    first(h, "Sec-Fetch-Dest"),
	}
}

// first is Header.Get for a name that is already in canonical form.
func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}
