package caddymodule

import (
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/bot/challenge"
	"github.com/gatehouse-edge/gatehouse/secrets"
)

// parseBotScore reads the directive.
//
//	bot_score {
//		block below <score>
//		challenge below <score> {
//			difficulty <bits>
//			lifetime <duration>
//			question on|off
//		}
//		tag below <score> <name>
//		ranges datacenter <file...>
//		ranges crawler <part of its user agents> <file...>
//		verify_crawlers [<resolver>]
//		honeypot <path...>
//		pages <number>
//		allow_agent <origin> [<part of its user agents>...]
//		mode enforce|shadow
//	}
func parseBotScore(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	d := h.Dispenser
	if err := noArgs(d); err != nil {
		return nil, err
	}
	b := new(BotScore)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := b.parseOption(d); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *BotScore) parseOption(d *caddyfile.Dispenser) (err error) {
	switch option := d.Val(); option {
	case "block":
		if b.BlockBelow, err = belowArg(d); err == nil && d.NextArg() {
			err = d.ArgErr()
		}
	case "challenge":
		if b.Challenge != nil {
			return d.Err("challenge is there already; a second bot_score with a matcher of its own may have another")
		}
		b.Challenge, err = parseChallenge(d)
	case "tag":
		var t BotTag
		if t.Below, err = belowArg(d); err != nil {
			return err
		}
		if !d.NextArg() || !secrets.ValidName(d.Val()) {
			return d.Err("tag takes: below SCORE NAME, for example: tag below 30 automated; the name has lower-case letters, digits, _ and -")
		}
		if t.Name = d.Val(); d.NextArg() {
			return d.ArgErr()
		}
		b.Tags = append(b.Tags, t)
	case "allow_agent":
		agent, err := parseAllowedAgent(d)
		if err != nil {
			return err
		}
		b.Agents = append(b.Agents, agent)
	case "mode":
		b.Mode, err = modeArg(d)
	case "ranges":
		list, err := parseRanges(d)
		if err != nil {
			return err
		}
		b.Ranges = append(b.Ranges, list)
	case "verify_crawlers":
		b.VerifyCrawlers, err = parseVerifyCrawlers(d)
	case "honeypot":
		paths := d.RemainingArgs()
		if len(paths) == 0 {
			return d.ArgErr()
		}
		for _, path := range paths {
			if len(path) < 2 || path[0] != '/' || path[1] == '*' {
				return d.Errf("honeypot %s: it takes paths that nobody links to, such as /wp-login.php or /.git/*", path)
			}
		}
		b.Honeypots = append(b.Honeypots, paths...)
	case "pages":
		b.Pages, err = intArg(d, 10, 250)
	case "allow", "score":
		return d.Errf("bot_score has no option %s: say by a matcher before the directive which requests it is about, and by block, challenge and tag what becomes of low scores", option)
	default:
		return unknownOption(d, "bot_score", "block, challenge, tag, ranges, verify_crawlers, honeypot, pages, allow_agent and mode")
	}
	return err
}

// belowArg reads: below SCORE.
func belowArg(d *caddyfile.Dispenser) (int, error) {
	option := d.Val()
	if !d.NextArg() || d.Val() != "below" || !d.NextArg() {
		return 0, d.Errf("%s takes: below SCORE, for example: %[1]s below 30", option)
	}
	return parseInt(d, d.Val(), 1, 99)
}

func parseChallenge(d *caddyfile.Dispenser) (*ChallengeConfig, error) {
	c := &ChallengeConfig{Place: place(d)}
	var err error
	if c.Below, err = belowArg(d); err != nil {
		return nil, err
	}
	if d.NextArg() {
		return nil, d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "difficulty":
			c.Difficulty, err = intArg(d, 1, challenge.MaxDifficulty)
		case "lifetime":
			c.Lifetime, err = durationArg(d)
			if err == nil && time.Duration(c.Lifetime) < time.Minute {
				err = d.Errf("lifetime %s: it is a minute at least, or people are asked again and again", time.Duration(c.Lifetime))
			}
		case "question":
			var text string
			if text, err = oneArg(d); err == nil && text != "on" && text != "off" {
				err = d.Errf("question takes on or off, not %q", text)
			}
			c.NoQuestion = text == "off"
		default:
			err = unknownOption(d, "challenge", "difficulty, lifetime and question")
		}
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}
