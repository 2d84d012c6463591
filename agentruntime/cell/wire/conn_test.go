package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/durable"
)

// pair is two connections that are each other's other side.
func pair(t testing.TB, gateway, cell Opener) (*Conn, *Conn) {
	t.Helper()
	ends := socketpair(t)
	var conns [2]*Conn
	var running sync.WaitGroup
	for i, side := range []Side{Gateway, Cell} {
		c, err := New(ends[i], side)
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c
		running.Go(func() { _ = c.Run([]Opener{gateway, cell}[i]) })
	}
	t.Cleanup(func() {
		conns[0].Close()
		conns[1].Close()
		running.Wait()
	})
	return conns[0], conns[1]
}

func socketpair(t testing.TB) (ends [2]*os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, fd := range fds {
		if err := syscall.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
		ends[i] = os.NewFile(uintptr(fd), "end")
	}
	return ends
}

// opener takes exchanges with a function.
type opener func(x *Exchange, op byte, payload []byte) error

func (o opener) Opened(x *Exchange, op byte, payload []byte) error { return o(x, op, payload) }
func (o opener) Noted(byte, []byte) error                          { return nil }

var refusing = opener(func(*Exchange, byte, []byte) error { return Malformed("nothing is expected") })

func TestAsk(t *testing.T) {
	echo := opener(func(x *Exchange, op byte, payload []byte) error {
		x.Accept(Unexpected{})
		e := NewEncoder()
		e.Byte(op)
		e.Bytes(payload)
		x.Answer(e)
		x.End()
		return nil
	})
	a, b := pair(t, echo, echo)
	for _, size := range []int{0, 1, 100, readBuffer - headerSize - 1, readBuffer, 3 << 20} {
		var asking sync.WaitGroup
		for _, c := range []*Conn{a, b} {
			for range 4 {
				asking.Go(func() {
					text := strings.Repeat("x", size)
					e := NewMessage(7)
					e.b = append(e.b, text...)
					answer, err := c.Ask(context.Background(), e)
					if err != nil {
						t.Error(err)
						return
					}
					d := NewDecoder(answer)
					if op, got := d.Byte(), d.Bytes(); op != 7 || string(got) != text || d.End() != nil {
						t.Errorf("%d bytes: operation %d with %d bytes came back: %v", size, op, len(got), d.Err())
					}
				})
			}
		}
		asking.Wait()
	}
	for _, c := range []*Conn{a, b} {
		c.mu.Lock()
		if n := len(c.exchanges); n > 0 {
			t.Errorf("%d exchanges are not forgotten", n)
		}
		c.mu.Unlock()
	}
}

// answered is a receiver whose answer is a result.
type answered struct {
	Unexpected
	x      *Exchange
	result chan Result
}

func (r *answered) Answered(payload []byte) error {
	d := NewDecoder(payload)
	res := d.Result(r.x)
	if err := d.End(); err != nil {
		return err
	}
	r.result <- res
	return nil
}

