package bot

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// recorded is the ClientHello of a file of testdata/clienthello, as crypto/tls reads it.
func recorded(t testing.TB, name string) *tls.ClientHelloInfo {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "clienthello", name+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	return readHello(t, raw)
}

func readHello(t testing.TB, raw []byte) (found *tls.ClientHelloInfo) {
	t.Helper()
	client, server := net.Pipe()
	go func() {
		_, _ = client.Write(raw)
		_ = client.Close()
	}()
	err := tls.Server(server, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		found = hello
		return nil, errors.New("that is enough")
	}}).Handshake()
	if found == nil {
		t.Fatal(err)
	}
	return found
}

// TestJA4 compares with values that others published.
func TestJA4(t *testing.T) {
	for _, c := range []struct {
		name  string
		hello *tls.ClientHelloInfo
		want  string
	}{
		// The worked example of FoxIO's description, of a Chrome of 2023, with reserved values between.
		{"the description's example", &tls.ClientHelloInfo{
			CipherSuites: []uint16{0x8a8a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
			Extensions: []uint16{0x1a1a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a,
				0x0015, 0x3a3a},
			SupportedVersions: []uint16{0x6a6a, tls.VersionTLS13, tls.VersionTLS12},
			SupportedProtos:   []string{"h2", "http/1.1"},
			SignatureSchemes:  []tls.SignatureScheme{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
		}, "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		{"Chromium 148", recorded(t, "chromium"), "t13d1516h2_8daaf6152771_d8a2da3f94cd"},
		{"Firefox 140", recorded(t, "firefox"), "t13d1717h2_5b57614c22b0_3cbfd9057e0d"},
		{"curl with OpenSSL 3", recorded(t, "curl"), "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6"},
		{"Go", recorded(t, "go"), "t13d1312h2_f57a46bbacb6_ab7e3b40a677"},
	} {
		if got := NewHandshake(c.hello).JA4; got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestJA4Corners has what the description says of unusual hellos.
func TestJA4Corners(t *testing.T) {
	for _, c := range []struct {
		name  string
		hello tls.ClientHelloInfo
		want  string
	}{
		{"nothing", tls.ClientHelloInfo{}, "t00i000000_000000000000_000000000000"},
		{"reserved values only", tls.ClientHelloInfo{SupportedVersions: []uint16{0x0a0a}, CipherSuites: []uint16{0xfafa}, Extensions: []uint16{0x2a2a}}, "t00i000000_000000000000_000000000000"},
		{"SSL 3", tls.ClientHelloInfo{SupportedVersions: []uint16{0x0300}}, "ts3i000000_000000000000_000000000000"},
		{"a protocol of one letter", tls.ClientHelloInfo{SupportedProtos: []string{"h"}}, "t00i0000hh_000000000000_000000000000"},
		{"a protocol of no letters", tls.ClientHelloInfo{SupportedProtos: []string{"\xab\xcd"}}, "t00i0000ad_000000000000_000000000000"},
		{"a protocol that ends in none", tls.ClientHelloInfo{SupportedProtos: []string{"h2\xcd"}}, "t00i00006d_000000000000_000000000000"},
		{"no algorithms of signatures", tls.ClientHelloInfo{Extensions: []uint16{0x000b, 0x000a}}, "t00i000200_000000000000_" + ja4Hash("000a,000b")},
		{"a hundred ciphers", tls.ClientHelloInfo{CipherSuites: make([]uint16, 120)}, "t00i990000_" + ja4Hash(hexList(make([]uint16, 120))) + "_000000000000"},
	} {
		if got := NewHandshake(&c.hello).JA4; got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

const (
	uaChrome  = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36"
	uaFirefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	uaSafari  = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15"
	uaIPhone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
	uaOld     = "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/70.0.3538.77 Safari/537.36"
)

// TestHandshakeFits gives browsers' user agents to the handshakes of all.
func TestHandshakeFits(t *testing.T) {
	for _, c := range []struct {
		userAgent string
		fits      []string
	}{
		{uaChrome, []string{"chromium"}},
		{uaFirefox, []string{"firefox"}},
		{uaSafari, []string{"chromium"}}, // reserved values are all that is looked for
		{uaIPhone, []string{"chromium"}},
		{uaOld, []string{"chromium", "firefox", "curl", "python", "go", "node", "node-fetch"}}, // too old to be judged
	} {
		a := parse(c.userAgent)
		fits := map[string]bool{}
		for _, name := range c.fits {
			fits[name] = true
		}
		for _, name := range []string{"chromium", "firefox", "curl", "python", "go", "node", "node-fetch"} {
			if got := NewHandshake(recorded(t, name)).fits(&a, false); got != fits[name] {
				t.Errorf("%s with the handshake of %s: fits is %v", c.userAgent, name, got)
			}
		}
	}
	// A browser asks for HTTP/1.1 alone where a WebSocket is to come.
	hello := recorded(t, "chromium")
	hello.SupportedProtos = []string{"http/1.1"}
	a := parse(uaChrome)
	if h := NewHandshake(hello); !h.fits(&a, true) || h.fits(&a, false) {
		t.Error("a WebSocket's handshake")
	}
}

// TestHandshakeScore has a Go program that sends all of Chrome's headers.
func TestHandshakeScore(t *testing.T) {
	s := Signals{
		Method: "GET", ProtoMajor: 2, TLS: true, UserAgent: uaChrome, Accept: "text/html,*/*;q=0.8", AcceptLanguage: "en", AcceptEncoding: "gzip, br",
		SecCHUA: `"Chromium";v="148", "Not/A)Brand";v="99"`, SecCHUAMobile: "?0", SecCHUAPlatform: `"Linux"`,
		SecFetchSite: "none", SecFetchMode: "navigate", SecFetchDest: "document",
	}
	if r := Score(s); r.Score != scoreBrowser {
		t.Fatalf("without a handshake: %+v", r)
	}
	s.Handshake = NewHandshake(recorded(t, "chromium"))
	if r := Score(s); r.Score != scoreBrowser {
		t.Errorf("the browser: %+v", r)
	}
	s.Handshake = NewHandshake(recorded(t, "go"))
	if r := Score(s); r.Score >= 30 || len(r.Reasons) != 1 || r.Reasons[0] != ReasonHandshakeMismatch {
		t.Errorf("a Go program: %+v", r)
	}
}

// deaf is a connection whose other end has said all that it says, and listens to nothing.
type deaf struct {
	net.Conn
	said io.Reader
}

func (d deaf) Read(p []byte) (int, error)  { return d.said.Read(p) }
func (d deaf) Write(p []byte) (int, error) { return len(p), nil }

func FuzzHandshake(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "clienthello", "*.bin"))
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		client, server := net.Pipe()
		_ = client.Close()
		_ = tls.Server(deaf{server, bytes.NewReader(raw)}, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if ja4 := NewHandshake(hello).JA4; len(ja4) != 36 {
				t.Errorf("%q", ja4)
			}
			return nil, errors.New("that is enough")
		}}).Handshake()
		_ = server.Close()
	})
}

func BenchmarkHandshake(b *testing.B) {
	hello := recorded(b, "chromium")
	for b.Loop() {
		NewHandshake(hello)
	}
}
