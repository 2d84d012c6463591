package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrServiceToken is for a service token that is not known, or whose secret is another.
var ErrServiceToken = errors.New("no service token of that name and secret")

// digest is the SHA-256 of a service token's secret. Secrets are 256 bits of chance, so that nothing slower is needed.
type digest [sha256.Size]byte

const digestPrefix = "sha256:"

// NewServiceToken makes the secret of a service token, and the digest by which a configuration knows it.
func NewServiceToken() (secret, digest string) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // it does not fail
	secret = base64.RawURLEncoding.EncodeToString(random[:])
	sum := sha256.Sum256([]byte(secret))
	return secret, digestPrefix + hex.EncodeToString(sum[:])
}

// ServiceTokens are the service tokens that are believed. They are not changed after Add, and safe for concurrent use then.
type ServiceTokens struct {
	tokens map[string]digest
}

// Add adds a token by its name and the digest of its secret.
func (s *ServiceTokens) Add(name, text string) error {
	if name == "" {
		return errors.New("a service token without a name")
	}
	sum, err := hex.DecodeString(strings.TrimPrefix(text, digestPrefix))
	if err != nil || len(sum) != sha256.Size || !strings.HasPrefix(text, digestPrefix) {
		// What stands there may be the secret, so the error does not repeat it.
		return fmt.Errorf("service token %s: what is given is no digest; make one with: caddy gatehouse service-token %s", name, name)
	}
	if _, twice := s.tokens[name]; twice {
		return fmt.Errorf("the service token %s is there already", name)
	}
	if s.tokens == nil {
		s.tokens = map[string]digest{}
	}
	s.tokens[name] = digest(sum)
	return nil
}

// Verify tells who a name and a secret are of. It takes as long for a name that is not known.
func (s *ServiceTokens) Verify(name, secret string) (*Identity, error) {
	want, known := s.tokens[name]
	got := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || !known {
		return nil, ErrServiceToken
	}
	return &Identity{Method: MethodServiceToken, Subject: name}, nil
}