// TestStreams sends a body there and back: whole, and in the order it was sent.
func TestStreams(t *testing.T) {
	back := opener(func(x *Exchange, _ byte, payload []byte) error {
		d := NewDecoder(payload)
		body := d.Body(x, 0)
		if err := d.End(); err != nil {
			return err
		}
		x.Accept(Unexpected{})
		go func() {
			e := NewEncoder()
			out, src := e.Result(x, Result{Response: &agentruntime.Response{Status: 200, Body: body}})
			x.Answer(e)
			if out != nil {
				out.Copy(src)
			}
			x.End()
		}()
		return nil
	})
	a, _ := pair(t, refusing, back)
	for _, size := range []int{0, 1, Window, Window + 1, 1 << 20} {
		text := make([]byte, size)
		for i := range text {
			text[i] = byte(i * i >> 8)
		}
		e := NewMessage(1)
		streams := e.Body(io.NopCloser(bytes.NewReader(text)))
		r := &answered{result: make(chan Result, 1)}
		x, err := a.Begin(e, r, func(x *Exchange) {
			r.x = x
			if streams {
				go x.Send(0).Copy(io.NopCloser(bytes.NewReader(text)))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		res := <-r.result
		got, err := io.ReadAll(res.Response.Body)
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
		}
		x.End()
	}
}

// TestWindow sees that a sender does not run ahead of its reader, and that it hears of a reader that has had enough.
func TestWindow(t *testing.T) {
	sent := make(chan *Outbound, 1)
	endless := opener(func(x *Exchange, _ byte, _ []byte) error {
		x.Accept(Unexpected{})
		out := x.Send(Window)
		sent <- out
		return nil
	})
	a, _ := pair(t, refusing, endless)
	var in *Inbound
	if _, err := a.Begin(NewMessage(1), Unexpected{}, func(x *Exchange) { in = x.Receive(Window) }); err != nil {
		t.Fatal(err)
	}
	out := <-sent
	if n, err := out.Write(make([]byte, Window)); n != Window || err != nil {
		t.Fatal(n, err)
	}
	out.mu.Lock()
	left := out.allowed
	out.mu.Unlock()
	if left != 0 {
		t.Errorf("after a window %d bytes may still be sent", left)
	}
	more := make(chan error, 1)
	go func() {
		_, err := out.Write(make([]byte, 2*Window))
		more <- err
	}()
	if _, err := io.ReadFull(in, make([]byte, Window)); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	if err := <-more; !errors.Is(err, errStopped) {
		t.Errorf("a sender whose reader has had enough got %v", err)
	}
	if _, err := in.Read(make([]byte, 1)); err == nil {
		t.Error("a closed stream can be read")
	}
}

// TestFailedStreamHearsNoMore ends a stream on the receiving side while the sender, who cannot know, goes on and ends it too.
func TestFailedStreamHearsNoMore(t *testing.T) {
	sent := make(chan *Outbound, 1)
	a, b := pair(t, refusing, opener(func(x *Exchange, op byte, _ []byte) error {
		if op == 2 {
			x.Accept(Unexpected{})
			x.Answer(NewEncoder())
			return nil
		}
		x.Accept(Unexpected{})
		sent <- x.Send(Window)
		return nil
	}))
	var in *Inbound
	if _, err := a.Begin(NewMessage(1), Unexpected{}, func(x *Exchange) { in = x.Receive(Window) }); err != nil {
		t.Fatal(err)
	}
	out := <-sent
	in.Fail(context.Canceled)
	if _, err := out.Write([]byte("more")); err != nil {
		t.Fatal(err)
	}
	out.Finish(nil)
	// What comes after them on the same connection arrives: they have not ended it.
	if _, err := a.Ask(t.Context(), NewMessage(2)); err != nil {
		t.Fatalf("the next exchange: %v; the other side: %v", err, b.Err())
	}
	if n, err := in.Read(make([]byte, 9)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("the failed stream reads %d bytes, %v", n, err)
	}
}

// TestMalformed sends what no honest side sends. Each ends the connection.
func TestMalformed(t *testing.T) {
	frame := func(k kind, id uint64, payload string) []byte {
		b := append(make([]byte, headerSize), payload...)
		putHeader(b, k, id)
		return b
	}
	open := frame(kindOpen, 2, "\x01")
	for name, sent := range map[string][]byte{
		"a kind that is none":               frame(kindLimit, 2, ""),
		"no kind":                           frame(0, 2, ""),
		"too large a frame":                 {255, 255, 255, 255, byte(kindOpen), 2, 0, 0, 0, 0, 0, 0, 0},
		"an exchange of the other's":        frame(kindOpen, 3, "\x01"),
		"an exchange twice":                 slices.Concat(open, open),
		"an opening without operation":      frame(kindOpen, 2, ""),
		"an answer to nothing":              frame(kindAnswer, 77, ""),
		"an answer from the wrong side":     slices.Concat(open, frame(kindAnswer, 2, "")),
		"bytes of no stream":                slices.Concat(open, frame(kindData, 2, "x")),
		"a window of no stream":             slices.Concat(open, frame(kindWindow, 2, "\x01\x00\x00\x00")),
		"an end of no stream":               slices.Concat(open, frame(kindEnd, 2, "")),
		"more than the window":              slices.Concat(frame(kindOpen, 2, "\x02"), frame(kindData, 2, strings.Repeat("x", Window+1))),
		"two ends":                          slices.Concat(frame(kindOpen, 2, "\x02"), frame(kindEnd, 2, ""), frame(kindEnd, 2, "")),
		"too large a window":                slices.Concat(frame(kindOpen, 2, "\x03"), frame(kindWindow, 2, "\xff\xff\xff\x7f")),
		"a short window":                    slices.Concat(frame(kindOpen, 2, "\x03"), frame(kindWindow, 2, "\x01")),
		"a note for no exchange but a note": frame(kindData, 0, "x"),
		"an empty note":                     slices.Concat(open, frame(kindNote, 2, "")),
		"a note that nobody expects":        slices.Concat(open, frame(kindNote, 2, "\x09")),
		"two cancellations":                 slices.Concat(open, frame(kindCancel, 2, ""), frame(kindCancel, 2, "")),
	} {
		t.Run(name, func(t *testing.T) {
			ends := socketpair(t)
			defer ends[1].Close()
			c, err := New(ends[0], Gateway)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ends[1].Write(sent); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				ended <- c.Run(opener(func(x *Exchange, op byte, _ []byte) error {
					x.Accept(Unexpected{})
					switch op {
					case 2:
						x.Receive(Window)
					case 3:
						x.Send(Window)
					}
					return nil
				}))
			}()
			select {
			case err := <-ended:
				if !IsMalformed(err) {
					t.Errorf("the connection ended with %v", err)
				}
			case <-time.After(10 * time.Second):
				c.Close()
				t.Error("the connection goes on")
			}
		})
	}
}

// TestObjects passes a function and a stream by reference, and sees that they are given up.
func TestObjects(t *testing.T) {
	gone := make(chan string, 8)
	give := opener(func(x *Exchange, _ byte, _ []byte) error {
		x.Accept(Unexpected{})
		e := NewEncoder()
		e.Bool(false)
		e.Value(x.conn, agentruntime.Value{
			Data:    []byte("data"),
			Remotes: []agentruntime.Remote{&remoteFunc{gone}},
			Streams: []io.ReadCloser{&closer{Reader: strings.NewReader("streamed"), gone: gone}},
		})
		x.Answer(e)
		x.End()
		return nil
	})
	a, b := pair(t, refusing, give)
	v, err := a.AskValue(context.Background(), NewMessage(1))
	if err != nil || string(v.Data) != "data" || len(v.Remotes) != 1 || len(v.Streams) != 1 {
		t.Fatal(v, err)
	}
	res, err := v.Remotes[0].Call(context.Background(), agentruntime.Call{Path: []string{"a", "b"}, Args: agentruntime.Value{Data: []byte("x")}})
	if err != nil || string(res.Data) != "a.b(x)" {
		t.Errorf("%q, %v", res.Data, err)
	}
	_, err = v.Remotes[0].Call(context.Background(), agentruntime.Call{Path: []string{"throw"}})
	var thrown *agentruntime.RemoteError
	if !errors.As(err, &thrown) || thrown.Name != "TypeError" {
		t.Errorf("an exception came back as %v", err)
	}
	if got, err := io.ReadAll(v.Streams[0]); err != nil || string(got) != "streamed" {
		t.Errorf("%q, %v", got, err)
	}
	v.Close()
	if x, y := <-gone, <-gone; x == y {
		t.Errorf("%s was given up twice, the other not", x)
	}
	if _, err := v.Remotes[0].Call(context.Background(), agentruntime.Call{}); err == nil || err.Error() != ErrNoObject.Error() {
		t.Errorf("a call of what was given up: %v", err)
	}
	b.objects.mu.Lock()
	defer b.objects.mu.Unlock()
	if n := len(b.objects.held); n > 0 {
		t.Errorf("%d objects are still held", n)
	}
}

type remoteFunc struct{ gone chan string }

func (r *remoteFunc) Call(_ context.Context, call agentruntime.Call) (agentruntime.Value, error) {
	if len(call.Path) == 1 {
		return agentruntime.Value{}, &agentruntime.RemoteError{Name: "TypeError", Message: "no"}
	}
	return agentruntime.Value{Data: []byte(strings.Join(call.Path, ".") + "(" + string(call.Args.Data) + ")")}, nil
}

func (r *remoteFunc) Close() error {
	r.gone <- "function"
	return nil
}

// closer tells of its first Close: its end closes it, and so may whoever gives it up.
type closer struct {
	io.Reader
	gone chan string
	once sync.Once
}

func (c *closer) Close() error {
	c.once.Do(func() { c.gone <- "stream" })
	return nil
}

// TestSocket passes a socket by reference: messages go both ways, and how it was closed.
func TestSocket(t *testing.T) {
	ours, theirs := agentruntime.NewSocketPair()
	give := opener(func(x *Exchange, _ byte, _ []byte) error {
		x.Accept(Unexpected{})
		e := NewEncoder()
		e.Socket(x.conn, theirs)
		x.Answer(e)
		x.End()
		return nil
	})
	a, _ := pair(t, refusing, give)
	b, err := a.Ask(context.Background(), NewMessage(1))
	if err != nil {
		t.Fatal(err)
	}
	d := NewDecoder(b)
	far := d.Socket(a)
	if err := d.End(); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	large := agentruntime.Message{Data: bytes.Repeat([]byte{1, 2, 3}, 200_000)}
	for _, m := range []agentruntime.Message{{Text: true, Data: []byte("text")}, {}, large} {
		for _, way := range [][2]agentruntime.Socket{{ours, far}, {far, ours}} {
			if err := way[0].Send(ctx, m); err != nil {
				t.Fatal(err)
			}
			got, err := way[1].Receive(ctx)
			if err != nil || got.Text != m.Text || !bytes.Equal(got.Data, m.Data) {
				t.Fatalf("%d bytes came as %d, %v", len(m.Data), len(got.Data), err)
			}
		}
	}
	if err := far.Close(4001, "enough"); err != nil {
		t.Fatal(err)
	}
	var closed *agentruntime.CloseError
	if _, err := ours.Receive(ctx); !errors.As(err, &closed) || closed.Code != 4001 || closed.Reason != "enough" {
		t.Errorf("closed with %v", err)
	}
	_ = ours.Close(4001, "")
	if _, err := far.Receive(ctx); !errors.As(err, &closed) || closed.Code != 4001 {
		t.Errorf("closed with %v", err)
	}
}

// TestMessages writes each message and reads it again.
func TestMessages(t *testing.T) {
	at := time.UnixMilli(1795000000000)
	check := func(name string, v any, write func(*Encoder), read func(*Decoder) any) {
		t.Run(name, func(t *testing.T) {
			e := NewEncoder()
			write(e)
			payload := e.b[headerSize:]
			d := NewDecoder(payload)
			if got := read(&d); d.End() != nil || !reflect.DeepEqual(got, v) {
				t.Errorf("%+v became %+v: %v", v, got, d.Err())
			}
			// A message that breaks off anywhere is refused, and read without a panic.
			for n := range payload {
				d := NewDecoder(payload[:n])
				read(&d)
				if d.End() == nil {
					t.Errorf("%d of %d bytes are taken for the whole message", n, len(payload))
				}
			}
		})
	}
	req := &agentruntime.Request{Method: "POST", URL: "https://x.example/", Header: http.Header{"A": {"1", "2"}, "B": {""}}, ContentLength: -1, Redirect: "manual", CF: []byte("{}")}
	check("request", req, func(e *Encoder) { e.Request(req) }, func(d *Decoder) any { return d.Request() })
	rep := agentruntime.Report{Outcome: agentruntime.OutcomeExceededMemory, CPU: 3, Wall: 4, LogsDropped: 5, Subrequests: 6}
	check("report", rep, func(e *Encoder) { e.Report(rep) }, func(d *Decoder) any { return d.Report() })
	target := agentruntime.Target{Kind: agentruntime.TargetActor, Binding: "B", Actor: "00", Name: "n", Entry: agentruntime.Entry{Name: "E", Props: []byte{}}}
	check("target", target, func(e *Encoder) { e.Target(target) }, func(d *Decoder) any { return d.Target() })
	op := agentruntime.KVOp{Binding: "B", Verb: agentruntime.KVPut, Key: "k", Value: []byte{}, Expiration: at, If: true, IfVersion: "v", Prefix: "p", Cursor: "c", Limit: 7}
	check("kv operation", op, func(e *Encoder) { e.KVOp(op) }, func(d *Decoder) any { return d.KVOp() })
	res := agentruntime.KVResult{Found: true, Version: "v", Keys: []agentruntime.KVKey{{Name: "k", Expiration: at, Metadata: []byte("1")}}, Cursor: "c"}
	check("kv result", res, func(e *Encoder) { e.KVResult(res) }, func(d *Decoder) any { return d.KVResult() })
	point := agentruntime.Event{Point: &agentruntime.DataPoint{Binding: "B", Indexes: []string{"i"}, Blobs: []string{"", "b"}, Doubles: []float64{1.5}}}
	check("data point", point, func(e *Encoder) { e.Event(point) }, func(d *Decoder) any { return d.Event() })
	log := agentruntime.Event{Log: &agentruntime.Log{Time: at, Level: "info", Message: "m"}}
	check("log", log, func(e *Encoder) { e.Event(log) }, func(d *Decoder) any { return d.Event() })
	batch := durable.Batch{Seq: 3, DeleteAll: true, Ops: []durable.Op{{Key: "a", Value: []byte{}}, {Key: "b", Delete: true}}, Alarm: &durable.Alarm{At: at, Scheduled: at, Retries: 2}}
	check("batch", batch, func(e *Encoder) { e.Batch(batch) }, func(d *Decoder) any { b, _ := d.Batch(); return b })
	rng := durable.Range{StartAfter: "a", End: "z", Prefix: "p", Reverse: true, Limit: 3}
	check("range", rng, func(e *Encoder) { e.Range(rng) }, func(d *Decoder) any { return d.Range() })
	state := durable.State{Name: "n", Seq: 4, Alarm: durable.Alarm{At: at}, Keys: 1, Bytes: 2}
	check("state", state, func(e *Encoder) { e.State(state) }, func(d *Decoder) any { return d.State() })
	entries := []durable.Entry{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte{}}}
	check("entries", entries, func(e *Encoder) { e.Entries(entries) }, func(d *Decoder) any { return d.Entries() })
	values := [][]byte{nil, {}, []byte("v")}
	check("values", values, func(e *Encoder) { e.Values(values) }, func(d *Decoder) any { return d.Values() })
	load := Load{Name: "a", Bundle: &agentruntime.Bundle{Code: "code", Map: []byte("map")}, Limits: agentruntime.Limits{}.WithDefaults(), Procs: 2,
		Bindings: []agentruntime.Binding{{Name: "B", Kind: agentruntime.BindingDurable, Class: "C", Agent: "x", Namespace: "n"}}}
	check("load", load, func(e *Encoder) { e.Load(load) }, func(d *Decoder) any { return d.Load() })
}

