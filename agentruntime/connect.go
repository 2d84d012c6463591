package agentruntime

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

// tcpSocket is the state of what connect() gives (https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/).
type tcpSocket struct {
	r         *realm
	address   string
	transport string // secureTransport: off, on or starttls
	halfOpen  bool
	upgraded  bool
	conn      *lateConn
	in        *readable
	out       *writable
	opened    lazyPromise
	closed    lazyPromise
}

// lateConn is a connection that may still be opening. What uses it, off the loop, waits until it is there.
type lateConn struct {
	ready chan struct{} // closed when conn or err is set
	conn  Conn
	err   error
}

func (c *lateConn) settle(conn Conn, err error) {
	c.conn, c.err = conn, err
	close(c.ready)
}

func (c *lateConn) get() (Conn, error) {
	<-c.ready
	return c.conn, c.err
}

// close closes the connection, one that is still opening when it is there.
func (c *lateConn) close() {
	go func() {
		if conn, err := c.get(); err == nil {
			_ = conn.Close()
		}
	}()
}

// socketInput is the connection as the reader of a stream, which calls Close on the loop when it has come to its end.
type socketInput struct {
	s    *tcpSocket
	over bool // the other side has ended
}

func (i *socketInput) Read(p []byte) (int, error) {
	conn, err := i.s.conn.get()
	if err != nil {
		return 0, err
	}
	n, err := conn.Read(p)
	if err == io.EOF {
		i.over = true
	}
	return n, err
}

func (i *socketInput) Close() error {
	if !i.over || !i.s.halfOpen {
		i.s.shut()
	}
	return nil
}

// connect opens a TCP connection, through the agent's egress policy.
func (r *realm) connect(address, options goja.Value) goja.Value {
	s := &tcpSocket{transport: "off", address: r.socketAddress(address)}
	r.dictionary(options, "the options of connect()")
	if v := optional(options, "secureTransport"); v != nil {
		switch s.transport = r.str(v); s.transport {
		case "off", "on", "starttls":
		default:
			panic(r.typeError(fmt.Sprintf("connect(): secureTransport must be off, on or starttls, not %q", s.transport)))
		}
	}
	if v := optional(options, "allowHalfOpen"); v != nil {
		s.halfOpen = v.ToBoolean()
	}
	if err := r.subrequest(); err != nil {
		r.throw(err)
	}
	host, opt := r.current().host(), ConnectOptions{TLS: s.transport == "on"}
	return r.openSocket(s, func(ctx context.Context) (Conn, error) { return host.Connect(ctx, s.address, opt) })
}

// openSocket makes the socket's object and streams; open makes its connection, once what was written before is durable.
func (r *realm) openSocket(s *tcpSocket, open func(ctx context.Context) (Conn, error)) goja.Value {
	s.r, s.opened.r, s.closed.r = r, r, r
	s.conn = &lateConn{ready: make(chan struct{})}
	s.in = r.streamOfReader(&socketInput{s: s})
	s.out = r.newWritable(strategy{mark: 1}, s.write, s.finishWriting, func(_ goja.Value, done func(goja.Value)) {
		s.shut()
		done(nil)
	})
	late := s.conn
	answer := r.startGated(func(ctx context.Context) (any, error) {
		conn, err := open(ctx)
		return conn, err
	}, func(v any) (goja.Value, error) {
		late.settle(v.(Conn), nil)
		info := r.rt.NewObject()
		_ = info.Set("remoteAddress", s.address)
		_ = info.Set("localAddress", goja.Undefined())
		return info, nil
	})
	r.upon(answer, s.opened.fulfil, func(err goja.Value) {
		late.settle(nil, r.thrownError(err))
		s.opened.reject(err)
		s.closed.reject(err)
		s.out.failIfOpen(err)
	})
	return r.instance("Socket", s)
}

