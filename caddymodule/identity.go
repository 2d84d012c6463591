package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/access"
	"github.com/gatehouse-edge/gatehouse/bot/botauth"
	"github.com/gatehouse-edge/gatehouse/record"
)

func init() {
	caddy.RegisterModule(new(Identity))
}

// Identity tells who a request comes from. It refuses nothing: a request whose credentials are not believed comes from nobody, and the
// record says why.
type Identity struct {
	// JWT are the issuers whose JSON Web Tokens are believed.
	JWT []JWTIssuer `json:"jwt,omitempty"`
	// ServiceTokens are the service tokens that are believed: the digest of each one's secret, by name.
	ServiceTokens map[string]string `json:"service_tokens,omitempty"`
	// WebBotAuth, if it is there, believes agents that sign their requests.
	WebBotAuth *WebBotAuth `json:"web_bot_auth,omitempty"`
	// MTLS, if it is there, believes client certificates.
	MTLS *MTLS `json:"mtls,omitempty"`

	app          *App
	verifiers    map[string]*access.Verifier // by issuer
	tokens       access.ServiceTokens
	agents       *botauth.Verifier    // nil without WebBotAuth
	certificates *access.Certificates // nil without MTLS
}

// JWTIssuer is an issuer of JSON Web Tokens.
type JWTIssuer struct {
	// Issuer is what a token's iss must be, to the letter: an https address.
	Issuer string `json:"issuer"`
	// Audience are the names of which a token's aud must have one.
	Audience []string `json:"audience"`
	// Keys is the address of the issuer's key set; by default what its OpenID configuration says.
	Keys string `json:"keys,omitempty"`
	// Leeway is how far the clocks may be apart; default 30 s, at least 1 s.
	Leeway caddy.Duration `json:"leeway,omitempty"`
	// AllowIP are address prefixes at which the key set may lie although they are not public.
	AllowIP []string `json:"allow_ip,omitempty"`
	Place   string   `json:"place,omitempty"`
}

// CaddyModule returns the module's registration.
func (*Identity) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_identity", New: func() caddy.Module { return new(Identity) }}
}

// Provision makes the verifiers. Keys are fetched when the first token comes.
func (i *Identity) Provision(ctx caddy.Context) error {
	var err error
	if i.app, err = appOf(ctx); err != nil {
		return err
	}
	i.verifiers = map[string]*access.Verifier{}
	for _, issuer := range i.JWT {
		if i.verifiers[issuer.Issuer] != nil {
			return at(issuer.Place, "identity: the issuer %s is there already", issuer.Issuer)
		}
		if i.verifiers[issuer.Issuer], err = issuer.verifier(); err != nil {
			return at(issuer.Place, "identity: jwt %s: %w", issuer.Issuer, err)
		}
	}
	for name, digest := range i.ServiceTokens {
		if err := i.tokens.Add(name, digest); err != nil {
			return fmt.Errorf("identity: %w", err)
		}
	}
	if i.WebBotAuth != nil {
		if i.agents, err = i.WebBotAuth.verifier(); err != nil {
			return at(i.WebBotAuth.Place, "identity: web_bot_auth: %w", err)
		}
	}
	if i.MTLS != nil {
		if i.certificates, err = i.MTLS.certificates(); err != nil {
			return at(i.MTLS.Place, "identity: mtls: %w", err)
		}
	}
	return nil
}

func (j JWTIssuer) verifier() (*access.Verifier, error) {
	allowIP, err := parseAllowIP(j.AllowIP)
	if err != nil {
		return nil, err
	}
	fetcher := keyFetcher{issuer: j.Issuer, keys: j.Keys, allowIP: allowIP}
	if _, err := keyAddress(j.Issuer); err != nil {
		return nil, err
	}
	if j.Keys != "" {
		if _, err := keyAddress(j.Keys); err != nil {
			return nil, err
		}
	}
	return access.NewVerifier(access.Config{Issuer: j.Issuer, Audience: j.Audience, Leeway: time.Duration(j.Leeway), Fetch: fetcher.fetch})
}

func parseAllowIP(texts []string) (list []netip.Prefix, err error) {
	for _, s := range texts {
		p, err := parsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("allow_ip: %w", err)
		}
		list = append(list, p)
	}
	return list, nil
}