// TestErrors sees that errors are what they were, for errors.Is and errors.As.
func TestErrors(t *testing.T) {
	cross := func(err error) error {
		e := NewEncoder()
		e.Error(err)
		d := NewDecoder(e.b[headerSize:])
		got := d.Error()
		if err := d.End(); err != nil {
			t.Fatal(err)
		}
		if got.Error() != err.Error() {
			t.Errorf("%q became %q", err, got)
		}
		return got
	}
	for _, s := range sentinels {
		if err := cross(errors.Join(errors.New("around"), s)); !errors.Is(err, s) {
			t.Errorf("%v is not %v any more", err, s)
		}
	}
	var remote *agentruntime.RemoteError
	if err := cross(&agentruntime.RemoteError{Name: "E", Message: "m", Stack: "s", Reset: true}); !errors.As(err, &remote) || !remote.Reset || remote.Stack != "s" {
		t.Errorf("%#v", err)
	}
	var refused *agentruntime.RefusedError
	if err := cross(&agentruntime.RefusedError{Code: "C", Rule: "R", Message: "m"}); !errors.As(err, &refused) || refused.Rule != "R" {
		t.Errorf("%#v", err)
	}
	var limit *durable.LimitError
	if err := cross(&durable.LimitError{What: "key", Size: 3, Limit: 2}); !errors.As(err, &limit) || !errors.Is(err, durable.ErrTooLarge) {
		t.Errorf("%#v", err)
	}
}

