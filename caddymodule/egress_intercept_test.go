package caddymodule

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
)

func TestReadHello(t *testing.T) {
	for _, name := range []string{"api.example.com", ""} {
		near, far := net.Pipe()
		go func() {
			_ = tls.Client(far, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
			far.Close()
		}()
		hello, got, err := readHello(near)
		if err != nil || got != name {
			t.Fatalf("%q, %v", got, err)
		}
		// What was read is all that there is to say again.
		again, back := net.Pipe()
		go func() {
			_, _ = back.Write(hello)
			back.Close()
		}()
		if _, got, err := readHello(again); err != nil || got != name {
			t.Errorf("again: %q, %v", got, err)
		}
		near.Close()
	}
	for _, said := range []string{"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n", "\x16\x03\x01\x00\x05hello", ""} {
		near, far := net.Pipe()
		go func() {
			_, _ = io.Copy(far, bytes.NewReader([]byte(said)))
			far.Close()
		}()
		if _, name, err := readHello(near); err == nil {
			t.Errorf("%q is taken for a handshake with %q", said, name)
		}
		near.Close()
	}
}

func TestSameHost(t *testing.T) {
	for _, c := range []struct {
		name, host string
		same       bool
	}{
		{"api.example.com", "api.example.com", true}, {"API.example.com", "api.example.com.", true}, {"", "127.0.0.1", true}, {"", "::1", true},
		{"", "api.example.com", false}, {"other.example", "api.example.com", false}, {"other.example", "127.0.0.1", false},
	} {
		if got := sameHost(c.name, c.host); got != c.same {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
