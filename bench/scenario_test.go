package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRequests reads every scenario's requests back with Go's own parser.
func TestRequests(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			if len(s.sides) < 2 || s.sides[0] != "gatehouse" {
				t.Fatalf("sides %v: the first must be gatehouse, the second the peer", s.sides)
			}
			seen := map[string]bool{}
			for n := range uint64(64) {
				raw := s.request(nil, ask{conn: int(n % 8), seq: int(n), n: 1<<32 + n})
				req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(req.Body)
				if err != nil || int64(len(body)) != req.ContentLength {
					t.Fatalf("body of %d bytes, declared %d, %v", len(body), req.ContentLength, err)
				}
				seen[req.RequestURI+string(body)] = true
			}
			if s.ids == 0 && len(seen) != 64 {
				t.Errorf("64 requests have %d different contents", len(seen))
			}
		})
	}
}

// TestSidesHaveTheirConfiguration looks for each side's files, so that a scenario cannot be added by half.
func TestSidesHaveTheirConfiguration(t *testing.T) {
	b := &bench{source: "."}
	for _, s := range scenarios {
		for _, name := range s.sides {
			side, err := sideNamed(name)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, arg := range side.command(b, s.name, "127.0.0.1:1", "data", "127.0.0.1:2").args {
				if ext := filepath.Ext(arg); ext == ".capnp" || ext == ".Caddyfile" {
					found = true
					if _, err := os.Stat(arg); err != nil {
						t.Errorf("%s on %s: %v", s.name, name, err)
					}
				}
			}
			if !found {
				t.Errorf("%s on %s: no configuration among the arguments", s.name, name)
			}
		}
	}
}

func TestOrder(t *testing.T) {
	for n := range uint64(1000) {
		raw, total := appendOrder(nil, n<<32+n)
		var order orderSent
		if err := json.Unmarshal(raw, &order); err != nil {
			t.Fatal(err)
		}
		sum, leaves := int64(0), 0
		for _, item := range order.Items {
			sum += item.Qty * item.Cents
			leaves += 4 + len(item.Tags)
		}
		if sum != total || leaves != 60 || len(raw) < 850 || len(raw) > 1250 {
			t.Fatalf("order %d: total %d of %d, %d values, %d bytes", n, total, sum, leaves, len(raw))
		}
	}
}

// rightAnswer does what agents/json.js does.
func rightAnswer(t *testing.T, a ask) orderAnswer {
	t.Helper()
	raw, _ := appendOrder(nil, a.n)
	var in orderSent
	if err := json.Unmarshal(raw, &in); err != nil {
		t.Fatal(err)
	}
	out := orderAnswer{Customer: in.Customer}
	for _, item := range in.Items {
		out.Lines = append(out.Lines, orderLine{item.ID, strings.ToUpper(item.Name), item.Qty * item.Cents, item.Tags})
		out.Total += item.Qty * item.Cents
	}
	return out
}

func TestChecksRefuseWrongAnswers(t *testing.T) {
	a := ask{n: 77, seq: 100}
	encode := func(change func(*orderAnswer)) []byte {
		answer := rightAnswer(t, a)
		change(&answer)
		body, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	tests := []struct {
		name   string
		check  func(ask, int, []byte) error
		status int
		body   []byte
		ok     bool
	}{
		{"order", checkOrder, 200, encode(func(*orderAnswer) {}), true},
		{"order with status 500", checkOrder, 500, encode(func(*orderAnswer) {}), false},
		{"order with a wrong total", checkOrder, 200, encode(func(o *orderAnswer) { o.Total++ }), false},
		{"order with a wrong line", checkOrder, 200, encode(func(o *orderAnswer) { o.Lines[3].Label = "x" }), false},
		{"order of somebody else", checkOrder, 200, encode(func(o *orderAnswer) { o.Customer = "x" }), false},
		{"count", checkCount, 200, []byte("12"), true},
		{"count of nothing", checkCount, 200, []byte("0"), false},
		{"count that is none", checkCount, 200, []byte("error"), false},
		{"body", wantBody("hello"), 200, []byte("hello"), true},
		{"other body", wantBody("hello"), 200, []byte("hello!"), false},
		{"refused", wantBody("hello"), 403, []byte("hello"), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := test.check(a, test.status, test.body); (err == nil) != test.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}
