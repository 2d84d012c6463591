package bot

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Handshake is what a client's TLS ClientHello says of the software that sent it.
type Handshake struct {
	// JA4 is its fingerprint.
	JA4 string

	grease     bool // reserved values among ciphers and extensions (RFC 8701)
	tls13      bool
	http2      bool     // offered by ALPN
	extensions []uint16 // sorted
}

// Extensions of TLS that tell browsers apart.
const (
	extServerName          = 0
	extALPN                = 16
	extCompressCertificate = 27 // RFC 8879
	extRecordSizeLimit     = 28 // RFC 8449
)

// NewHandshake reads a ClientHello over TCP. It does not keep it.
//
// The fingerprint is JA4 as FoxIO describes it (https://github.com/FoxIO-LLC/ja4, technical_details/JA4.md): the protocol, the highest version,
// whether a name was sent, how many ciphers and extensions there are, the first protocol of ALPN, and hashes of the sorted ciphers and extensions.
// Reserved values count nowhere.
func NewHandshake(hello *tls.ClientHelloInfo) *Handshake {
	ciphers := unreserved(hello.CipherSuites)
	extensions := unreserved(hello.Extensions)
	slices.Sort(ciphers)
	slices.Sort(extensions)
	h := &Handshake{
		grease:     len(ciphers) < len(hello.CipherSuites) && len(extensions) < len(hello.Extensions),
		tls13:      slices.Contains(hello.SupportedVersions, tls.VersionTLS13),
		http2:      slices.Contains(hello.SupportedProtos, "h2"),
		extensions: extensions,
	}
	name := byte('i')
	if slices.Contains(extensions, extServerName) {
		name = 'd'
	}
	hashed := slices.DeleteFunc(slices.Clone(extensions), func(e uint16) bool { return e == extServerName || e == extALPN })
	rest := hexList(hashed)
	if len(hello.SignatureSchemes) > 0 && rest != "" {
		schemes := make([]uint16, len(hello.SignatureSchemes))
		for i, s := range hello.SignatureSchemes {
			schemes[i] = uint16(s)
		}
		rest += "_" + hexList(unreserved(schemes))
	}
	h.JA4 = fmt.Sprintf("t%s%c%02d%02d%s_%s_%s", ja4Version(hello.SupportedVersions), name,
		min(len(ciphers), 99), min(len(extensions), 99), ja4Protocol(hello.SupportedProtos), ja4Hash(hexList(ciphers)), ja4Hash(rest))
	return h
}

// unreserved is a list without the values of RFC 8701.
func unreserved(list []uint16) []uint16 {
	return slices.DeleteFunc(slices.Clone(list), func(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff })
}

func hexList(list []uint16) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = fmt.Sprintf("%04x", v)
	}
	return strings.Join(texts, ",")
}

// ja4Hash is the first 12 digits of a list's SHA-256, and zeros for an empty list.
func ja4Hash(list string) string {
	if list == "" {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(list))
	return hex.EncodeToString(sum[:6])
}

func ja4Version(versions []uint16) string {
	known := unreserved(versions)
	if len(known) == 0 {
		return "00"
	}
	switch slices.Max(known) {
	case tls.VersionTLS13:
		return "13"
	case tls.VersionTLS12:
		return "12"
	case tls.VersionTLS11:
		return "11"
	case tls.VersionTLS10:
		return "10"
	case 0x0300:
		return "s3"
	}
	return "00"
}

// ja4Protocol is the first and the last letter of the first protocol, or of its digits where they are none.
func ja4Protocol(protocols []string) string {
	if len(protocols) == 0 || protocols[0] == "" {
		return "00"
	}
	p := protocols[0]
	first, last := p[0], p[len(p)-1]
	if !alphanumeric(first) || !alphanumeric(last) {
		digits := hex.EncodeToString([]byte(p))
		first, last = digits[0], digits[len(digits)-1]
	}
	return string([]byte{first, last})
}

func alphanumeric(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
}

// Versions from which a browser's handshake has what is looked for. Older ones are not judged by it.
const (
	handshakeSinceChromium = 80
	handshakeSinceFirefox  = 70
	handshakeSinceSafari   = 15
)

// fits tells whether a handshake can be that of the browser which a user agent names. It looks for what a family of browsers has had for
// years, not for the fingerprints of versions, so that the next version fits too.
func (h *Handshake) fits(a *agent, webSocket bool) bool {
	has := func(extension uint16) bool {
		_, found := slices.BinarySearch(h.extensions, extension)
		return found
	}
	modern := h.tls13 && (h.http2 || webSocket) // browsers ask for HTTP/1.1 alone where a WebSocket is to come
	switch {
	case a.is(ios), a.is(safari) && !a.is(chromium) && !a.is(android):
		return a.major[2] < handshakeSinceSafari || modern && h.grease
	case a.is(chromium):
		return a.major[0] < handshakeSinceChromium || modern && h.grease && has(extCompressCertificate)
	case a.is(firefox):
		return a.major[1] < handshakeSinceFirefox || modern && !h.grease && has(extRecordSizeLimit)
	}
	return true
}