// keyAddress reads an address that keys may come from: https, or http on this machine.
func keyAddress(text string) (*url.URL, error) { return secureAddress(text, "keys") }

// secureAddress reads an address from which something is taken that must be nobody else's.
func secureAddress(text, what string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%q is not an address like https://id.example.com", text)
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	if u.Scheme != "https" && !(u.Scheme == "http" && ip.IsLoopback()) {
		return nil, fmt.Errorf("%q: %s are taken over https only, since whoever can change them can be anybody", text, what)
	}
	return u, nil
}

// keyFetcher gets an issuer's key set, through an egress policy that lets nothing else pass.
type keyFetcher struct {
	issuer, keys string
	allowIP      []netip.Prefix
}

func (f keyFetcher) fetch(ctx context.Context) ([]byte, error) {
	address := f.keys
	if address == "" {
		// OpenID Connect Discovery 1.0, section 4.
		text, err := f.get(ctx, strings.TrimSuffix(f.issuer, "/")+"/.well-known/openid-configuration")
		if err != nil {
			return nil, err
		}
		var found struct {
			Issuer string `json:"issuer"`
			Keys   string `json:"jwks_uri"`
		}
		if err := json.Unmarshal(text, &found); err != nil {
			return nil, fmt.Errorf("the OpenID configuration of %s: %w", f.issuer, err)
		}
		if found.Issuer != f.issuer {
			return nil, fmt.Errorf("the OpenID configuration of %s is that of %q", f.issuer, found.Issuer)
		}
		address = found.Keys
	}
	return f.get(ctx, address)
}

func (f keyFetcher) get(ctx context.Context, address string) ([]byte, error) {
	got, err := fetchKeys(ctx, address, "application/json", f.allowIP)
	if err != nil {
		return nil, err
	}
	if got.Status != http.StatusOK {
		return nil, fmt.Errorf("%s answered with status %d", address, got.Status)
	}
	return got.Body, nil
}

// fetchKeys gets what lies at an address, through an egress policy that lets nothing else pass. A redirect is the answer.
func fetchKeys(ctx context.Context, address, accept string, allowIP []netip.Prefix) (*botauth.Answer, error) {
	u, err := keyAddress(address)
	if err != nil {
		return nil, err
	}
	req := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{"Accept": {accept}}}
	got, err := onlyTo{"identity", u, allowIP}.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(got.Body)
	if err != nil {
		return nil, err
	}
	return &botauth.Answer{Status: got.StatusCode, Header: got.Header, Body: body}, nil
}

// ServeHTTP finds out who the request comes from.
func (i *Identity) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v, w, r := i.app.enter(w, r, "identity")
	return v.through(func() error {
		i.identify(v, r)
		return next.ServeHTTP(w, r)
	})
}

// The headers of a service token, as Cloudflare Access names them.
const (
	headerTokenID     = "Cf-Access-Client-Id"
	headerTokenSecret = "Cf-Access-Client-Secret"
)

func (i *Identity) identify(v *visit, r *http.Request) {
	if i.agents != nil {
		i.identifyAgent(v, r)
	}
	// The secret is for this stage alone: neither code nor an origin sees it.
	name, secret := r.Header.Get(headerTokenID), r.Header.Get(headerTokenSecret)
	r.Header.Del(headerTokenSecret)
	if len(i.ServiceTokens) > 0 && (name != "" || secret != "") {
		who, err := i.tokens.Verify(name, secret)
		if v.identified(access.MethodServiceToken, who, err) {
			return
		}
	}
	if len(i.verifiers) > 0 {
		for _, token := range tokens(r) {
			who, err := i.verify(r.Context(), token)
			if v.identified(access.MethodJWT, who, err) {
				return
			}
			v.badToken = true
		}
	}
	if i.certificates != nil {
		i.identifyCertificate(v, r)
	}
}

// identified notes who was found by a method, or why nobody was.
func (v *visit) identified(method string, who *access.Identity, err error) bool {
	decided := method
	if err != nil {
		decided += ": " + err.Error()
	}
	v.rec.Write(func(e *record.Entry) {
		e.Decided.Identity = joined(e.Decided.Identity, decided)
		if who != nil {
			e.Who.Subject = who.Subject
		}
	})
	v.who = who
	return err == nil
}

