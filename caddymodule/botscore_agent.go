package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-edge/gatehouse/bot"
	"github.com/gatehouse-edge/gatehouse/bot/botauth"
)

// AllowedAgent is an agent that bot_score lets in by its verified identity.
type AllowedAgent struct {
	// Origin is what identity must have verified, such as https://agent.example.com.
	Origin string `json:"origin"`
	// UserAgents are what its user agents have in them; by default the origin's host. Whoever has it without proof is a spoof.
	UserAgents []string `json:"user_agents,omitempty"`
}

func (a AllowedAgent) allowed() (bot.AllowedAgent, error) {
	u, err := botauth.ParseOrigin(a.Origin)
	if err != nil {
		return bot.AllowedAgent{}, err
	}
	b := bot.AllowedAgent{Origin: u.Scheme + "://" + u.Host, UserAgents: a.UserAgents}
	if len(b.UserAgents) == 0 {
		b.UserAgents = []string{u.Hostname()}
	}
	return b, nil
}

func parseAllowedAgent(d *caddyfile.Dispenser) (a AllowedAgent, err error) {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return a, d.ArgErr()
	}
	a = AllowedAgent{Origin: args[0], UserAgents: args[1:]}
	for _, part := range a.UserAgents {
		if len(part) < 3 {
			return a, d.Errf("allow_agent: %q is in too many user agents to tell anything; give a part of three bytes or more", part)
		}
	}
	if _, err := a.allowed(); err != nil {
		return a, d.WrapErr(err)
	}
	return a, nil
}
