package caddymodule

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/waf"
)

func init() {
	caddy.RegisterModule(new(WAF))
}

// wafPool holds the engines by configuration and rule files' content, across reloads.
var wafPool = caddy.NewUsagePool()

// WAF judges requests, and responses where told to, with Coraza and the OWASP Core Rule Set.
type WAF struct {
	// CRS uses the Core Rule Set embedded in the binary.
	CRS bool `json:"crs,omitempty"`
	// Paranoia is the CRS paranoia level, 1 to 4; default 1.
	Paranoia int `json:"paranoia,omitempty"`
	// Anomaly is the score from which on a request is refused; default 5.
	Anomaly int `json:"anomaly,omitempty"`
	// Mode is block, the default, detect, which notes what the rules find, or shadow, which also notes what would have been refused
	// as a refusal in shadow. Neither refuses anything.
	Mode string `json:"mode,omitempty"`
	// Body is how much of a request body is inspected, in bytes; default 1 MiB.
	Body int64 `json:"body,omitempty"`
	// Partial inspects the first part of a longer body and lets the rest pass; otherwise it is refused with 413.
	Partial bool `json:"partial,omitempty"`
	// Rules are files of SecLang rules, globs allowed.
	Rules []string `json:"rules,omitempty"`
	// Files is a digest of what the Rules' files held when the Caddyfile was read. Caddy takes a configuration that has not changed for
	// one that need not be loaded; this changes it where a file has changed.
	Files string `json:"files,omitempty"`
	// Directives are SecLang rules, loaded after those of files that are loaded before the CRS.
	Directives string `json:"directives,omitempty"`
	// Profile adapts the rules to a kind of traffic: llm_json; default none.
	Profile string `json:"profile,omitempty"`
	// Exclude switches rules off for paths.
	Exclude []WAFExclusion `json:"exclude,omitempty"`
	// Responses are the media types of the response bodies to inspect; default none.
	Responses []string `json:"responses,omitempty"`
	Place     string   `json:"place,omitempty"`

	app    *App
	engine *pooledEngine
	key    string
}

// WAFExclusion switches rules off for one path, or for all paths with a prefix that ends in *.
type WAFExclusion struct {
	Path string `json:"path"`
	IDs  []int  `json:"ids"`
}

type pooledEngine struct{ *waf.Engine }

func (e *pooledEngine) Destruct() error { return e.Close() }

// CaddyModule returns the module's registration.
func (*WAF) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_waf", New: func() caddy.Module { return new(WAF) }}
}

func (m *WAF) config() (waf.Config, error) {
	c := waf.Config{
		CRS: m.CRS, Paranoia: m.Paranoia, Anomaly: m.Anomaly, BodyLimit: m.Body, RuleFiles: m.Rules, Responses: m.Responses,
		Directives: m.Directives, Profile: m.Profile,
	}
	switch m.Mode {
	case "", "block":
	case "detect", modeShadow:
		c.Mode = waf.ModeDetect
	default:
		return c, fmt.Errorf("mode %s: it is %s", m.Mode, wafModes)
	}
	if c.Profile != "" && !c.CRS {
		return c, errors.New("profile " + c.Profile + " adapts the Core Rule Set: add crs")
	}
	if m.Partial {
		c.BodyOver = waf.Partial
	}
	for _, x := range m.Exclude {
		c.Exclude = append(c.Exclude, waf.Exclusion{Path: x.Path, IDs: x.IDs})
	}
	return c, c.Validate()
}

// Provision compiles the rules, or takes an engine that has them compiled.
func (m *WAF) Provision(ctx caddy.Context) error {
	var err error
	if m.app, err = appOf(ctx); err != nil {
		return err
	}
	c, err := m.config()
	if err != nil {
		return at(m.Place, "waf: %w", err)
	}
	if m.empty() {
		return at(m.Place, "%s", noRules)
	}
	key := c.Key()
	v, _, err := wafPool.LoadOrNew(key, func() (caddy.Destructor, error) { return newEngine(c, ctx.Slogger()) })
	if err != nil {
		return at(m.Place, "%w", err)
	}
	m.engine, m.key = v.(*pooledEngine), key
	return nil
}

// newEngine makes what the pool holds.
func newEngine(c waf.Config, log *slog.Logger) (*pooledEngine, error) {
	e, err := waf.New(c, log)
	return &pooledEngine{e}, err
}

const (
	wafModes = "block, detect or shadow"
	noRules  = "waf has no rules: add crs, rules FILE or directives"
)

// empty tells whether there is nothing to judge by.
func (m *WAF) empty() bool { return !m.CRS && len(m.Rules) == 0 && m.Directives == "" }

// Cleanup gives the engine back.
func (m *WAF) Cleanup() error {
	if m.key == "" {
		return nil
	}
	_, err := wafPool.Delete(m.key)
	m.key = ""
	return err
}

// ServeHTTP judges the request before the next handler and the response as it goes out.
func (m *WAF) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v, w, r := m.app.enter(w, r, "waf")
	return v.through(func() error { return m.serve(v, w, r, next) })
}

