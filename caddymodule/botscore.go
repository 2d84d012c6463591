package caddymodule

import (
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/bot"
	"github.com/gatehouse-edge/gatehouse/bot/botauth"
	"github.com/gatehouse-edge/gatehouse/record"
)

func init() {
	caddy.RegisterModule(new(BotScore))
}

// BotScore scores each request from 1, surely automated, to 99, and can refuse low scores, ask a browser for a proof of work, or tag them.
type BotScore struct {
	// BlockBelow refuses requests whose score is below it; 0 refuses none.
	BlockBelow int `json:"block_below,omitempty"`
	// Challenge, if it is there, asks for a proof of work.
	Challenge *ChallengeConfig `json:"challenge,omitempty"`
	// Tags name low scores.
	Tags []BotTag `json:"tags,omitempty"`
	// Agents are those that are let in by who they prove to be.
	Agents []AllowedAgent `json:"agents,omitempty"`
	// Ranges are lists of addresses.
	Ranges []BotRanges `json:"ranges,omitempty"`
	// VerifyCrawlers, if it is there, looks up whether crawlers come from their operators' addresses.
	VerifyCrawlers *VerifyCrawlers `json:"verify_crawlers,omitempty"`
	// Honeypots are paths, with * at their end for all that begin so, that nobody links to.
	Honeypots []string `json:"honeypots,omitempty"`
	// Pages is how many pages a minute of one client count against it; 0 counts none.
	Pages int `json:"pages,omitempty"`
	// Mode is enforce, the default, or shadow.
	Mode string `json:"mode,omitempty"`

	app        *App
	allowed    []bot.AllowedAgent
	challenger *challenger // nil without Challenge
	ranges     []*botRanges
	crawlers   *bot.Crawlers // nil without VerifyCrawlers
}

// BotTag names scores below a bound.
type BotTag struct {
	Below int    `json:"below"`
	Name  string `json:"name"`
}

// CaddyModule returns the module's registration.
func (*BotScore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_bot_score", New: func() caddy.Module { return new(BotScore) }}
}

// Provision finds the app, and readies what the score is made of.
func (b *BotScore) Provision(ctx caddy.Context) (err error) {
	if b.app, err = appOf(ctx); err != nil {
		return err
	}
	watchHellos(ctx)
	for _, a := range b.Agents {
		allowed, err := a.allowed()
		if err != nil {
			return fmt.Errorf("bot_score: allow_agent: %w", err)
		}
		b.allowed = append(b.allowed, allowed)
	}
	if b.Challenge != nil {
		if b.challenger, err = b.Challenge.challenger(b.app); err != nil {
			return at(b.Challenge.Place, "bot_score: challenge: %w", err)
		}
	}
	for _, list := range b.Ranges {
		ranges, err := list.load()
		if err != nil {
			return at(list.Place, "bot_score: ranges: %w", err)
		}
		b.ranges = append(b.ranges, ranges)
	}
	if b.VerifyCrawlers != nil {
		if b.crawlers, err = b.VerifyCrawlers.crawlers(); err != nil {
			return fmt.Errorf("bot_score: verify_crawlers: %w", err)
		}
	}
	if err := checkMode(b.Mode); err != nil {
		return fmt.Errorf("bot_score: %w", err)
	}
	return nil
}

// Cleanup ends what was begun for this configuration.
func (b *BotScore) Cleanup() error {
	if b.crawlers != nil {
		b.crawlers.Close()
	}
	return nil
}

// ServeHTTP scores the request.
func (b *BotScore) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v, w, r := b.app.enter(w, r, "bot_score")
	return v.through(func() error { return b.serve(v, w, r, next) })
}

func (b *BotScore) serve(v *visit, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	res := b.score(v, r)
	blocked := res.Score < b.BlockBelow
	passed := b.challenger != nil && !blocked && b.challenger.passed(v, r)
	if passed {
		res = res.Passed()
	}
	// A solution is taken from whoever brings one: another tab of the same browser may have passed meanwhile.
	challenged := b.challenger != nil && !blocked && (isSolution(r) || !passed && !res.Verified && res.Score < b.Challenge.Below)
	decided, tag := "pass", b.tag(res.Score)
	switch {
	case blocked:
		decided = "block"
	case challenged:
		decided = "challenge"
	}
	v.rec.Write(func(e *record.Entry) {
		e.Who.BotScore, e.Who.BotReasons, e.Decided.Bot = res.Score, res.Reasons, decided
		if tag != "" {
			e.Decided.BotTag = tag
		}
	})
	shadow := b.Mode == modeShadow
	if blocked {
		if err := v.deny(shadow, "bot_score", http.StatusForbidden, "score %d is below %d", res.Score, b.BlockBelow); err != nil {
			return err
		}
	}
	if challenged {
		if done, err := b.challenger.serve(v, w, r, shadow); done || err != nil {
			return err
		}
	}
	err := next.ServeHTTP(w, r)
	b.answered(v, w, r)
	return err
}

// score is what is known of the sender, and makes notes of it.
func (b *BotScore) score(v *visit, r *http.Request) bot.Result {
	signals := bot.FromRequest(r)
	signals.Handshake = handshake(r)
	if signals.Handshake != nil {
		v.rec.Write(func(e *record.Entry) { e.Who.JA4 = signals.Handshake.JA4 })
	}
	proven := ""
	if v.agent != nil {
		proven = v.agent.Subject
	}
	return bot.Score(signals).In(b.context(v, r)).Judge(r.UserAgent(), proven, botauth.Claimed(r.Header), b.allowed)
}

// tag is the name of the lowest bound that a score is below.
func (b *BotScore) tag(score int) string {
	lowest := BotTag{Below: 100}
	for _, t := range b.Tags {
		if score < t.Below && t.Below < lowest.Below {
			lowest = t
		}
	}
	return lowest.Name
}

var (
	_ caddy.Provisioner           = (*BotScore)(nil)
	_ caddy.CleanerUpper          = (*BotScore)(nil)
	_ caddyhttp.MiddlewareHandler = (*BotScore)(nil)
)
