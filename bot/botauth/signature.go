package botauth

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/dunglas/httpsfv"
)

const (
	maxField      = 16 << 10 // bytes of one of the signature's fields
	maxComponents = 32
	maxNonce      = 256 // bytes
	algorithm     = "ed25519"
)

// signature is one signature of a message.
type signature struct {
	label            string
	input            httpsfv.InnerList
	value            []byte
	created, expires time.Time
	keyID            string
	nonce            string
}

// signatures are those of a message that have a tag, with what each must say of itself: an error is about all of them.
func signatures(h http.Header, tag string) ([]signature, error) {
	inputs, err := dictionary(h, "Signature-Input")
	if err != nil || inputs == nil {
		return nil, err
	}
	values, err := dictionary(h, "Signature")
	if err != nil {
		return nil, err
	}
	var found []signature
	for _, label := range inputs.Names() {
		member, _ := inputs.Get(label)
		input, ok := member.(httpsfv.InnerList)
		if !ok {
			return nil, fmt.Errorf("%w: Signature-Input %s is no list", ErrMalformed, label)
		}
		if t, _ := input.Params.Get("tag"); t != tag {
			continue
		}
		if values == nil {
			return nil, fmt.Errorf("%w: there is no Signature", ErrMalformed)
		}
		s := signature{label: label, input: input}
		if err := s.read(values); err != nil {
			return nil, err
		}
		found = append(found, s)
	}
	return found, nil
}

func dictionary(h http.Header, name string) (*httpsfv.Dictionary, error) {
	lines := h.Values(name)
	if len(lines) == 0 {
		return nil, nil
	}
	size := 0
	for _, l := range lines {
		size += len(l)
	}
	if size > maxField {
		return nil, fmt.Errorf("%w: %s is longer than %d bytes", ErrMalformed, name, maxField)
	}
	d, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, name, err)
	}
	return d, nil
}

// read takes the signature's bytes and parameters.
func (s *signature) read(values *httpsfv.Dictionary) error {
	member, _ := values.Get(s.label)
	item, _ := member.(httpsfv.Item)
	var ok bool
	if s.value, ok = item.Value.([]byte); !ok {
		return fmt.Errorf("%w: Signature %s is no bytes", ErrMalformed, s.label)
	}
	if len(s.input.Items) > maxComponents {
		return fmt.Errorf("%w: it covers more than %d components", ErrMalformed, maxComponents)
	}
	if alg, given := s.input.Params.Get("alg"); given && alg != algorithm {
		return ErrAlgorithm
	}
	created, ok1 := s.integer("created")
	expires, ok2 := s.integer("expires")
	if !ok1 || !ok2 || expires < created {
		return ErrTimes
	}
	s.created, s.expires = time.Unix(created, 0), time.Unix(expires, 0)
	if s.keyID, ok = s.text("keyid"); !ok {
		return fmt.Errorf("%w: there is no keyid", ErrMalformed)
	}
	s.nonce, _ = s.text("nonce")
	return nil
}

func (s *signature) integer(name string) (int64, bool) {
	v, _ := s.input.Params.Get(name)
	n, ok := v.(int64)
	return n, ok
}

func (s *signature) text(name string) (string, bool) {
	v, _ := s.input.Params.Get(name)
	t, ok := v.(string)
	return t, ok
}

// covers tells whether the signature covers a component, written as in the signature's base.
func (s *signature) covers(id string) bool {
	return slices.ContainsFunc(s.input.Items, func(item httpsfv.Item) bool {
		text, err := httpsfv.Marshal(item)
		return err == nil && text == id
	})
}

// inTime checks the signature's times against now.
func (s *signature) inTime(now time.Time, leeway time.Duration) error {
	switch {
	case now.Add(leeway).Before(s.created):
		return ErrNotYet
	case now.Add(-leeway).After(s.expires):
		return ErrExpired
	}
	return nil
}

// verify checks that a key made the signature over a message.
func (s *signature) verify(m *message, key ed25519.PublicKey) error {
	base, err := m.base(s.input)
	if err != nil {
		return err
	}
	if !ed25519.Verify(key, []byte(base), s.value) {
		return ErrSignature
	}
	return nil
}
