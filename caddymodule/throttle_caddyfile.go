package caddymodule

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/throttle"
)

// maxCount bounds the numbers of connections and requests.
const maxCount = 10_000_000

// parseThrottle reads the directive.
//
//	throttle {
//		zone <name> <key> <rate> [strict]
//		budget <name> <key> <amount> [strict] {
//			reserve <cost> [<default>]
//			settle header [<name>] | bytes | events | usage <path>...
//		}
//		connections <max> [except <range>...]
//		in_flight <max>
//		queue <max>
//		body_rate <size> [<grace>]
//		ipv6_prefix <bits>
//		mode enforce|shadow
//	}
func parseThrottle(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	d := h.Dispenser
	if err := noArgs(d); err != nil {
		return nil, err
	}
	t := new(Throttle)
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if seen[option] && option != "zone" && option != "budget" {
			return nil, d.Errf("%s is there already", option)
		}
		seen[option] = true
		var err error
		switch option {
		case "zone":
			err = t.parseZone(d)
		case "budget":
			err = t.parseBudget(d)
		case "connections":
			err = t.parseConnections(d)
		case "in_flight":
			t.InFlight, err = intArg(d, 1, maxCount)
		case "queue":
			t.Queue, err = intArg(d, 1, maxCount)
		case "body_rate":
			err = t.parseBodyRate(d)
		case "ipv6_prefix":
			t.IPv6Prefix, err = intArg(d, 1, 128)
		case "mode":
			t.Mode, err = modeArg(d)
		default:
			err = unknownOption(d, "throttle", "zone, budget, connections, in_flight, queue, body_rate, ipv6_prefix and mode")
		}
		if err != nil {
			return nil, err
		}
	}
	if len(t.Zones) == 0 && len(t.Budgets) == 0 && t.Connections == 0 && t.InFlight == 0 && t.Queue == 0 && t.BodyRate == 0 {
		return nil, d.Err("throttle limits nothing; add a zone, for example: zone per_ip {client_ip} 600/m")
	}
	return t, nil
}

// limitArgs reads NAME KEY RATE [strict].
func (t *Throttle) limitArgs(d *caddyfile.Dispenser, example string) (name, key, rate string, strict bool, err error) {
	option := d.Val()
	args := d.RemainingArgs()
	if strict = len(args) == 4 && args[3] == "strict"; !strict && len(args) != 3 {
		return "", "", "", false, d.Errf("%s takes NAME KEY RATE [strict], for example: %s", option, example)
	}
	if _, err := throttle.ParseRate(args[2]); err != nil {
		return "", "", "", false, d.WrapErr(err)
	}
	// A name appears in the header that tells of all zones and budgets.
	for _, z := range t.Zones {
		if z.Name == args[0] {
			return "", "", "", false, d.Errf("the zone %s is there already", args[0])
		}
	}
	for _, b := range t.Budgets {
		if b.Name == args[0] {
			return "", "", "", false, d.Errf("the budget %s is there already", args[0])
		}
	}
	return args[0], args[1], args[2], strict, nil
}

func (t *Throttle) parseZone(d *caddyfile.Dispenser) (err error) {
	z := ThrottleZone{Place: place(d)}
	if z.Name, z.Key, z.Rate, z.Strict, err = t.limitArgs(d, "zone per_ip {client_ip} 600/m"); err == nil {
		t.Zones = append(t.Zones, z)
	}
	return err
}

func (t *Throttle) parseBudget(d *caddyfile.Dispenser) (err error) {
	b := ThrottleBudget{Place: place(d)}
	if b.Name, b.Key, b.Amount, b.Strict, err = t.limitArgs(d, "budget tokens {client_ip} 100000/d"); err != nil {
		return err
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "reserve":
			args := d.RemainingArgs()
			if len(args) < 1 || len(args) > 2 {
				return d.Err("reserve takes COST [DEFAULT], for example: reserve 1000, or: reserve {header.X-Max-Tokens} 1000")
			}
			b.Reserve = args[0]
			if len(args) == 2 {
				b.Default = args[1]
			}
		case "settle":
			args := d.RemainingArgs()
			if len(args) == 0 {
				return d.Err("settle takes header [NAME], bytes, events or usage PATH..., for example: settle header")
			}
			b.Settle = args[0]
			switch rest := args[1:]; {
			case b.Settle == settleHeader && len(rest) <= 1:
				b.Header = strings.Join(rest, "")
			case b.Settle == settleUsage && len(rest) > 0:
				b.Usage = rest
			case b.Settle == settleBytes && len(rest) == 0, b.Settle == settleEvents && len(rest) == 0:
			default:
				return d.Errf("settle %s: it takes header [NAME], bytes, events or usage PATH...", strings.Join(args, " "))
			}
		default:
			return unknownOption(d, "budget", "reserve and settle")
		}
	}
	t.Budgets = append(t.Budgets, b)
	return nil
}

func (t *Throttle) parseConnections(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 || len(args) == 2 || len(args) > 2 && args[1] != "except" {
		return d.Err("connections takes MAX [except RANGE...], for example: connections 200")
	}
	n, ok := throttle.ParseCost(args[0])
	if !ok || n < 1 || n > maxCount {
		return d.Errf("%q is not a whole number from 1 to %d", args[0], maxCount)
	}
	t.Connections = int(n)
	if len(args) > 2 {
		t.Except = args[2:]
	}
	for _, text := range t.Except {
		if _, err := parsePrefix(text); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

func (t *Throttle) parseBodyRate(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 1 || len(args) > 2 {
		return d.Err("body_rate takes SIZE [GRACE], bytes a second and a duration, for example: body_rate 1KiB 10s")
	}
	n, err := parseSize(args[0])
	if err != nil {
		return d.WrapErr(err)
	}
	t.BodyRate = n
	if len(args) == 2 {
		grace, err := caddy.ParseDuration(args[1])
		if err != nil || grace <= 0 {
			return d.Errf("%q is not a duration; write it like 10s", args[1])
		}
		t.BodyGrace = caddy.Duration(grace)
	}
	return nil
}
