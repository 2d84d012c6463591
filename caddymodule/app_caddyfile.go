package caddymodule

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// parseApp reads the global option.
//
//	gatehouse {
//		store badger <folder> {
//			memory <size>
//			encryption_key keyring:<name>
//			accept_data_loss
//		}
//		keyring file <path> | env <variable> | transit <address> <key> {
//			file <path>
//			token <placeholder>
//			mount <path>
//			namespace <name>
//		}
//		analytics <file> {
//			retention <duration>
//		}
//		records { ... }
//		audit <folder> { ... }
//		telemetry [traces] [logs]
//		chain { ... }
//		unusual { ... }
//		egress <name> { ... }
//		oauth <name> { ... }
//		agent <name> { ... }
//	}
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	app := new(App)
	if prior, ok := existing.(httpcaddyfile.App); ok {
		if err := json.Unmarshal(prior.Value, app); err != nil {
			return nil, d.Errf("gatehouse: read the earlier block: %v", err)
		}
	}
	d.Next()
	if err := noArgs(d); err != nil {
		return nil, err
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := parseAppOption(d, app); err != nil {
			return nil, err
		}
	}
	return httpcaddyfile.App{Name: "gatehouse", Value: caddyconfig.JSON(app, nil)}, nil
}

func parseAppOption(d *caddyfile.Dispenser, app *App) error {
	switch d.Val() {
	case "store":
		if app.Store != nil {
			return d.Err("store is given twice")
		}
		app.Store = &StoreConfig{Place: place(d)}
		return parseStore(d, app.Store)
	case "keyring":
		if app.Keyring != nil {
			return d.Err("keyring is given twice")
		}
		app.Keyring = &KeyringConfig{Place: place(d)}
		return parseKeyring(d, app.Keyring)
	case "analytics":
		if app.Analytics != nil {
			return d.Err("analytics is given twice")
		}
		app.Analytics = &AnalyticsConfig{Place: place(d)}
		return parseAnalytics(d, app.Analytics)
	case "egress":
		name, c, err := parseEgress(d)
		if err != nil {
			return err
		}
		if app.Egress[name] != nil {
			return d.Errf("the egress policy %s is there already", name)
		}
		if app.Egress == nil {
			app.Egress = map[string]*EgressConfig{}
		}
		app.Egress[name] = c
	case "agent":
		c := &AgentConfig{Place: place(d)}
		name, err := oneArg(d)
		if err != nil {
			return err
		}
		if err := parseAgentBlock(d, c); err != nil {
			return err
		}
		if app.Agents[name] != nil {
			return d.Errf("the agent %s is there already", name)
		}
		if app.Agents == nil {
			app.Agents = map[string]*AgentConfig{}
		}
		app.Agents[name] = c
	case "oauth":
		name, c, err := parseOAuth(d)
		if err != nil {
			return err
		}
		if app.OAuth[name] != nil {
			return d.Errf("the oauth client %s is there already", name)
		}
		if app.OAuth == nil {
			app.OAuth = map[string]*OAuthConfig{}
		}
		app.OAuth[name] = c
	case "records":
		return once(d, &app.Records, parseRecords)
	case "audit":
		return once(d, &app.Audit, parseAudit)
	case "telemetry":
		return once(d, &app.Telemetry, parseTelemetry)
	case "chain":
		return once(d, &app.Chain, parseChain)
	case "unusual":
		return once(d, &app.Unusual, parseUnusual)
	default:
		return unknownOption(d, "gatehouse", "store, keyring, analytics, records, audit, telemetry, chain, unusual, egress, oauth and agent")
	}
	return nil
}

// once reads an option that may be given once.
func once[T any](d *caddyfile.Dispenser, into **T, parse func(*caddyfile.Dispenser) (*T, error)) error {
	if *into != nil {
		return d.Errf("%s is given twice", d.Val())
	}
	made, err := parse(d)
	*into = made
	return err
}

func parseStore(d *caddyfile.Dispenser, c *StoreConfig) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.ArgErr()
	}
	if args[0] != "badger" {
		return refuseOption(d, "store "+args[0])
	}
	if len(args) > 2 {
		return d.ArgErr()
	}
	if len(args) == 2 {
		c.Path = args[1]
	}
	var err error
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "memory":
			if c.Memory, err = sizeArg(d); err != nil {
				return err
			}
		case "encryption_key":
			if c.EncryptionKey, err = oneArg(d); err != nil {
				return err
			}
		case "accept_data_loss":
			if err := noArgs(d); err != nil {
				return err
			}
			c.AcceptDataLoss = true
		default:
			return unknownOption(d, "store", "memory, encryption_key and accept_data_loss")
		}
	}
	return nil
}

func parseKeyring(d *caddyfile.Dispenser, c *KeyringConfig) error {
	const forms = "keyring takes: file PATH, env VARIABLE, or transit ADDRESS KEY"
	args := d.RemainingArgs()
	switch {
	case len(args) == 2 && args[0] == "file":
		c.File = args[1]
	case len(args) == 2 && args[0] == "env":
		c.Env = args[1]
	case len(args) == 3 && args[0] == "transit":
		c.Transit = &TransitConfig{Address: args[1], Key: args[2]}
		return parseTransit(d, c)
	default:
		return d.Err(forms)
	}
	return nil
}

// parseTransit reads the block of keyring transit.
func parseTransit(d *caddyfile.Dispenser, c *KeyringConfig) (err error) {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "file":
			c.File, err = oneArg(d)
		case "token":
			c.Transit.Token, err = oneArg(d)
		case "mount":
			c.Transit.Mount, err = oneArg(d)
		case "namespace":
			c.Transit.Namespace, err = oneArg(d)
		default:
			return unknownOption(d, "keyring transit", "file, token, mount and namespace")
		}
		if err != nil {
			return err
		}
	}
	if _, err := c.Transit.wrapper(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func parseAnalytics(d *caddyfile.Dispenser, c *AnalyticsConfig) error {
	var err error
	if c.Path, err = oneArg(d); err != nil {
		return err
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "retention":
			if c.Retention, err = durationArg(d); err != nil {
				return err
			}
		default:
			return unknownOption(d, "analytics", "retention")
		}
	}
	return nil
}
