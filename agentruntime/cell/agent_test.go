package cell

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

func newPool(t testing.TB) *Pool {
	t.Helper()
	p := NewPool(Config{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	t.Cleanup(p.Close)
	return p
}

func bundle(t testing.TB, source string) *agentruntime.Bundle {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "agent.ts"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := agentruntime.MakeBundle(context.Background(), agentruntime.BuildOptions{Main: "agent.ts", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newAgent(t testing.TB, p *Pool, source string) *Agent {
	t.Helper()
	a, err := p.NewAgent(AgentConfig{Name: "test", Bundle: bundle(t, source)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func get(path string) *agentruntime.Request {
	return &agentruntime.Request{Method: "GET", URL: "https://agent.example" + path, Header: http.Header{}}
}

func TestHello(t *testing.T) {
	p := newPool(t)
	a := newAgent(t, p, `export default { fetch(req) { return new Response("hello " + new URL(req.url).pathname) } }`)
	inv := a.Fetch(context.Background(), nobody{}, get("/you"))
	resp, err := inv.Response()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil || string(b) != "hello /you" {
		t.Fatalf("%q, %v", b, err)
	}
	if r := inv.Wait(); r.Outcome != agentruntime.OutcomeOK {
		t.Fatalf("%+v", r)
	}
}
