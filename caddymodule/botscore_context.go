package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-edge/gatehouse/bot"
	"github.com/gatehouse-edge/gatehouse/record"
)

// botClients are what this server's clients did a short while ago, whatever its configuration.
var botClients = bot.NewClients(nil)

// Kinds of lists of addresses.
const (
	rangesDatacenter = "datacenter"
	rangesCrawler    = "crawler"
)

// BotRanges is a list of addresses, in files.
type BotRanges struct {
	// Kind is datacenter, where no browsers of people are, or crawler, where those of one operator are.
	Kind string `json:"kind"`
	// Crawler is a part of the crawler's user agents.
	Crawler string   `json:"crawler,omitempty"`
	Files   []string `json:"files"`
	// Digest is that of what the files held when the Caddyfile was read. Caddy takes a configuration that has not changed for
	// the one that runs: this is what makes a reload read changed files.
	Digest string `json:"digest,omitempty"`
	Place  string `json:"place,omitempty"`
}

// botRanges is a list that was read.
type botRanges struct {
	kind, crawler string
	prefixes      bot.Prefixes
}

func (l BotRanges) load() (*botRanges, error) {
	r := &botRanges{kind: l.Kind, crawler: strings.ToLower(l.Crawler)}
	if l.Kind != rangesDatacenter && l.Kind != rangesCrawler || (l.Crawler != "") != (l.Kind == rangesCrawler) || len(l.Files) == 0 {
		return nil, errors.New("it is datacenter and files, or crawler, a part of its user agents and files")
	}
	for _, name := range l.Files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		err = r.prefixes.Read(f, name)
		f.Close()
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// VerifyCrawlers looks up whether crawlers come from their operators' addresses.
type VerifyCrawlers struct {
	// Resolver is the address and port of a DNS server; by default the system's resolver is asked.
	Resolver string `json:"resolver,omitempty"`
}

func (c *VerifyCrawlers) crawlers() (*bot.Crawlers, error) {
	if c.Resolver == "" {
		return bot.NewCrawlers(net.DefaultResolver), nil
	}
	if _, err := netip.ParseAddrPort(c.Resolver); err != nil {
		return nil, fmt.Errorf("%q is not the address and port of a DNS server, such as 127.0.0.1:53", c.Resolver)
	}
	return bot.NewCrawlers(&net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, c.Resolver)
	}}), nil
}

// context is what is known of a request beside what it says.
func (b *BotScore) context(v *visit, r *http.Request) (c bot.Context) {
	addr, err := netip.ParseAddr(v.clientIP)
	if err != nil {
		return c
	}
	for _, pattern := range b.Honeypots {
		if begin, all := strings.CutSuffix(pattern, "*"); r.URL.Path == pattern || all && strings.HasPrefix(r.URL.Path, begin) {
			botClients.Trap(addr)
		}
	}
	c.Trapped = len(b.Honeypots) > 0 && botClients.Trapped(addr)
	crawler := ""
	for _, list := range b.ranges {
		switch list.kind {
		case rangesDatacenter:
			c.Datacenter = c.Datacenter || list.prefixes.Contains(addr)
		case rangesCrawler:
			if !strings.Contains(strings.ToLower(r.UserAgent()), list.crawler) {
				continue
			}
			if crawler = list.crawler; list.prefixes.Contains(addr) {
				c.Crawler = bot.OriginTrue
			} else if c.Crawler == bot.OriginUnknown {
				c.Crawler = bot.OriginFalse
			}
		}
	}
	if c.Crawler == bot.OriginUnknown && b.crawlers != nil {
		crawler, c.Crawler = b.crawlers.Verify(r.Context(), addr, r.UserAgent())
	}
	if c.Crawler == bot.OriginTrue {
		v.rec.Write(func(e *record.Entry) { e.Who.VerifiedBot = crawler })
	}
	if b.Pages > 0 && isPage(r) {
		c.Habits = botClients.Page(addr, r.URL.Path, b.Pages)
	}
	return c
}

// isPage tells whether a request asks for a page, and not for what a page consists of.
func isPage(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// answered notes an answer that set a cookie for a request that brought none.
func (b *BotScore) answered(v *visit, w http.ResponseWriter, r *http.Request) {
	if b.Pages == 0 || !isPage(r) || len(w.Header()["Set-Cookie"]) == 0 || len(r.Header["Cookie"]) > 0 {
		return
	}
	if addr, err := netip.ParseAddr(v.clientIP); err == nil {
		botClients.Cookieless(addr)
	}
}

// parseRanges reads: ranges datacenter FILE..., or ranges crawler PART FILE...
func parseRanges(d *caddyfile.Dispenser) (l BotRanges, err error) {
	l.Place = place(d)
	args := d.RemainingArgs()
	if len(args) > 0 {
		l.Kind, args = args[0], args[1:]
	}
	if l.Kind == rangesCrawler && len(args) > 0 {
		if l.Crawler, args = args[0], args[1:]; len(l.Crawler) < 3 {
			return l, d.Errf("ranges crawler: %q is in too many user agents to tell anything; give a part of three bytes or more", l.Crawler)
		}
	}
	if l.Kind != rangesDatacenter && l.Kind != rangesCrawler || len(args) == 0 {
		return l, d.Err("ranges takes a kind and files, for example: ranges datacenter ./feeds/datacenter.txt, or: ranges crawler Googlebot ./feeds/googlebot.json")
	}
	l.Files = args
	if _, err := l.load(); err != nil {
		return l, d.WrapErr(err)
	}
	sum := sha256.New()
	for _, name := range l.Files {
		f, err := os.Open(name)
		if err != nil {
			return l, d.WrapErr(err)
		}
		_, err = io.Copy(sum, f)
		f.Close()
		if err != nil {
			return l, d.WrapErr(err)
		}
	}
	l.Digest = hex.EncodeToString(sum.Sum(nil)[:8])
	return l, nil
}

// parseVerifyCrawlers reads: verify_crawlers, with the address of a resolver or without.
func parseVerifyCrawlers(d *caddyfile.Dispenser) (*VerifyCrawlers, error) {
	c := new(VerifyCrawlers)
	if d.NextArg() {
		c.Resolver = d.Val()
	}
	if d.NextArg() {
		return nil, d.ArgErr()
	}
	crawlers, err := c.crawlers()
	if err != nil {
		return nil, d.WrapErr(err)
	}
	crawlers.Close()
	return c, nil
}
