package caddymodule

import (
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/bot"
	"github.com/gatehouse-edge/gatehouse/bot/botauth"
	"github.com/gatehouse-edge/gatehouse/record"
)

func init() {
	caddy.RegisterModule(new(BotScore))
}

// BotScore scores each request from 1, surely automated, to 99, and can refuse low scores with 403.
type BotScore struct {
	// BlockBelow refuses requests whose score is below it; 0 refuses none.
	BlockBelow int `json:"block_below,omitempty"`
	// Agents are those that are let in by who they prove to be.
	Agents []AllowedAgent `json:"agents,omitempty"`

	app     *App
	allowed []bot.AllowedAgent
}

// CaddyModule returns the module's registration.
func (*BotScore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_bot_score", New: func() caddy.Module { return new(BotScore) }}
}

// Provision finds the app.
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
	return nil
}

// ServeHTTP scores the request.
func (b *BotScore) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v, w, r := b.app.enter(w, r)
	return v.through(func() error { return b.serve(v, w, r, next) })
}

func (b *BotScore) serve(v *visit, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	signals := bot.FromRequest(r)
	signals.Handshake = handshake(r)
	res := bot.Score(signals)
	proven := ""
	if v.agent != nil {
		proven = v.agent.Subject
	}
	res = res.Judge(r.UserAgent(), proven, botauth.Claimed(r.Header), b.allowed)
	block := res.Score < b.BlockBelow
	v.rec.Write(func(e *record.Entry) {
		e.Who.BotScore, e.Who.BotReasons, e.Decided.Bot = res.Score, res.Reasons, "pass"
		if signals.Handshake != nil {
			e.Who.JA4 = signals.Handshake.JA4
		}
		if block {
			e.Decided.Bot = "block"
		}
	})
	if block {
		return v.refuse("bot_score", http.StatusForbidden, "score %d is below %d", res.Score, b.BlockBelow)
	}
	return next.ServeHTTP(w, r)
}

// parseBotScore reads the directive.
//
//	bot_score {
//		block below <score>
//		allow_agent <origin> [<part of its user agents>...]
//	}
func parseBotScore(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	d := h.Dispenser
	if err := noArgs(d); err != nil {
		return nil, err
	}
	b := new(BotScore)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "block":
			if !d.NextArg() || d.Val() != "below" {
				return nil, d.Err("block takes: below SCORE, for example: block below 2")
			}
			var err error
			if b.BlockBelow, err = intArg(d, 1, 99); err != nil {
				return nil, err
			}
		case "allow_agent":
			agent, err := parseAllowedAgent(d)
			if err != nil {
				return nil, err
			}
			b.Agents = append(b.Agents, agent)
		case "challenge", "honeypot", "ranges", "allow", "score", "tag":
			return nil, refuseOption(d, d.Val()+" of bot_score")
		default:
			return nil, unknownOption(d, "bot_score", "block and allow_agent")
		}
	}
	return b, nil
}

var (
	_ caddy.Provisioner           = (*BotScore)(nil)
	_ caddyhttp.MiddlewareHandler = (*BotScore)(nil)
)
