package caddymodule

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// discard is a response that goes nowhere, as net/http's would not allocate for one more of its own.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// discardLog writes each record as the server's log does, to nowhere.
func discardLog() *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(nowhere{}), zap.InfoLevel))
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkThrottle measures what the stage adds to a request: with its record and log line, for it is the first stage, and without what
// comes before and after it. The medians are in docs/directives/throttle.md.
func BenchmarkThrottle(b *testing.B) {
	const client = "203.0.113.9"
	zones := []ThrottleZone{{Name: "ip", Key: "{http.vars.client_ip}", Rate: "1000000000/s"}, {Name: "path", Key: "{http.request.uri.path}", Rate: "1000000000/s"}}
	for _, c := range []struct {
		name   string
		stage  *Throttle
		status int
	}{
		{"record alone", &Throttle{}, 200},
		{"two zones", &Throttle{Zones: zones}, 200},
		{"zones and bounds", &Throttle{Zones: zones, InFlight: 1000, Queue: 100}, 200},
		{"zones and a budget", &Throttle{Zones: zones, Budgets: []ThrottleBudget{{Name: "b", Key: "{http.vars.client_ip}", Amount: "1000000000/s", Settle: settleHeader}}}, 200},
		{"zone full", &Throttle{Zones: []ThrottleZone{{Name: "full", Key: "{http.vars.client_ip}", Rate: "1/365d"}}}, 429},
		{"shed", &Throttle{InFlight: 1}, 503},
	} {
		b.Run(c.name, func(b *testing.B) {
			t := c.stage
			t.app = &App{logger: discardLog(), edge: newEdge(storage{})}
			t.IPv6Prefix = 64
			if err := t.provision(caddy.Context{Context: context.Background()}); err != nil {
				b.Fatal(err)
			}
			defer func() { _ = t.Cleanup() }()
			if c.status == 503 {
				t.load.inFlight.Total = 1
				_ = t.load.inFlight.Enter(netip.IPv4Unspecified(), true)
			}
			for _, z := range t.zones {
				z.local.Take(client) // fills the zone that one request fills
			}
			status := 0
			next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				w.WriteHeader(200)
				return nil
			})
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				r := httptest.NewRequest("GET", "http://example.com/a", nil)
				r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: client}))
				caddyhttp.NewTestReplacer(r)
				w := &statusOf{discard: discard{http.Header{}}}
				b.StartTimer()
				begun := time.Now()
				if err := t.ServeHTTP(w, r, next); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begun))
				status = w.status
			}
			if status != c.status {
				b.Fatalf("status %d, want %d", status, c.status)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-us")
		})
	}
}

type statusOf struct {
	discard
	status int
}

func (s *statusOf) WriteHeader(status int) { s.status = status }