// joined adds what one method found to what others did.
func joined(before, decided string) string {
	if before == "" {
		return decided
	}
	return before + "; " + decided
}

func (i *Identity) verify(ctx context.Context, token string) (*access.Identity, error) {
	issuer, err := access.IssuerOf(token)
	if err != nil {
		return nil, err
	}
	verifier := i.verifiers[issuer]
	if verifier == nil {
		return nil, access.ErrIssuer
	}
	return verifier.Verify(ctx, token)
}

// tokens are the tokens of a request: of the header Authorization (RFC 6750), and that of a proxy before this server.
func tokens(r *http.Request) (list []string) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		list = append(list, strings.TrimSpace(token))
	}
	if token := r.Header.Get("Cf-Access-Jwt-Assertion"); token != "" {
		list = append(list, token)
	}
	return list
}

// parseIdentity reads the directive.
//
//	identity {
//		jwt <issuer> {
//			audience <name...>
//			keys <address>
//			leeway <duration>
//			allow_ip <prefix...>
//		}
//		service_token <name> <digest>
//		web_bot_auth {
//			agents <origin...>
//			allow_ip <prefix...>
//		}
//		mtls {
//			ca <file...>
//			fingerprint <sha256...>
//		}
//	}
func parseIdentity(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	d := h.Dispenser
	if err := noArgs(d); err != nil {
		return nil, err
	}
	i := new(Identity)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "jwt":
			issuer, err := parseIssuer(d)
			if err != nil {
				return nil, err
			}
			i.JWT = append(i.JWT, issuer)
		case "service_token":
			if err := i.parseServiceToken(d); err != nil {
				return nil, err
			}
		case "web_bot_auth":
			if i.WebBotAuth != nil {
				return nil, d.Err("web_bot_auth is there already; one holds for all agents")
			}
			var err error
			if i.WebBotAuth, err = parseWebBotAuth(d); err != nil {
				return nil, err
			}
		case "mtls":
			if i.MTLS != nil {
				return nil, d.Err("mtls is there already; one holds for all certificates")
			}
			var err error
			if i.MTLS, err = parseMTLS(d); err != nil {
				return nil, err
			}
		default:
			return nil, unknownOption(d, "identity", "jwt, service_token, web_bot_auth and mtls")
		}
	}
	if len(i.JWT) == 0 && len(i.ServiceTokens) == 0 && i.WebBotAuth == nil && i.MTLS == nil {
		return nil, d.Err("identity knows nobody; add an issuer, for example: jwt https://id.example.com")
	}
	return i, nil
}

func (i *Identity) parseServiceToken(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Err("service_token takes NAME DIGEST; make both with: caddy gatehouse service-token NAME")
	}
	if err := i.tokens.Add(args[0], args[1]); err != nil {
		return d.WrapErr(err)
	}
	if i.ServiceTokens == nil {
		i.ServiceTokens = map[string]string{}
	}
	i.ServiceTokens[args[0]] = args[1]
	return nil
}

func parseIssuer(d *caddyfile.Dispenser) (j JWTIssuer, err error) {
	j.Place = place(d)
	if j.Issuer, err = oneArg(d); err != nil {
		return j, err
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "audience":
			if j.Audience = append(j.Audience, d.RemainingArgs()...); len(j.Audience) == 0 {
				err = d.ArgErr()
			}
		case "keys":
			j.Keys, err = oneArg(d)
		case "leeway":
			j.Leeway, err = durationArg(d)
		case "allow_ip":
			if j.AllowIP = append(j.AllowIP, d.RemainingArgs()...); len(j.AllowIP) == 0 {
				err = d.ArgErr()
			}
		default:
			err = unknownOption(d, "jwt", "audience, keys, leeway and allow_ip")
		}
		if err != nil {
			return j, err
		}
	}
	if len(j.Audience) == 0 {
		return j, d.Errf("jwt %s has no audience: every token of the issuer, whoever it is meant for, would be taken; add one, for example: audience api", j.Issuer)
	}
	if _, err := j.verifier(); err != nil {
		return j, d.WrapErr(err)
	}
	return j, nil
}

var (
	_ caddy.Provisioner           = (*Identity)(nil)
	_ caddyhttp.MiddlewareHandler = (*Identity)(nil)
)
