package egress

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"golang.org/x/net/http/httpguts"
)

// Secrets are the values that a policy puts into requests and keeps from leaving otherwise. A reference names one: "secret.openai". They are
// safe for concurrent use. A reference "oauth.crm" names the access token of a client.
type Secrets interface {
	// Open gives the value of a reference. Its error may be shown to agent code.
	Open(ctx context.Context, reference string) (string, error)
	// Search finds the values of these references, in every spelling that is looked for, or, with except, all values but those.
	Search(references []string, except bool) (Search, error)
}

// Search finds values in bytes and in names of hosts.
type Search interface {
	Finder
	// InName finds a value in the name of a host or a header, where upper case is lost; empty for none.
	InName(name string) string
}

// Injection puts a credential into a request as it leaves. What the request had in that place is replaced.
type Injection interface {
	// refs are the references that it uses; an error says what is wrong with it.
	refs() ([]string, error)
	// apply changes the request. Its header is its own.
	apply(in *injecting) error
	// signs tells whether it needs the whole body.
	signs() bool
}

// InjectHeader sets a header field to a template's text: "Bearer {secret.openai}".
type InjectHeader struct{ Name, Value string }

// InjectQuery sets a parameter of the query to a template's text.
type InjectQuery struct{ Name, Value string }

// InjectBasic sets the Authorization field to the credentials of Basic authentication (RFC 7617); both are templates.
type InjectBasic struct{ User, Password string }

// InjectHMAC sets a header field to the HMAC with SHA-256 of the body (RFC 2104), as webhooks have it. Format has {hmac} in the place of the
// hex digits, or {hmac.base64}. Key is a reference.
type InjectHMAC struct{ Name, Format, Key string }

// InjectAWS signs the request with Signature Version 4 of AWS. KeyID, Secret and Token, which may be empty, are templates.
type InjectAWS struct{ Region, Service, KeyID, Secret, Token string }

// injecting is a request that credentials are put into.
type injecting struct {
	req     *http.Request
	secrets Secrets
	body    []byte // where one of the injections signs
}

var errTemplate = errors.New("write {secret.NAME} for a secret, or {oauth.NAME} for the access token of a client; other braces have no meaning here")

// expand gives each reference of a template to value, and joins what it returns with the text between.
func expand(template string, value func(reference string) (string, error)) (string, error) {
	var out strings.Builder
	for {
		text, rest, found := strings.Cut(template, "{")
		out.WriteString(text)
		if strings.Contains(text, "}") {
			return "", errTemplate
		}
		if !found {
			return out.String(), nil
		}
		reference, after, found := strings.Cut(rest, "}")
		if kind, name, _ := strings.Cut(reference, "."); !found || kind != "secret" && kind != "oauth" || name == "" {
			return "", errTemplate
		}
		v, err := value(reference)
		if err != nil {
			return "", err
		}
		out.WriteString(v)
		template = after
	}
}

// references are those of some templates.
func references(templates ...string) (refs []string, err error) {
	for _, t := range templates {
		if _, err := expand(t, func(ref string) (string, error) {
			refs = append(refs, ref)
			return "", nil
		}); err != nil {
			return nil, fmt.Errorf("%q: %w", t, err)
		}
	}
	if len(refs) == 0 {
		return nil, errors.New("an injection has no {secret.NAME} or {oauth.NAME}; set what is no secret in the code")
	}
	slices.Sort(refs)
	return slices.Compact(refs), nil
}

func (in *injecting) fill(template string) (string, error) {
	return expand(template, func(ref string) (string, error) { return in.secrets.Open(in.req.Context(), ref) })
}

func (i InjectHeader) refs() ([]string, error) {
	if err := injectable(i.Name); err != nil {
		return nil, err
	}
	return references(i.Value)
}

// injectable refuses fields that no request may set.
func injectable(name string) error {
	canonical := http.CanonicalHeaderKey(name)
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("header %q is not the name of a header", name)
	}
	if slices.Contains(hopByHop, canonical) || strings.HasPrefix(canonical, "Proxy-") {
		return fmt.Errorf("header %q cannot be set by a request", name)
	}
	return nil
}

func (in *injecting) set(name, value string) error {
	if !httpguts.ValidHeaderFieldValue(value) {
		return errors.New("the credential has a control character, which no header may have")
	}
	in.req.Header.Set(name, value)
	return nil
}

func (i InjectHeader) apply(in *injecting) error {
	value, err := in.fill(i.Value)
	if err != nil {
		return err
	}
	return in.set(i.Name, value)
}

func (i InjectQuery) refs() ([]string, error) {
	if i.Name == "" {
		return nil, errors.New("a parameter of the query needs a name")
	}
	return references(i.Value)
}

// apply keeps the other parameters as they were written.
func (i InjectQuery) apply(in *injecting) error {
	value, err := in.fill(i.Value)
	if err != nil {
		return err
	}
	var kept []string
	for pair := range strings.SplitSeq(in.req.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); pair != "" && (err != nil || plain != i.Name) {
			kept = append(kept, pair)
		}
	}
	in.req.URL.RawQuery = strings.Join(append(kept, url.QueryEscape(i.Name)+"="+url.QueryEscape(value)), "&")
	return nil
}