// TestBatchIsChecked sends batches that a store must not get.
func TestBatchIsChecked(t *testing.T) {
	for name, b := range map[string]durable.Batch{
		"no place in the order": {},
		"a key twice":           {Seq: 1, Ops: []durable.Op{{Key: "a", Value: []byte{}}, {Key: "a", Delete: true}}},
		"too long a key":        {Seq: 1, Ops: []durable.Op{{Key: strings.Repeat("k", durable.MaxKeyBytes+1), Delete: true}}},
		"too long a value":      {Seq: 1, Ops: []durable.Op{{Key: "a", Value: make([]byte, durable.MaxValueBytes+1)}}},
		"a write of nothing":    {Seq: 1, Ops: []durable.Op{{Key: "a"}}},
	} {
		e := NewEncoder()
		e.Batch(b)
		d := NewDecoder(e.b[headerSize:])
		if d.Batch(); !IsMalformed(d.End()) {
			t.Errorf("%s: %v", name, d.Err())
		}
	}
}

// FuzzFrames feeds a connection of the gateway's side whatever may come from a cell. It must end, or go on, without a panic.
// FuzzKept holds what a cell says of its actors' sockets to what one may be.
func FuzzKept(f *testing.F) {
	for _, ev := range []agentruntime.SocketEvent{
		{Socket: agentruntime.SocketInfo{ID: 1, Tags: []string{"a"}, Attachment: []byte{1}}, Message: &agentruntime.Message{Text: true, Data: []byte("x")}},
		{Close: &agentruntime.CloseError{Code: 1000, Reason: "bye"}}, {Error: "no"},
	} {
		e := NewEncoder()
		e.SocketEvent(ev)
		f.Add(append([]byte(nil), e.b[headerSize:]...))
	}
	e := NewEncoder()
	e.AutoResponse(&agentruntime.AutoResponse{Request: "ping", Response: "pong"})
	f.Add(append([]byte(nil), e.b[headerSize:]...))
	f.Fuzz(func(t *testing.T, sent []byte) {
		d := NewDecoder(sent)
		ev := d.SocketEvent()
		if err := d.End(); err == nil {
			e := NewEncoder()
			e.SocketEvent(ev)
			again := NewDecoder(e.b[headerSize:])
			if got := again.SocketEvent(); again.End() != nil || got.Name() != ev.Name() || got.Socket.ID != ev.Socket.ID {
				t.Fatalf("%+v became %+v", ev, got)
			}
		}
		d = NewDecoder(sent)
		if p := d.AutoResponse(); d.End() == nil && p != nil && p.Check() != nil {
			t.Fatal("a pair that is too long was taken")
		}
		d = NewDecoder(sent)
		d.SocketInfos()
	})
}

