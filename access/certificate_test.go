package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"testing"
	"time"
)

// authority issues certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var certTime = time.Unix(1_800_000_000, 0)

func newAuthority(t *testing.T, name string, by *authority) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = issue(t, by, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func issue(t *testing.T, by *authority, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(77)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = certTime.Add(-time.Hour), certTime.Add(time.Hour)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func TestCertificates(t *testing.T) {
	root, other := newAuthority(t, "root", nil), newAuthority(t, "other", nil)
	between := newAuthority(t, "between", root)
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	spiffe, _ := url.Parse("spiffe://example.com/agent")
	plain, _ := issue(t, root, &x509.Certificate{Subject: pkix.Name{CommonName: "ann", Organization: []string{"Example"}}, ExtKeyUsage: client})
	named, _ := issue(t, between, &x509.Certificate{Subject: pkix.Name{CommonName: "ann"}, URIs: []*url.URL{spiffe}, DNSNames: []string{"ann.example.com"}, ExtKeyUsage: client})
	server, _ := issue(t, root, &x509.Certificate{Subject: pkix.Name{CommonName: "site"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	foreign, _ := issue(t, other, &x509.Certificate{Subject: pkix.Name{CommonName: "ann"}, ExtKeyUsage: client})
	over, _ := issue(t, root, &x509.Certificate{Subject: pkix.Name{CommonName: "ann"}, ExtKeyUsage: client, NotBefore: certTime.Add(-2 * time.Hour), NotAfter: certTime.Add(-time.Hour)})
	later, _ := issue(t, root, &x509.Certificate{Subject: pkix.Name{CommonName: "ann"}, ExtKeyUsage: client, NotBefore: certTime.Add(time.Hour), NotAfter: certTime.Add(2 * time.Hour)})
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	who, err := (&Certificates{Roots: roots}).Verify([]*x509.Certificate{plain}, nil, certTime)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := who.Claims["fingerprint"].(string)
	for _, c := range []struct {
		name     string
		of       Certificates
		sent     []*x509.Certificate
		verified bool
		want     error
		subject  string
	}{
		{"of a root", Certificates{Roots: roots}, []*x509.Certificate{plain}, false, nil, "ann"},
		{"of an authority between", Certificates{Roots: roots}, []*x509.Certificate{named, between.cert}, false, nil, "spiffe://example.com/agent"},
		{"without the one between", Certificates{Roots: roots}, []*x509.Certificate{named}, false, ErrUnverified, ""},
		{"of another root", Certificates{Roots: roots}, []*x509.Certificate{foreign}, false, ErrUnverified, ""},
		{"of another root that the server believes", Certificates{Roots: roots}, []*x509.Certificate{foreign}, true, ErrUnverified, ""},
		{"a server's", Certificates{Roots: roots}, []*x509.Certificate{server}, false, ErrUnverified, ""},
		{"that is over", Certificates{Roots: roots}, []*x509.Certificate{over}, false, ErrExpired, ""},
		{"that is over, on a resumed connection", Certificates{}, []*x509.Certificate{over}, true, ErrExpired, ""},
		{"whose time has not come", Certificates{Roots: roots}, []*x509.Certificate{later}, false, ErrNotYet, ""},
		{"that the server verified", Certificates{}, []*x509.Certificate{plain}, true, nil, "ann"},
		{"that the server did not verify", Certificates{}, []*x509.Certificate{plain}, false, ErrUnverified, ""},
		{"that is named", Certificates{Fingerprints: []string{fingerprint}}, []*x509.Certificate{plain}, true, nil, "ann"},
		{"that is not named", Certificates{Fingerprints: []string{fingerprint}}, []*x509.Certificate{named}, true, ErrNotListed, ""},
		{"none", Certificates{}, nil, true, ErrUnverified, ""},
	} {
		var verified [][]*x509.Certificate
		if c.verified {
			verified = [][]*x509.Certificate{c.sent}
		}
		who, err := c.of.Verify(c.sent, verified, certTime)
		if !errors.Is(err, c.want) || (who == nil) != (c.want != nil) {
			t.Errorf("%s: %+v, %v, want %v", c.name, who, err, c.want)
		}
		if who != nil && (who.Subject != c.subject || who.Method != MethodMTLS) {
			t.Errorf("%s: it is of %+v", c.name, who)
		}
	}
	for rule, admits := range map[string]bool{"cn=ann": true, "organization=Example": true, "serial=4d": true, "fingerprint=" + fingerprint: true, "cn=bob": false, "dns=ann": false} {
		name, value, _ := ParseClaim(rule)
		if got := (Rule{Method: MethodMTLS, Claims: map[string]string{name: value}}).Admits(who); got != admits {
			t.Errorf("the rule %s: %v", rule, got)
		}
	}
	if _, err := ParseFingerprint("AB:CD"); err == nil {
		t.Error("two bytes are a fingerprint")
	}
}