func (m *WAF) serve(v *visit, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	ip, _ := netip.ParseAddr(v.clientIP)
	tx, err := m.engine.Inspect(r, waf.Client{IP: ip, Port: portOf(r.RemoteAddr)}, v.rec.ID())
	shadow := m.Mode == modeShadow
	if err != nil {
		if err := v.deny(shadow, "waf", bodyErrorStatus(err), "%w", err); err != nil {
			return err
		}
		return next.ServeHTTP(w, r)
	}
	defer tx.Close()
	verdict := tx.Verdict()
	note(v, verdict)
	inShadow := shadow && verdict.Action == waf.Detect
	if verdict.Action == waf.Block || inShadow {
		if err := v.deny(inShadow, "waf", verdict.Status, "the rules refuse the request"); err != nil {
			return err
		}
	}
	refused := 0
	out := tx.ResponseWriter(w, r, func(_ http.ResponseWriter, d waf.Verdict) { refused = d.Status })
	err = next.ServeHTTP(out, r)
	if err != nil {
		return err
	}
	verdict, err = tx.Finish()
	note(v, verdict)
	if shadow && !inShadow && verdict.Action == waf.Detect {
		_ = v.deny(true, "waf", verdict.Status, "the rules refuse the response") // nil in shadow
	}
	if refused != 0 {
		return v.refuse("waf", refused, "the rules refuse the response")
	}
	return err
}

// bodyErrorStatus is the status for a body that could not be read or judged.
func bodyErrorStatus(err error) int {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	case errors.Is(err, waf.ErrBody):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

func note(v *visit, verdict waf.Verdict) {
	d := &record.WAFDecision{Action: verdict.Action.String(), Score: verdict.Score, OutboundScore: verdict.OutboundScore}
	for _, r := range verdict.Rules {
		d.Rules = append(d.Rules, record.WAFRule{ID: r.ID, Message: r.Message, Severity: r.Severity, Tags: r.Tags})
	}
	v.rec.Write(func(e *record.Entry) { e.Decided.WAF = d })
}

func portOf(addr string) int {
	if a, err := netip.ParseAddrPort(addr); err == nil {
		return int(a.Port())
	}
	return 0
}

// parseWAF reads the directive.
//
//	waf {
//		crs
//		paranoia <1..4>
//		anomaly <score>
//		mode block|detect|shadow
//		body <size> [reject|partial]
//		rules <file...>
//		directives <SecLang>
//		profile llm_json
//		exclude <path> <rule id...>
//		responses <media type...>
//	}
//
// Without a block it means crs.
func parseWAF(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	d := h.Dispenser
	m := &WAF{Place: place(d)}
	if err := noArgs(d); err != nil {
		return nil, err
	}
	block := false
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		block = true
		if err := m.parseOption(d); err != nil {
			return nil, err
		}
	}
	if !block {
		m.CRS = true
	}
	if m.empty() {
		return nil, d.Err(noRules)
	}
	if len(m.Rules) > 0 {
		m.Files = waf.Config{RuleFiles: m.Rules}.Key()
	}
	return m, nil
}

func (m *WAF) parseOption(d *caddyfile.Dispenser) error {
	var err error
	switch d.Val() {
	case "crs":
		m.CRS = true
		return noArgs(d)
	case "paranoia":
		m.Paranoia, err = intArg(d, 1, 4)
	case "anomaly":
		m.Anomaly, err = intArg(d, 1, 1000)
	case "mode":
		if m.Mode, err = oneArg(d); err != nil {
			return err
		}
		if m.Mode != "block" && m.Mode != "detect" && m.Mode != modeShadow {
			return d.Errf("mode %s: it is %s", m.Mode, wafModes)
		}
	case "body":
		return m.parseBody(d)
	case "rules":
		args := d.RemainingArgs()
		if len(args) == 0 {
			return d.ArgErr()
		}
		m.Rules = append(m.Rules, args...)
	case "exclude":
		args := d.RemainingArgs()
		if len(args) < 2 {
			return d.Err("exclude takes PATH and rule ids, for example: exclude /upload 942100")
		}
		x := WAFExclusion{Path: args[0]}
		for _, a := range args[1:] {
			id, err := strconv.Atoi(a)
			if err != nil || id < 1 {
				return d.Errf("%q is not a rule id", a)
			}
			x.IDs = append(x.IDs, id)
		}
		m.Exclude = append(m.Exclude, x)
	case "responses":
		args := d.RemainingArgs()
		if len(args) == 0 {
			return d.ArgErr()
		}
		m.Responses = append(m.Responses, args...)
	case "directives":
		text, err := oneArg(d)
		if err != nil {
			return err
		}
		m.Directives += text + "\n"
	case "profile":
		if m.Profile, err = oneArg(d); err == nil && m.Profile != waf.ProfileLLMJSON {
			return d.Errf("profile %s: there is %s", m.Profile, waf.ProfileLLMJSON)
		}
	default:
		return unknownOption(d, "waf", "crs, paranoia, anomaly, mode, body, rules, directives, profile, exclude and responses")
	}
	return err
}

func (m *WAF) parseBody(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 || len(args) > 2 {
		return d.Err("body takes SIZE [reject|partial], for example: body 1MiB reject")
	}
	n, err := parseSize(args[0])
	if err != nil {
		return d.WrapErr(err)
	}
	m.Body = n
	if len(args) == 2 {
		switch strings.ToLower(args[1]) {
		case "reject":
		case "partial":
			m.Partial = true
		default:
			return d.Errf("%q: a longer body is either reject or partial", args[1])
		}
	}
	return nil
}

var (
	_ caddy.Provisioner           = (*WAF)(nil)
	_ caddy.CleanerUpper          = (*WAF)(nil)
	_ caddyhttp.MiddlewareHandler = (*WAF)(nil)
)