func FuzzFrames(f *testing.F) {
	frame := func(k kind, id uint64, payload ...byte) []byte {
		b := append(make([]byte, headerSize), payload...)
		putHeader(b, k, id)
		return b
	}
	for op := byte(0); op < 8; op++ {
		f.Add(append(frame(kindOpen, 2, op, 1, 2, 3), frame(kindData, 2, 1, 2, 3)...))
	}
	f.Add(frame(kindOpen, 2, opCall, 1, 0, 0, 0))
	f.Add(append(frame(kindOpen, 2, opSocket, 1), frame(kindData, 2, 0, 4, 0, 0, 0, 1, 2, 3, 4)...))
	f.Add(frame(kindNote, 0, noteRelease, 1))
	f.Fuzz(func(t *testing.T, sent []byte) {
		ends := socketpair(t)
		c, err := New(ends[0], Gateway)
		if err != nil {
			t.Fatal(err)
		}
		ours, _ := agentruntime.NewSocketPair()
		c.export(&remoteFunc{make(chan string, 1)})
		c.export(&exportedSocket{ours})
		go func() {
			_, _ = ends[1].Write(sent)
			_ = ends[1].Close()
		}()
		_ = c.Run(opener(func(x *Exchange, op byte, payload []byte) error {
			x.Accept(Unexpected{})
			d := NewDecoder(payload)
			switch op % 8 {
			case 0:
				d.Request().Body = d.Body(x, Window)
			case 1:
				d.Result(x)
			case 2:
				d.Batch()
			case 3:
				d.Event()
			case 4:
				d.Call(c)
			case 5:
				d.KVOp()
			case 6:
				_, _ = d.Loaded()
			case 7:
				_, _, _ = d.Ended()
			}
			return d.End()
		}))
	})
}
