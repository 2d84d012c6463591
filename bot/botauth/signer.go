package botauth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/dunglas/httpsfv"
	"github.com/go-jose/go-jose/v4"
)

const (
	// signatureLife is how long a request's signature is good.
	signatureLife = time.Minute
	// directoryLife is how long the proof in a directory is good: twice as long as the directory may be kept.
	directoryLife = time.Hour
	signatureName = "sig1"
)

// Signer signs requests as an agent, and the directory with its key (draft-meunier-web-bot-auth-architecture,
// draft-meunier-http-message-signatures-directory). Safe for concurrent use.
type Signer struct {
	origin, scheme, authority string
	key                       ed25519.PrivateKey
	public                    jose.JSONWebKey
	now                       func() time.Time
}

// NewSigner makes a signer for the agent of an origin, which ParseOrigin takes.
func NewSigner(origin string, key ed25519.PrivateKey) (*Signer, error) {
	u, err := ParseOrigin(origin)
	if err != nil {
		return nil, err
	}
	s := &Signer{origin: u.Scheme + "://" + u.Host, scheme: u.Scheme, authority: u.Host, key: key, now: time.Now}
	s.public = jose.JSONWebKey{Key: key.Public(), Use: "sig"}
	thumb, err := s.public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	s.public.KeyID = base64.RawURLEncoding.EncodeToString(thumb)
	return s, nil
}

// Origin is the agent's.
func (s *Signer) Origin() string { return s.origin }

// Authority is that of the origin: the Host of requests for the directory.
func (s *Signer) Authority() string { return s.authority }

// Sign signs a request that is about to be sent to its URL. Signatures that it had are replaced.
func (s *Signer) Sign(r *http.Request) error {
	agent, err := httpsfv.Marshal(httpsfv.NewItem(s.origin))
	if err != nil {
		return err
	}
	r.Header.Set("Signature-Agent", agent)
	m := &message{header: r.Header, method: r.Method, scheme: r.URL.Scheme, authority: r.URL.Host, target: r.URL.RequestURI()}
	input := httpsfv.InnerList{Items: []httpsfv.Item{httpsfv.NewItem("@authority"), httpsfv.NewItem("signature-agent")}}
	return s.seal(r.Header, m, input, requestTag, signatureLife, true)
}

// seal signs a message into its header.
func (s *Signer) seal(h http.Header, m *message, input httpsfv.InnerList, tag string, life time.Duration, nonce bool) error {
	now := s.now()
	input.Params = httpsfv.NewParams()
	input.Params.Add("created", now.Unix())
	input.Params.Add("keyid", s.public.KeyID)
	input.Params.Add("alg", algorithm)
	input.Params.Add("expires", now.Add(life).Unix())
	if nonce {
		var b [32]byte
		_, _ = rand.Read(b[:]) // it never fails
		input.Params.Add("nonce", base64.StdEncoding.EncodeToString(b[:]))
	}
	input.Params.Add("tag", tag)
	base, err := m.base(input)
	if err != nil {
		return err
	}
	inputs, values := httpsfv.NewDictionary(), httpsfv.NewDictionary()
	inputs.Add(signatureName, input)
	values.Add(signatureName, httpsfv.NewItem(ed25519.Sign(s.key, []byte(base))))
	for name, d := range map[string]*httpsfv.Dictionary{"Signature-Input": inputs, "Signature": values} {
		text, err := httpsfv.Marshal(d)
		if err != nil {
			return err
		}
		h.Set(name, text)
	}
	return nil
}

// Directory is the answer to a request for the agent's key directory, at DirectoryPath of its origin.
func (s *Signer) Directory() (*Answer, error) {
	body, err := json.Marshal(map[string]any{"keys": []jose.JSONWebKey{s.public}})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	digest := httpsfv.NewDictionary()
	digest.Add("sha-256", httpsfv.NewItem(sum[:]))
	text, err := httpsfv.Marshal(digest)
	if err != nil {
		return nil, err
	}
	h := http.Header{"Content-Type": {DirectoryType}, "Content-Digest": {text}, "Cache-Control": {"public, max-age=1800"}}
	m := &message{header: h, status: http.StatusOK, request: &message{method: http.MethodGet, scheme: s.scheme, authority: s.authority, target: DirectoryPath}}
	authority := httpsfv.NewItem("@authority")
	authority.Params.Add("req", true)
	input := httpsfv.InnerList{Items: []httpsfv.Item{authority, httpsfv.NewItem("content-digest")}}
	if err := s.seal(h, m, input, directoryTag, directoryLife, false); err != nil {
		return nil, err
	}
	return &Answer{Status: http.StatusOK, Header: h, Body: body}, nil
}
