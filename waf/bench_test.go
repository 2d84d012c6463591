package waf

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	corazahttp "github.com/corazawaf/coraza/v3/http"
)

// order is a JSON body of about 1 KiB: what an agent posts to a shop.
func order() string {
	var b strings.Builder
	b.WriteString(`{"agent":"shop-helper","user":"u-1024","items":[`)
	for i := range 11 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"name":"item number %d","qty":%d,"price":%d.5,"tags":["red","large"]}`, i, i, i*3, 9+i)
	}
	b.WriteString(`],"note":"please pack with care"}`)
	return b.String()
}

// discard is a response writer that keeps nothing.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkInspect measures a whole exchange (inspect, a small answer, close) through this package and
// through Coraza's own middleware with the same rules.
func BenchmarkInspect(b *testing.B) {
	body := order()
	requests := []struct {
		name string
		make func() *http.Request
	}{
		{"get", func() *http.Request { return browser("GET", "/products?page=2&sort=price", "", "") }},
		{"json1k", func() *http.Request { return browser("POST", "/v1/orders", "application/json", body) }},
	}
	answer := []byte(`{"ok":true}`)
	e := newEngine(b, Config{CRS: true})
	ours := func(w http.ResponseWriter, r *http.Request) {
		tx, err := e.Inspect(r, caller, "bench")
		if err != nil || tx.Verdict().Action != Pass {
			b.Fatalf("%v, %v", tx, err)
		}
		w = tx.ResponseWriter(w, r, nil)
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
		_, _ = tx.Finish()
		tx.Close()
	}
	plain, err := coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(coreruleset.FS).
		WithDirectivesFromFile(fileCoraza).WithDirectivesFromFile(fileSetup).WithDirectivesFromFile(fileRules).
		WithDirectives("SecRuleEngine On\nSecAuditEngine Off\nSecResponseBodyAccess Off"))
	if err != nil {
		b.Fatal(err)
	}
	plainHandler := corazahttp.WrapHandler(plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}))
	for _, rq := range requests {
		for _, impl := range []struct {
			name  string
			serve func(http.ResponseWriter, *http.Request)
		}{{"gatehouse", ours}, {"coraza", plainHandler.ServeHTTP}} {
			b.Run(rq.name+"/"+impl.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					impl.serve(&discard{h: http.Header{}}, rq.make())
				}
			})
		}
	}
}
