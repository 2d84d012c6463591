package caddymodule

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-edge/gatehouse/secrets"
)

const (
	// helloTime is how long a client may take to begin its handshake.
	helloTime = 10 * time.Second
	// tunnelRequests is how many requests one intercepted connection may have: they are in one record.
	tunnelRequests = 100
	// authorityLife, leafLife and leafRest are how long certificates are good, and when one is made anew.
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 7 * 24 * time.Hour
	leafRest      = 24 * time.Hour
	// maxLeaves bounds the certificates kept for a client.
	maxLeaves = 1000
)

// intercept ends the client's TLS, and decides about each request in it.
func (t *proxyTrip) intercept(w http.ResponseWriter, r *http.Request) error {
	to := r.Host
	host, port, _ := net.SplitHostPort(to)
	conn, err := t.established(w)
	if err != nil {
		return err
	}
	shown := to
	if port == "443" {
		shown = host
	}
	secured := tls.Server(conn, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if !sameHost(hello.ServerName, host) {
				return nil, errors.New("the handshake is for another host than the tunnel")
			}
			return t.client.authority.leaf(host)
		},
	})
	n := 0
	server := &http.Server{
		ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: log.New(io.Discard, "", 0),
		BaseContext: func(net.Listener) context.Context { return r.Context() },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n++; n >= tunnelRequests {
				w.Header().Set("Connection", "close")
			}
			if r.Host != shown && r.Host != to || r.URL.Host != "" {
				http.Error(w, "The request is for another host than the tunnel.", http.StatusMisdirectedRequest)
				return
			}
			_ = t.forward(w, r, &url.URL{Scheme: "https", Host: shown, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery})
		}),
	}
	l := &oneConn{conn: secured, closed: make(chan struct{})}
	_ = server.Serve(l)
	<-l.closed
	return nil
}

// oneConn is a listener of one connection, until that is closed.
type oneConn struct {
	conn   net.Conn
	given  bool
	closed chan struct{}
	once   sync.Once
}

type lastConn struct {
	net.Conn
	l *oneConn
}

func (c lastConn) Close() error {
	defer c.l.once.Do(func() { close(c.l.closed) })
	return c.Conn.Close()
}

func (l *oneConn) Accept() (net.Conn, error) {
	if !l.given {
		l.given = true
		return lastConn{l.conn, l}, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }

// readHello reads what a TLS client says first, and the name that it asks for.
func readHello(conn net.Conn) (hello []byte, name string, err error) {
	_ = conn.SetReadDeadline(time.Now().Add(helloTime))
	defer conn.SetReadDeadline(time.Time{})
	heard := &listening{Conn: conn}
	found := errors.New("found")
	err = tls.Server(heard, &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		name = info.ServerName
		return nil, found
	}}).Handshake()
	if !errors.Is(err, found) {
		return nil, "", errors.New("this is no TLS")
	}
	return heard.said.Bytes(), name, nil
}

// listening keeps what it reads, and answers nothing.
type listening struct {
	net.Conn
	said bytes.Buffer
}

func (l *listening) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.said.Write(p[:n])
	return n, err
}

func (l *listening) Write(p []byte) (int, error) { return len(p), nil }

// authority signs the certificates that one client is shown. Its key is sealed in the vault.
type authority struct {
	client string
	vault  *secrets.Vault

	mu     sync.Mutex
	key    *ecdsa.PrivateKey
	cert   *x509.Certificate
	leaves map[string]*tls.Certificate
}

// certificate is the authority's own, in PEM. It is made at its first use.
func (a *authority) certificate() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.load(); err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), nil
}

func (a *authority) load() error {
	if a.cert != nil && time.Now().Before(a.cert.NotAfter) {
		return nil
	}
	group := "proxy-ca/" + a.client
	if err := a.vault.EnsureGroup(group, a.make); err != nil {
		return err
	}
	values, err := a.vault.Group(group)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair([]byte(values["certificate"].Reveal()), []byte(values["key"].Reveal()))
	if err != nil {
		return fmt.Errorf("the authority of client %s is damaged", a.client)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return fmt.Errorf("the authority of client %s is damaged", a.client)
	}
	a.key, a.cert, a.leaves = key, pair.Leaf, map[string]*tls.Certificate{}
	return nil
}

func (a *authority) make() (map[string]secrets.Value, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Gatehouse proxy for " + a.client, Organization: []string{"Gatehouse"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(authorityLife), KeyUsage: x509.KeyUsageCertSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return map[string]secrets.Value{
		"certificate": secrets.NewValue(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		"key":         secrets.NewValue(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))),
	}, nil
}

// leaf is a certificate for a host.
func (a *authority) leaf(host string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.load(); err != nil {
		return nil, err
	}
	now := time.Now()
	if c := a.leaves[host]; c != nil && now.Before(c.Leaf.NotAfter.Add(-leafRest)) {
		return c, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if len(a.leaves) >= maxLeaves {
		clear(a.leaves)
	}
	a.leaves[host] = &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf}
	return a.leaves[host], nil
}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // it never fails
	return n
}

func proxyCACommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "proxy-ca CLIENT",
		Short: "Prints the certificate that a client of an intercepting egress_proxy must trust",
		Long: "Prints the certificate of the authority that signs what a client of egress_proxy is shown where intercept is set. Each client has one of its\n" +
			"own, made here or at its first request; its key lies sealed beside the secrets.",
		Example: `  caddy gatehouse proxy-ca crawler > crawler-ca.pem
  REQUESTS_CA_BUNDLE=crawler-ca.pem HTTPS_PROXY=http://crawler:SECRET@127.0.0.1:3128 python3 crawler.py`,
		Args: cobra.ExactArgs(1), SilenceUsage: true, RunE: runProxyCA,
	}
	cmd.Flags().Bool("json", false, "Print the certificate as JSON")
	configFlags(cmd)
	return cmd
}

func runProxyCA(cmd *cobra.Command, args []string) error {
	if !secrets.ValidName(args[0]) {
		return fmt.Errorf("%q is not the name of a client: lower-case letters, digits, _ and -", args[0])
	}
	app, _, err := appFor(cmd)
	if err != nil {
		return err
	}
	vault, err := app.newVault()
	if err != nil {
		return err
	}
	pem, err := (&authority{client: args[0], vault: vault}).certificate()
	if err != nil {
		return err
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"client": args[0], "certificate": string(pem)})
	}
	_, err = cmd.OutOrStdout().Write(pem)
	return err
}