// socketAddress reads "host:port" or {hostname, port}.
func (r *realm) socketAddress(v goja.Value) string {
	if obj, ok := v.(*goja.Object); ok {
		name, port := obj.Get("hostname"), obj.Get("port")
		if !given(name) || !given(port) {
			panic(r.typeError("connect(): the address needs a hostname and a port"))
		}
		text := r.str(name)
		if strings.Contains(text, ":") && !strings.HasPrefix(text, "[") {
			text = "[" + text + "]"
		}
		return text + ":" + strconv.FormatInt(port.ToInteger(), 10)
	}
	text := r.str(v)
	if strings.LastIndexByte(text, ':') <= strings.LastIndexByte(text, ']') {
		panic(r.typeError(fmt.Sprintf("connect(): the address %q has no port", text)))
	}
	return text
}

// use does something with the connection off the loop, once what was written before is durable.
func (s *tcpSocket) use(fn func(conn Conn) error, done func(goja.Value)) {
	late := s.conn
	answer := s.r.startGated(func(context.Context) (any, error) {
		conn, err := late.get()
		if err == nil {
			err = fn(conn)
		}
		return nil, err
	}, nil)
	s.r.upon(answer, func(goja.Value) { done(nil) }, done)
}

func (s *tcpSocket) write(chunk goja.Value, done func(goja.Value)) {
	data, ok := s.r.bytesOf(chunk)
	if !ok {
		done(s.r.typeError("A socket's writable takes bytes: an ArrayBuffer or a view of one."))
		return
	}
	data = append([]byte(nil), data...)
	s.use(func(conn Conn) error {
		_, err := conn.Write(data)
		return err
	}, done)
}

func (s *tcpSocket) finishWriting(_ goja.Value, done func(goja.Value)) {
	s.use(Conn.CloseWrite, done)
}

// shut closes the connection.
func (s *tcpSocket) shut() {
	if s.upgraded {
		return // it belongs to another socket
	}
	s.conn.close()
	s.closed.fulfil(goja.Undefined())
}

// close ends the socket with both its streams.
func (s *tcpSocket) close() goja.Value {
	if s.in.state == streamReadable {
		s.in.cancel(goja.Undefined(), func(goja.Value) {})
	}
	s.out.failIfOpen(s.r.typeError("The socket was closed."))
	s.shut()
	return s.closed.value()
}

// startTLS goes on over TLS, with a socket of its own.
func (s *tcpSocket) startTLS() goja.Value {
	r := s.r
	switch {
	case s.transport != "starttls":
		panic(r.typeError("startTls(): the socket must have been opened with secureTransport: \"starttls\"."))
	case s.upgraded:
		panic(r.typeError("startTls(): the socket was upgraded before; use the one that was returned then."))
	case s.in.reader != nil || s.out.writer != nil:
		panic(r.typeError("startTls(): release the locks of the socket's streams first."))
	}
	s.upgraded = true
	s.in.acquire(false)
	s.out.acquireWriter()
	s.closed.fulfil(goja.Undefined())
	next := &tcpSocket{address: s.address, transport: "on", halfOpen: s.halfOpen}
	late := s.conn
	return r.openSocket(next, func(ctx context.Context) (Conn, error) {
		conn, err := late.get()
		if err == nil {
			err = conn.StartTLS(ctx)
		}
		return conn, err
	})
}

func init() {
	(&webClass{
		name: "Socket",
		members: []member{
			{name: "readable", get: getter(func(r *realm, s *tcpSocket) goja.Value { return r.readableValue(s.in) })},
			{name: "writable", get: getter(func(r *realm, s *tcpSocket) goja.Value { return r.writableValue(s.out) })},
			{name: "opened", get: getter(func(_ *realm, s *tcpSocket) goja.Value { return s.opened.value() })},
			{name: "closed", get: getter(func(_ *realm, s *tcpSocket) goja.Value { return s.closed.value() })},
			{name: "upgraded", get: getter(func(r *realm, s *tcpSocket) goja.Value { return r.rt.ToValue(s.upgraded) })},
			{name: "secureTransport", get: getter(func(r *realm, s *tcpSocket) goja.Value { return r.rt.ToValue(s.transport) })},
			{name: "close", call: method(func(_ *realm, s *tcpSocket, _ goja.FunctionCall) goja.Value { return s.close() })},
			{name: "startTls", call: method(func(_ *realm, s *tcpSocket, _ goja.FunctionCall) goja.Value { return s.startTLS() })},
		},
	}).declare()
}
