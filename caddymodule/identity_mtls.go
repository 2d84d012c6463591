package caddymodule

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-edge/gatehouse/access"
)

// MTLS believes client certificates. The server has to ask for them, by Caddy's directive tls with client_auth.
type MTLS struct {
	// CA are files with the certificates of authorities, in PEM, of which one must have issued the client's; by default those that the
	// server verifies by.
	CA []string `json:"ca,omitempty"`
	// Fingerprints, if there are any, are the SHA-256 of the certificates that are believed.
	Fingerprints []string `json:"fingerprints,omitempty"`
	Place        string   `json:"place,omitempty"`
}

func (m *MTLS) certificates() (*access.Certificates, error) {
	c := new(access.Certificates)
	for _, name := range m.CA {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if c.Roots == nil {
			c.Roots = x509.NewCertPool()
		}
		if !c.Roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate in PEM", name)
		}
	}
	for _, text := range m.Fingerprints {
		f, err := access.ParseFingerprint(text)
		if err != nil {
			return nil, err
		}
		c.Fingerprints = append(c.Fingerprints, f)
	}
	return c, nil
}

// identifyCertificate notes who the client certificate is of, or why it is not believed.
func (i *Identity) identifyCertificate(v *visit, r *http.Request) {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		who, err := i.certificates.Verify(r.TLS.PeerCertificates, r.TLS.VerifiedChains, time.Now())
		v.identified(access.MethodMTLS, who, err)
	}
}

// parseMTLS reads:
//
//	mtls {
//		ca <file...>
//		fingerprint <sha256...>
//	}
func parseMTLS(d *caddyfile.Dispenser) (*MTLS, error) {
	m := &MTLS{Place: place(d)}
	if err := noArgs(d); err != nil {
		return nil, err
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		list := &m.CA
		switch d.Val() {
		case "ca":
		case "fingerprint":
			list = &m.Fingerprints
		default:
			return nil, unknownOption(d, "mtls", "ca and fingerprint")
		}
		args := d.RemainingArgs()
		if len(args) == 0 {
			return nil, d.ArgErr()
		}
		*list = append(*list, args...)
		if _, err := m.certificates(); err != nil {
			return nil, d.WrapErr(err)
		}
	}
	return m, nil
}
