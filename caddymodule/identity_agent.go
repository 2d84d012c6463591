package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/access"
	"github.com/gatehouse-edge/gatehouse/bot/botauth"
	"github.com/gatehouse-edge/gatehouse/record"
)

// usedNonces are the nonces that agents used with this server, whatever its configuration.
var usedNonces = botauth.NewNonces(time.Now())

// WebBotAuth believes agents that sign their requests (Web Bot Auth, RFC 9421).
type WebBotAuth struct {
	// Agents, if there are any, are the origins whose key directories are asked; by default any is.
	Agents []string `json:"agents,omitempty"`
	// AllowIP are address prefixes at which a key directory may lie although they are not public.
	AllowIP []string `json:"allow_ip,omitempty"`
	Place   string   `json:"place,omitempty"`
}

func (b *WebBotAuth) verifier() (*botauth.Verifier, error) {
	allowIP, err := parseAllowIP(b.AllowIP)
	if err != nil {
		return nil, err
	}
	return botauth.New(botauth.Config{
		Agents: b.Agents, Nonces: usedNonces,
		Fetch: func(ctx context.Context, address string) (*botauth.Answer, error) {
			return fetchKeys(ctx, address, botauth.DirectoryType, allowIP)
		},
	})
}

// identifyAgent notes the agent that signed the request, or why its signature is not believed.
func (i *Identity) identifyAgent(v *visit, r *http.Request) {
	sent := *r
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok { // the site may have rewritten it
		sent.Method, sent.URL, sent.RequestURI = original.Method, original.URL, original.RequestURI
	}
	agent, err := i.agents.Verify(r.Context(), &sent)
	if errors.Is(err, botauth.ErrUnsigned) {
		return
	}
	decided := access.MethodWebBotAuth
	if err != nil {
		decided += ": " + err.Error()
	} else {
		v.agent = &access.Identity{Method: access.MethodWebBotAuth, Subject: agent.Origin, Expires: agent.Expires}
	}
	v.rec.Write(func(e *record.Entry) {
		e.Decided.Identity = joined(e.Decided.Identity, decided)
		if agent != nil {
			e.Who.VerifiedAgent = agent.Origin
		}
	})
}

func parseWebBotAuth(d *caddyfile.Dispenser) (*WebBotAuth, error) {
	b := &WebBotAuth{Place: place(d)}
	if err := noArgs(d); err != nil {
		return nil, err
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		list := &b.Agents
		switch d.Val() {
		case "agents":
		case "allow_ip":
			list = &b.AllowIP
		default:
			return nil, unknownOption(d, "web_bot_auth", "agents and allow_ip")
		}
		args := d.RemainingArgs()
		if len(args) == 0 {
			return nil, d.ArgErr()
		}
		if list == &b.Agents {
			for _, origin := range args {
				if _, err := botauth.ParseOrigin(origin); err != nil {
					return nil, d.WrapErr(err)
				}
			}
		}
		*list = append(*list, args...)
	}
	return b, nil
}
