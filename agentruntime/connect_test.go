package agentruntime

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// plainConn is a TCP connection on the loopback as a Conn. StartTLS only marks what is written from then on.
type plainConn struct {
	*net.TCPConn
	secured bool
}

func (c *plainConn) StartTLS(context.Context) error {
	c.secured = true
	return nil
}

func (c *plainConn) Write(p []byte) (int, error) {
	if c.secured {
		p = []byte("over tls: " + string(p))
	}
	n, err := c.TCPConn.Write(p)
	return min(n, len(p)), err
}

// connectingHost opens connections to one server on the loopback.
type connectingHost struct {
	testHost
	t    *testing.T
	addr string
}

func (h *connectingHost) Connect(_ context.Context, address string, opt ConnectOptions) (Conn, error) {
	if address != "db.example:5432" {
		return nil, &RefusedError{Code: "EGRESS_DENIED", Rule: "default deny", Message: "no rule allows " + address}
	}
	if opt.TLS {
		return nil, errors.New("this server speaks no TLS")
	}
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		return nil, err
	}
	h.t.Cleanup(func() { _ = c.Close() })
	return &plainConn{TCPConn: c.(*net.TCPConn)}, nil
}

func upperServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 1024)
				for {
					n, err := c.Read(buf)
					_, _ = io.WriteString(c, strings.ToUpper(string(buf[:n])))
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestConnect(t *testing.T) {
	addr := upperServer(t)
	for _, c := range []struct{ name, src, want string }{
		{"there and back", `const s = connect("db.example:5432"); const w = s.writable.getWriter(); await w.write(enc("hello"));
			const r = s.readable.getReader(); const { value } = await r.read(); await s.close();
			return dec(value) + " " + (await s.opened).remoteAddress + " " + s.secureTransport`, "HELLO db.example:5432 off"},
		{"an address in parts, to the end", `const s = connect({ hostname: "db.example", port: 5432 }); const w = s.writable.getWriter();
			await w.write(enc("to the ")); await w.write(enc("end")); await w.close(); const text = await new Response(s.readable).text();
			await s.closed; return text`, "TO THE END"},
		{"startTls", `const s = connect("db.example:5432", { secureTransport: "starttls" }); const w = s.writable.getWriter(); await w.write(enc("a"));
			const r = s.readable.getReader(); await r.read(); w.releaseLock(); r.releaseLock(); const t = s.startTls();
			const tw = t.writable.getWriter(); await tw.write(enc("b")); const { value } = await t.readable.getReader().read();
			return dec(value) + " " + s.upgraded + " " + t.secureTransport`, "OVER TLS: B true on"},
		{"a refused address", `const s = connect("other.example:1"); try { await s.opened } catch (e) {
			let read; try { await s.readable.getReader().read() } catch (e) { read = e.code }
			return e.code + " " + e.rule + " " + e.message + " " + read }`, "EGRESS_DENIED default deny no rule allows other.example:1 EGRESS_DENIED"},
		{"no port", `try { connect("db.example") } catch (e) { return e.name + ": " + e.message }`, `TypeError: connect(): the address "db.example" has no port`},
		{"startTls without the option", `try { connect("db.example:5432").startTls() } catch (e) { return e.message }`,
			`startTls(): the socket must have been opened with secureTransport: "starttls".`},
		{"a chunk of text", `try { await connect("db.example:5432").writable.getWriter().write("text") } catch (e) { return e.message }`,
			"A socket's writable takes bytes: an ArrayBuffer or a view of one."},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t, `import { connect } from "cloudflare:sockets";
				const enc = s => new TextEncoder().encode(s), dec = b => new TextDecoder().decode(b);
				export default { async fetch() { return new Response(await (async () => { `+c.src+` })()) } }`, Config{})
			body, _, err, rep := answer(t, a.Fetch(t.Context(), &connectingHost{t: t, addr: addr}, get("/")))
			if err != nil || body != c.want || rep.Outcome != OutcomeOK {
				t.Errorf("%q, %v, %s; want %q", body, err, rep.Outcome, c.want)
			}
		})
	}
}
