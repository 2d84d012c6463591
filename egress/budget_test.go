package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// wallet is a budget of calls and of bytes.
type wallet struct {
	mu           sync.Mutex
	calls, bytes int64
	settled      []int64
	broken       error
}

func (w *wallet) Reserve(context.Context) (Spending, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return nil, w.broken
	}
	if w.calls--; w.calls < 0 {
		return nil, ErrSpent("the wallet is empty")
	}
	return (*walletCall)(w), nil
}

type walletCall wallet

func (w *walletCall) Cover(_ context.Context, bytes int64) error {
	if bytes > w.bytes {
		return ErrSpent("the wallet has no bytes")
	}
	return nil
}

func (w *walletCall) Settle(bytes int64, answered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !answered {
		bytes = -1
	}
	w.settled = append(w.settled, bytes)
}

func TestBudgets(t *testing.T) {
	tests := []struct {
		name    string
		wallet  *wallet
		send    int
		want    string // of the refusal's reason; empty for none
		sent    bool
		settled string
	}{
		{"enough", &wallet{calls: 1, bytes: 1 << 20}, 100, "", true, "[1100]"},
		{"no calls", &wallet{bytes: 1 << 20}, 100, "the wallet is empty", false, "[]"},
		{"no bytes for the request", &wallet{calls: 1, bytes: 50}, 100, "the wallet has no bytes", false, "[-1]"},
		{"no bytes for the answer", &wallet{calls: 1, bytes: 500}, 100, "the wallet has no bytes", true, "[612]"},
		{"broken", &wallet{broken: errors.New("disk 10.0.0.1 broken")}, 0, "the budget cannot be counted", false, "[]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sent := false
			p := reached(t, Config{Budgets: []Budget{test.wallet}, Allow: []Rule{{Host: "api.example.com"}}}, func(w http.ResponseWriter, r *http.Request) {
				if b, err := io.ReadAll(r.Body); err == nil && len(b) == test.send {
					sent = true
				}
				fmt.Fprint(w, strings.Repeat("x", 1000))
			})
			req := get(t, "http://api.example.com/")
			req.Method, req.Body, req.ContentLength = "POST", io.NopCloser(strings.NewReader(strings.Repeat("y", test.send))), int64(test.send)
			var calls []Call
			_, _, err := fetch(t, p, req, Options{Observe: func(c Call) { calls = append(calls, c) }})
			refused, ok := errors.AsType[*Refusal](err)
			if (err != nil) != (test.want != "") || err != nil && (!ok || refused.Reason != test.want || refused.Rule != RuleBudget || refused.Code() != CodeBudget) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if sent != test.sent {
				t.Errorf("sent: %v", sent)
			}
			if settled := fmt.Sprint(test.wallet.settled); settled != test.settled || len(calls) != 1 {
				t.Errorf("settled %s, want %s; calls %+v", settled, test.settled, calls)
			}
		})
	}
}
