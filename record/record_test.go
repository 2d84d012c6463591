package record

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

type keep struct {
	mu      sync.Mutex
	entries []*Entry
}

func (k *keep) Emit(e *Entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.entries = append(k.entries, e)
}

func TestRecordClosesOnceWhenAllLetGo(t *testing.T) {
	var k keep
	begun := time.Unix(1000, 0)
	r := Open(KindFetch, begun, &k)
	var wg sync.WaitGroup
	for range 50 {
		r.Hold()
		wg.Go(func() {
			r.Write(func(e *Entry) { e.Did.Storage.KV++ })
			r.Release(begun.Add(time.Second))
		})
	}
	wg.Wait()
	if len(k.entries) != 0 {
		t.Fatal("closed while the opener holds it")
	}
	r.Release(begun.Add(1500 * time.Millisecond))
	r.Write(func(e *Entry) { t.Error("written after the close") })
	if len(k.entries) != 1 {
		t.Fatalf("emitted %d times", len(k.entries))
	}
	if e := k.entries[0]; e.Did.Storage.KV != 50 || e.Out.WallMillis != 1500 || e.Out.Outcome != "ok" {
		t.Fatalf("entry %+v", e)
	}
}

func TestRefusedOutcome(t *testing.T) {
	var k keep
	r := Open(KindFetch, time.Unix(0, 0), &k)
	r.Write(func(e *Entry) { e.Decided.RefusedBy = "waf" })
	r.Release(time.Unix(0, 0))
	if k.entries[0].Out.Outcome != "refused" {
		t.Fatal(k.entries[0].Out.Outcome)
	}
}

func TestLogSinkWritesOneEvent(t *testing.T) {
	var b bytes.Buffer
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg", LevelKey: "level", EncodeLevel: zapcore.LowercaseLevelEncoder}), zapcore.AddSync(&b), zap.InfoLevel))
	r := Open(KindFetch, time.Unix(0, 0), LogSink{log})
	r.Write(func(e *Entry) {
		e.Agent, e.Out.Status = "a", 200
		e.Decided.WAF = &WAFDecision{Action: "pass"}
		e.Did.Logs = []Log{{Level: "log", Message: "hello"}}
	})
	r.Release(time.Unix(1, 0))
	if n := strings.Count(b.String(), "\n"); n != 1 {
		t.Fatalf("%d events", n)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"msg": "fetch", "agent": "a", "status": 200.0, "outcome": "ok", "wall_ms": 1000.0, "level": "info"} {
		if got[key] != want {
			t.Errorf("%s = %v, want %v", key, got[key], want)
		}
	}
	if _, ok := got["calls"]; ok {
		t.Error("an empty part is written")
	}
}

func TestTail(t *testing.T) {
	var tail Tail
	all, some := tail.Watch(Filter{}), tail.Watch(Filter{Agent: "a", Status: 4})
	tail.Emit(&Entry{Agent: "a", Out: Out{Status: 404}})
	tail.Emit(&Entry{Agent: "a", Out: Out{Status: 200}})
	tail.Emit(&Entry{Agent: "b", Out: Out{Status: 404}})
	if len(all.C) != 3 || len(some.C) != 1 {
		t.Fatalf("all %d, some %d", len(all.C), len(some.C))
	}
	for range watcherBuffer {
		tail.Emit(&Entry{})
	}
	if d := all.Dropped(); d != 3 {
		t.Fatalf("dropped %d, want 3", d)
	}
	if d := all.Dropped(); d != 0 {
		t.Fatalf("told twice: %d", d)
	}
	tail.Leave(all)
	tail.Leave(some)
	tail.Emit(&Entry{})
}

func TestFilter(t *testing.T) {
	e := &Entry{Agent: "a", Method: "GET", Path: "/p", Who: Who{ClientIP: "192.0.2.1"}, Out: Out{Status: 503, Outcome: "exception"},
		Did: Did{Logs: []Log{{Message: "tool failed"}}, Exceptions: []Exception{{Message: "boom"}}}}
	for _, c := range []struct {
		name string
		f    Filter
		want bool
	}{
		{"all", Filter{}, true},
		{"method in other case", Filter{Method: "get"}, true},
		{"other method", Filter{Method: "POST"}, false},
		{"exact status", Filter{Status: 503}, true},
		{"other status", Filter{Status: 500}, false},
		{"class of status", Filter{Status: 5}, true},
		{"outcome", Filter{Outcome: "ok"}, false},
		{"ip", Filter{IP: "192.0.2.1"}, true},
		{"text in a log", Filter{Text: "tool"}, true},
		{"text in an exception", Filter{Text: "boom"}, true},
		{"text in the path", Filter{Text: "/p"}, true},
		{"text nowhere", Filter{Text: "zzz"}, false},
	} {
		if got := c.f.Match(e); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestTraceShape(t *testing.T) {
	e := &Entry{Kind: KindFetch, Agent: "a", Site: "example.com", Path: "/x", Method: "GET", Out: Out{Status: 200, Outcome: "ok"}, Did: Did{Logs: []Log{{Level: "log", Message: "m"}}}}
	b, err := json.Marshal(e.Item())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"scriptName":"a"`, `"outcome":"ok"`, `"message":["m"]`, `"url":"https://example.com/x"`, `"exceptions":[]`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in %s", want, b)
		}
	}
}

// TestCallFields holds a call in the log to its JSON form.
func TestCallFields(t *testing.T) {
	for _, c := range []Call{
		{Kind: "origin"},
		{Kind: "egress", Host: "h", Method: "GET", Actor: "a", Status: 200, BytesOut: 1, BytesIn: 2, Millis: 0.5, Decision: "refuse", Rule: "r", Error: "e"},
	} {
		want, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		enc := zapcore.NewMapObjectEncoder()
		if err := c.MarshalLogObject(enc); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(enc.Fields)
		if err != nil {
			t.Fatal(err)
		}
		var a, b map[string]any
		if json.Unmarshal(want, &a) != nil || json.Unmarshal(got, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("the log has %s, JSON %s", got, want)
		}
	}
}
