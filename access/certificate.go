package access

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Why a client certificate is not believed.
var (
	// ErrUnverified is for a certificate that nobody vouches for.
	ErrUnverified = errors.New("the certificate is of no authority that is believed")
	// ErrNotListed is for one that is not among those that are named.
	ErrNotListed = errors.New("the certificate is not among those that are believed")
)

// Certificates says which client certificates are believed. The zero value believes those that the TLS server has verified.
type Certificates struct {
	// Roots, if they are there, are the authorities of which one must have issued the certificate; the server's own verification does
	// not count then.
	Roots *x509.CertPool
	// Fingerprints, if there are any, are the SHA-256 digests of the certificates that are believed, in hexadecimal.
	Fingerprints []string
}

// ParseFingerprint reads the SHA-256 of a certificate in hexadecimal, with colons between the bytes or without.
func ParseFingerprint(text string) (string, error) {
	digits := strings.ToLower(strings.ReplaceAll(text, ":", ""))
	if raw, err := hex.DecodeString(digits); err != nil || len(raw) != sha256.Size {
		return "", fmt.Errorf("%q is not the SHA-256 of a certificate in hexadecimal, as openssl x509 -fingerprint -sha256 prints it", text)
	}
	return digits, nil
}

// Verify tells who the client certificates of a connection are of: the first of them names the client. verified is what the TLS server has
// verified of them.
func (c *Certificates) Verify(sent []*x509.Certificate, verified [][]*x509.Certificate, now time.Time) (*Identity, error) {
	if len(sent) == 0 {
		return nil, ErrUnverified
	}
	leaf := sent[0]
	switch {
	case now.Before(leaf.NotBefore):
		return nil, ErrNotYet
	case now.After(leaf.NotAfter): // a resumed connection may have outlived it
		return nil, ErrExpired
	}
	if c.Roots != nil {
		options := x509.VerifyOptions{Roots: c.Roots, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		for _, between := range sent[1:] {
			options.Intermediates.AddCert(between)
		}
		if _, err := leaf.Verify(options); err != nil {
			return nil, ErrUnverified
		}
	} else if len(verified) == 0 {
		return nil, ErrUnverified
	}
	sum := sha256.Sum256(leaf.Raw)
	fingerprint := hex.EncodeToString(sum[:])
	if len(c.Fingerprints) > 0 && !slices.Contains(c.Fingerprints, fingerprint) {
		return nil, ErrNotListed
	}
	claims := map[string]any{
		"fingerprint": fingerprint, "serial": leaf.SerialNumber.Text(16), "issuer": leaf.Issuer.String(), "cn": leaf.Subject.CommonName,
		"not_after": float64(leaf.NotAfter.Unix()), "dns": list(leaf.DNSNames), "email": list(leaf.EmailAddresses), "organization": list(leaf.Subject.Organization),
	}
	uris := make([]any, len(leaf.URIs))
	for i, u := range leaf.URIs {
		uris[i] = u.String()
	}
	claims["uri"] = uris
	subject := leaf.Subject.CommonName
	for _, names := range []any{uris, claims["dns"], claims["email"]} {
		if of := names.([]any); len(of) > 0 {
			subject = of[0].(string)
			break
		}
	}
	claims["sub"] = subject
	return &Identity{Method: MethodMTLS, Issuer: leaf.Issuer.String(), Subject: subject, Claims: claims, Expires: leaf.NotAfter}, nil
}

// list is a claim of several texts.
func list(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}
