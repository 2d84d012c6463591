package integration

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// startDNS is a DNS server on the loopback that knows some names and addresses, by their records.
func startDNS(t *testing.T, records ...string) string {
	t.Helper()
	known := map[dns.Question][]dns.RR{}
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		q := dns.Question{Name: rr.Header().Name, Qtype: rr.Header().Rrtype, Qclass: dns.ClassINET}
		known[q] = append(known[q], rr)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(r)
		q := r.Question[0]
		q.Name = strings.ToLower(q.Name)
		if m.Answer = known[q]; m.Answer == nil {
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return conn.LocalAddr().String()
}

// TestBotSources has clients of many addresses: of data centres, of search engines and of those who say that they are one, and some that ask
// for too much.
func TestBotSources(t *testing.T) {
	t.Parallel()
	resolver := startDNS(t,
		"9.2.0.192.in-addr.arpa. PTR crawl-9.googlebot.com.", "crawl-9.googlebot.com. A 192.0.2.9",
		"8.2.0.192.in-addr.arpa. PTR crawl-8.googlebot.com.", "crawl-8.googlebot.com. A 192.0.2.99")
	caddyfile := siteWith("\tservers {\n\t\ttrusted_proxies static 127.0.0.1\n\t}", "agent bots {\n main ./bots.ts\n}", fmt.Sprintf(`@pages path /page*
bot_score @pages {
	pages 20
}
@others not path /page*
bot_score @others {
	ranges datacenter ./datacenter.txt
	ranges crawler DuckDuckBot ./duck.json
	verify_crawlers %s
	honeypot /wp-login.php /.git/*
	block below 2
}
agent bots`, resolver))
	s := startServer(t, map[string]string{
		"Caddyfile":      caddyfile,
		"bots.ts":        `export default { fetch: (request) => Response.json(request.cf.botManagement, { headers: { "Set-Cookie": "a=b" } }) }`,
		"datacenter.txt": "# data centres\n198.51.100.0/24\n",
		"duck.json":      `{"prefixes": [{"ipv4Prefix": "203.0.113.0/28"}]}`,
	})
	const google, duck = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)"
	for _, c := range []struct {
		name, from, userAgent string
		status                int
		reasons, verified     string
	}{
		{"a browser", "192.0.2.1", "", 200, "", ""},
		{"a browser in a data centre", "198.51.100.7", "", 200, "datacenter", ""},
		{"Googlebot", "192.0.2.9", google, 200, "claimed-crawler verified-crawler", "Googlebot"},
		{"a name that is another's", "192.0.2.8", google, 403, "claimed-crawler spoofed-crawler", ""},
		{"no name", "192.0.2.7", google, 403, "claimed-crawler spoofed-crawler", ""},
		{"DuckDuckBot", "203.0.113.5", duck, 200, "claimed-crawler verified-crawler", "duckduckbot"},
		{"who says so", "203.0.113.55", duck, 403, "claimed-crawler spoofed-crawler", ""},
	} {
		path := "/" + fmt.Sprintf("%x", c.name)
		headers := []string{"X-Forwarded-For", c.from}
		if c.userAgent != "" {
			headers = append(headers, "User-Agent", c.userAgent)
		}
		resp, body := s.do("GET", path, "", headers...)
		want(t, c.name+": status", resp.StatusCode, c.status)
		r := s.waitFull("the record of "+c.name, ofPath(path))
		want(t, c.name+": reasons", strings.Join(r.Reasons, " "), c.reasons)
		want(t, c.name+": verified", r.VerifiedBot, c.verified)
		if c.status == 200 {
			mustContain(t, c.name+": what the code sees", body, fmt.Sprintf(`"verifiedBot":%v`, c.verified != ""))
		}
	}

	// Who asks for what nobody links to is known for it, and its neighbour is not.
	s.do("GET", "/.git/config", "", "X-Forwarded-For", "192.0.2.50")
	for from, reasons := range map[string]string{"192.0.2.50": "honeypot", "192.0.2.51": ""} {
		path := "/after/" + from
		s.do("GET", path, "", "X-Forwarded-For", from)
		r := s.waitFull("the record of "+from, ofPath(path))
		want(t, from+": reasons", strings.Join(r.Reasons, " "), reasons)
	}

	// Many pages, all different, with cookies that never come back.
	for i := range 22 {
		s.do("GET", fmt.Sprintf("/page/%d", i), "", "X-Forwarded-For", "192.0.2.60")
	}
	r := s.waitFull("the record of the last page", ofPath("/page/21"))
	want(t, "the reasons of many pages", strings.Join(r.Reasons, " "), "page-rate page-spread no-cookies")

	// A list that changed is read at a reload, under load; one that cannot be read changes nothing.
	var failed, asked atomic.Int32
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			resp, _, err := s.try("GET", "/load", "", "X-Forwarded-For", "192.0.2.70")
			if asked.Add(1); err != nil || resp.StatusCode != http.StatusOK {
				failed.Add(1)
			}
		}
	}()
	datacenter := func(path string) string {
		s.do("GET", path, "", "X-Forwarded-For", "192.0.2.80")
		return strings.Join(s.waitFull("the record of "+path, ofPath(path)).Reasons, " ")
	}
	s.write("datacenter.txt", "192.0.2.80\n")
	if out, err := s.reload(); err != nil {
		t.Fatal(out, err)
	}
	want(t, "after the list has changed", datacenter("/changed"), "datacenter")
	s.write("datacenter.txt", "192.0.2.80\nhello\n")
	out, err := s.reload()
	if err == nil {
		t.Error("a list that cannot be read was taken")
	}
	mustContain(t, "the error", out, "datacenter.txt:2:", "is no address and no prefix")
	want(t, "after a list that cannot be read", datacenter("/kept"), "datacenter")
	close(stop)
	<-done
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed during the reloads", failed.Load(), asked.Load())
	}
}