func (i InjectBasic) refs() ([]string, error) { return references(i.User, i.Password) }

func (i InjectBasic) apply(in *injecting) error {
	user, err := in.fill(i.User)
	if err != nil {
		return err
	}
	password, err := in.fill(i.Password)
	if err != nil {
		return err
	}
	if strings.Contains(user, ":") {
		return errors.New("a user of Basic authentication has a colon")
	}
	in.req.SetBasicAuth(user, password)
	return nil
}

func (i InjectHMAC) refs() ([]string, error) {
	if err := injectable(i.Name); err != nil {
		return nil, err
	}
	if strings.Count(i.Format, "{hmac}")+strings.Count(i.Format, "{hmac.base64}") != 1 {
		return nil, fmt.Errorf("the format %q needs {hmac} or {hmac.base64}, once", i.Format)
	}
	return references(i.Key)
}

func (i InjectHMAC) apply(in *injecting) error {
	key, err := in.fill(i.Key)
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(in.body)
	sum := mac.Sum(nil)
	return in.set(i.Name, strings.NewReplacer("{hmac}", hex.EncodeToString(sum), "{hmac.base64}", base64.StdEncoding.EncodeToString(sum)).Replace(i.Format))
}

func (i InjectAWS) refs() ([]string, error) {
	if i.Region == "" || i.Service == "" {
		return nil, errors.New("aws_sigv4 needs a region and a service")
	}
	if i.KeyID == "" || i.Secret == "" {
		return nil, errors.New("aws_sigv4 needs a key's id and its secret")
	}
	return references(i.KeyID, i.Secret, i.Token)
}

func (i InjectAWS) apply(in *injecting) error {
	var c aws.Credentials
	for _, part := range []struct {
		template string
		to       *string
	}{{i.KeyID, &c.AccessKeyID}, {i.Secret, &c.SecretAccessKey}, {i.Token, &c.SessionToken}} {
		var err error
		if *part.to, err = in.fill(part.template); err != nil {
			return err
		}
	}
	drop(in.req.Header, []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"})
	sum := sha256.Sum256(in.body)
	digest := hex.EncodeToString(sum[:])
	if i.Service == "s3" {
		in.req.Header.Set("X-Amz-Content-Sha256", digest)
	}
	return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = i.Service == "s3" }).
		SignHTTP(in.req.Context(), c, in.req, digest, i.Service, i.Region, time.Now())
}

func (InjectHeader) signs() bool { return false }
func (InjectQuery) signs() bool  { return false }
func (InjectBasic) signs() bool  { return false }
func (InjectHMAC) signs() bool   { return true }
func (InjectAWS) signs() bool    { return true }

// signs tells whether one of the rule's injections needs the whole body.
func (r *rule) signs() bool {
	return r != nil && slices.ContainsFunc(r.inject, func(i Injection) bool { return i.signs() })
}

// inject puts the credentials of the rule into the request. The request is about to leave: nothing of it is shown from here on.
func (h *hop) inject(out *http.Request) error {
	if h.match == nil || len(h.match.inject) == 0 {
		return nil
	}
	refuse := func(reason string) error {
		h.drop(out)
		return h.refuse(RuleInject, reason)
	}
	switch {
	case h.target.scheme == "http" && !h.match.plain:
		return refuse("the rule's credentials leave over https only")
	case h.x.opt.WebSocket:
		return refuse("credentials are not put into the handshake of a WebSocket, for what comes back could not be searched")
	}
	// What comes back must be readable, and whole.
	out.Header.Del("Accept-Encoding")
	out.Header.Del("Range")
	to := *out.URL
	out.URL = &to
	in := &injecting{req: out, secrets: h.x.policy.secrets}
	if h.match.signs() && out.Body != nil {
		body, err := out.GetBody()
		if err == nil {
			in.body, err = io.ReadAll(body)
		}
		if err != nil {
			return refuse("the body cannot be signed")
		}
		h.sent.Store(0)
	}
	for _, i := range h.match.inject {
		if err := i.apply(in); err != nil {
			return refuse(err.Error())
		}
	}
	// After they were opened: a token that was replaced by that is to be found as well.
	var err error
	if h.strike, err = h.x.policy.secrets.Search(h.match.refs, false); err != nil {
		return refuse(err.Error())
	}
	return nil
}

// strikeOut takes the credentials that were put in out of the response, where a server echoes them.
func (h *hop) strikeOut(resp *http.Response) error {
	if h.strike == nil {
		return nil
	}
	strike := func(name string) ([]byte, error) { return []byte("[redacted:" + name + "]"), nil }
	for name, values := range resp.Header {
		if h.strike.InName(name) != "" {
			delete(resp.Header, name)
			continue
		}
		for i, v := range values {
			values[i], _ = replaceAll(v, h.strike, strike)
		}
	}
	if h.method == http.MethodHead || resp.Body == http.NoBody {
		return nil
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return h.refuse(RuleInject, "the response is in a coding that cannot be searched for the rule's credentials")
	}
	resp.Body = newScan(resp.Body, h.strike, strike)
	resp.ContentLength = -1
	resp.Header.Del("Content-Length")
	return nil
}
