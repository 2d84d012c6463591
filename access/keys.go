package access

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	keysFresh    = 10 * time.Minute // after that a set is fetched again, and used meanwhile
	keysExpire   = time.Hour        // after that it is used no more
	keysRetry    = 10 * time.Second // the least time between two fetches
	fetchTimeout = 5 * time.Second
	minRSABits   = 2048
)

// keySet is an issuer's keys, as they were fetched last. It is safe for concurrent use.
type keySet struct {
	fetch func(ctx context.Context) ([]byte, error)
	now   func() time.Time

	mu      sync.RWMutex
	keys    map[keyID]crypto.PublicKey // replaced, never changed
	fetched time.Time

	loading sync.Mutex // before mu; one fetch serves all who wait for it
	tried   time.Time  // under loading
	failed  error      // under loading: why the last try was in vain
}

// keyID is a key's name and the algorithm that it may verify. A key is never used with another: that is how one is confused.
type keyID struct {
	kid       string
	algorithm jose.SignatureAlgorithm
}

// key is the key of that name. A token without a name is taken for the only key's of its algorithm. A key that is known serves until
// its set expires; who asks for one that is not waits for the set to be fetched, which happens no more often than keysRetry.
func (s *keySet) key(ctx context.Context, id keyID) (crypto.PublicKey, error) {
	key, age := s.find(id)
	if key != nil && age < keysFresh {
		return key, nil
	}
	if key != nil && age < keysExpire {
		if s.loading.TryLock() {
			defer s.loading.Unlock()
			if s.load(ctx) == nil {
				key, _ = s.find(id)
			}
		}
	} else {
		s.loading.Lock()
		defer s.loading.Unlock()
		if key, age = s.find(id); key == nil || age >= keysExpire { // nobody has fetched it meanwhile
			err := s.load(ctx)
			if key, age = s.find(id); age >= keysExpire {
				return nil, err
			}
		}
	}
	if key == nil {
		return nil, ErrUnknownKey
	}
	return key, nil
}

// find looks the key up, and tells how long ago its set was fetched.
func (s *keySet) find(id keyID) (key crypto.PublicKey, age time.Duration) {
	s.mu.RLock()
	keys, fetched := s.keys, s.fetched
	s.mu.RUnlock()
	age = s.now().Sub(fetched)
	if id.kid != "" {
		return keys[id], age
	}
	for other, candidate := range keys {
		if other.algorithm != id.algorithm {
			continue
		}
		if key != nil {
			return nil, age
		}
		key = candidate
	}
	return key, age
}

// load fetches the set, unless that was tried a moment ago. The caller holds loading.
func (s *keySet) load(ctx context.Context) error {
	now := s.now()
	if now.Sub(s.tried) < keysRetry {
		return s.failed
	}
	s.tried = now
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	keys, err := s.read(ctx)
	if err != nil {
		s.failed = fmt.Errorf("%w: %w", ErrKeys, err)
		return s.failed
	}
	s.failed = nil
	s.mu.Lock()
	s.keys, s.fetched = keys, s.now()
	s.mu.Unlock()
	return nil
}

func (s *keySet) read(ctx context.Context) (map[keyID]crypto.PublicKey, error) {
	text, err := s.fetch(ctx)
	if err != nil {
		return nil, err
	}
	// Keys are read one by one: a set may have some of a kind that is not known here.
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("the key set is no JSON Web Key Set: %w", err)
	}
	keys := map[keyID]crypto.PublicKey{}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) != nil || !key.Valid() || key.Use != "" && key.Use != "sig" {
			continue
		}
		algorithm, public := verifier(key.Key)
		if public == nil || key.Algorithm != "" && key.Algorithm != string(algorithm) {
			continue
		}
		keys[keyID{key.KeyID, algorithm}] = public
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of the set's %d keys can verify one of %v", len(set.Keys), algorithms)
	}
	return keys, nil
}

// verifier is the one algorithm that a key verifies here.
func verifier(key any) (jose.SignatureAlgorithm, crypto.PublicKey) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= minRSABits {
			return jose.RS256, k
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return jose.ES256, k
		}
	case ed25519.PublicKey:
		return jose.EdDSA, k
	}
	return "", nil
}
