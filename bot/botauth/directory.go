package botauth

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dunglas/httpsfv"
	"github.com/go-jose/go-jose/v4"
)

// DirectoryPath is where an agent's origin has its key directory, and DirectoryType the media type of one.
const (
	DirectoryPath = "/.well-known/http-message-signatures-directory"
	DirectoryType = "application/http-message-signatures-directory+json"
)

const (
	directoryTag   = "http-message-signatures-directory"
	directoryFresh = time.Hour // where it does not say
	minFresh       = time.Minute
	maxFresh       = 24 * time.Hour
	fetchRetry     = 30 * time.Second // the least time between two fetches of one directory
	fetchTimeout   = 5 * time.Second
	maxDirectories = 1000
	maxFetches     = 8 // at a time
	maxKeys        = 64
)

// Answer is what the place of a directory answered. Its body was read whole, and is bounded by who fetched it.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// directories are the key directories that were asked for, the most recent maxDirectories. They are safe for concurrent use.
type directories struct {
	fetch    func(ctx context.Context, address string) (*Answer, error)
	now      func() time.Time
	leeway   time.Duration
	fetching chan struct{}

	mu       sync.Mutex
	byOrigin map[string]*directory
}

// directory is that of one origin.
type directory struct {
	origin, authority string
	used              time.Time // under directories.mu

	loading sync.Mutex // before mu; one fetch serves all who wait for it
	tried   time.Time  // under loading
	failed  error      // under loading: why the last try was in vain

	mu      sync.RWMutex
	keys    map[string]publicKey // by thumbprint; replaced, never changed
	expires time.Time
}

type publicKey struct {
	key              ed25519.PublicKey
	notBefore, until time.Time // zero for no bound
}

// directory is that of an origin, which may have to be fetched yet. Where there are too many, one without keys has to go, or else the
// one that was not used for the longest time.
func (ds *directories) directory(u *url.URL) *directory {
	origin := u.Scheme + "://" + u.Host
	ds.mu.Lock()
	defer ds.mu.Unlock()
	d := ds.byOrigin[origin]
	if d == nil {
		if len(ds.byOrigin) >= maxDirectories {
			ds.evict()
		}
		authority := (&message{scheme: u.Scheme, authority: u.Host}).normalAuthority()
		d = &directory{origin: origin, authority: authority}
		ds.byOrigin[origin] = d
	}
	d.used = ds.now()
	return d
}

func (ds *directories) evict() {
	var victim *directory
	worse := func(a, b *directory) bool {
		if ea, eb := a.empty(), b.empty(); ea != eb {
			return ea
		}
		return a.used.Before(b.used)
	}
	for _, d := range ds.byOrigin {
		if victim == nil || worse(d, victim) {
			victim = d
		}
	}
	delete(ds.byOrigin, victim.origin)
}

func (d *directory) empty() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.keys) == 0
}

// key is the key of that thumbprint. One that is known serves until its directory ends; who asks for another waits for the directory to
// be fetched, which happens no more often than fetchRetry.
func (ds *directories) key(ctx context.Context, d *directory, id string) (ed25519.PublicKey, error) {
	found, fresh := d.find(id, ds.now())
	if !found.valid() || !fresh {
		d.loading.Lock()
		defer d.loading.Unlock()
		if found, fresh = d.find(id, ds.now()); !found.valid() || !fresh { // nobody has fetched it meanwhile
			err := ds.load(ctx, d)
			if found, fresh = d.find(id, ds.now()); !fresh {
				return nil, cmp.Or(err, ErrUnreachable)
			}
		}
	}
	now := ds.now()
	switch {
	case !found.valid():
		return nil, ErrUnknownKey
	case now.Before(found.notBefore.Add(-ds.leeway)), !found.until.IsZero() && now.After(found.until.Add(ds.leeway)):
		return nil, ErrKeyTime
	}
	return found.key, nil
}

func (k publicKey) valid() bool { return k.key != nil }

func (d *directory) find(id string, now time.Time) (key publicKey, fresh bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.keys[id], now.Before(d.expires)
}

// load fetches the directory, unless that was tried a moment ago. The caller holds d.loading.
func (ds *directories) load(ctx context.Context, d *directory) error {
	if ds.now().Sub(d.tried) < fetchRetry {
		return d.failed
	}
	select {
	case ds.fetching <- struct{}{}:
		defer func() { <-ds.fetching }()
	default:
		return ErrBusy // not tried: the next request may
	}
	d.tried = ds.now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	answer, err := ds.fetch(ctx, d.origin+DirectoryPath)
	if err != nil {
		d.failed = fmt.Errorf("%w: %w", ErrUnreachable, err)
		return d.failed
	}
	keys, expires, err := d.read(answer, ds.now(), ds.leeway)
	if d.failed = err; err != nil {
		return err
	}
	d.mu.Lock()
	d.keys, d.expires = keys, expires
	d.mu.Unlock()
	return nil
}

// read takes the keys of a directory that signed that they are of its origin, and tells until when they may be used.
func (d *directory) read(a *Answer, now time.Time, leeway time.Duration) (map[string]publicKey, time.Time, error) {
	if a.Status >= 300 && a.Status < 400 {
		return nil, time.Time{}, ErrRedirects
	}
	if media, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type")); a.Status != http.StatusOK || media != DirectoryType {
		return nil, time.Time{}, fmt.Errorf("%w: status %d and media type %q", ErrDirectory, a.Status, media)
	}
	known, err := parseKeys(a.Body)
	if err != nil {
		return nil, time.Time{}, err
	}
	proofs, err := signatures(a.Header, directoryTag)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%w: %w", ErrOrigin, err)
	}
	m := &message{header: a.Header, status: a.Status, request: &message{
		method: http.MethodGet, scheme: strings.SplitN(d.origin, ":", 2)[0], authority: d.authority, target: DirectoryPath,
	}}
	keys := map[string]publicKey{}
	expires := now.Add(freshness(a.Header))
	err = fmt.Errorf("%w: no signature of its keys", ErrOrigin)
	for _, proof := range proofs {
		key, ok := known[proof.keyID]
		if !ok {
			continue
		}
		if e := d.prove(m, a.Body, &proof, key, now, leeway); e != nil {
			err = fmt.Errorf("%w: %w", ErrOrigin, e)
			continue
		}
		keys[proof.keyID] = key
		if proof.expires.Before(expires) {
			expires = proof.expires
		}
	}
	if len(keys) == 0 {
		return nil, time.Time{}, err
	}
	return keys, expires, nil
}

// prove checks that a key signed that it is of the directory's origin.
func (d *directory) prove(m *message, body []byte, proof *signature, key publicKey, now time.Time, leeway time.Duration) error {
	if !proof.covers(`"@authority";req`) {
		return ErrComponents
	}
	if err := proof.inTime(now, leeway); err != nil {
		return err
	}
	if proof.covers(`"content-digest"`) && !digestFits(m.header, body) {
		return fmt.Errorf("%w: its Content-Digest is not that of the body", ErrSignature)
	}
	return proof.verify(m, key.key)
}

// digestFits compares the body with Content-Digest (RFC 9530), of which sha-256 must be there.
func digestFits(h http.Header, body []byte) bool {
	d, err := dictionary(h, "Content-Digest")
	if err != nil || d == nil {
		return false
	}
	given, ok := d.Get("sha-256")
	if !ok {
		return false
	}
	item, _ := given.(httpsfv.Item)
	value, _ := item.Value.([]byte)
	sum := sha256.Sum256(body)
	return bytes.Equal(value, sum[:])
}

// parseKeys reads a JSON Web Key Set (RFC 7517), and takes the Ed25519 keys by their thumbprints.
func parseKeys(body []byte) (map[string]publicKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDirectory, err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("%w: it has %d keys, and %d are the most", ErrDirectory, len(set.Keys), maxKeys)
	}
	keys := map[string]publicKey{}
	for _, raw := range set.Keys {
		var jwk jose.JSONWebKey
		var times struct {
			NotBefore float64 `json:"nbf"`
			Until     float64 `json:"exp"`
		}
		if json.Unmarshal(raw, &jwk) != nil || json.Unmarshal(raw, &times) != nil || jwk.Use != "" && jwk.Use != "sig" {
			continue
		}
		public, ok := jwk.Key.(ed25519.PublicKey)
		if !ok {
			continue
		}
		thumb, err := jwk.Thumbprint(crypto.SHA256)
		if err != nil {
			continue
		}
		keys[base64.RawURLEncoding.EncodeToString(thumb)] = publicKey{public, keyTime(times.NotBefore), keyTime(times.Until)}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: none of its %d keys is of Ed25519", ErrDirectory, len(set.Keys))
	}
	return keys, nil
}

// keyTime reads a key's time: in seconds, or in milliseconds as the drafts' examples have it.
func keyTime(n float64) time.Time {
	const noSeconds = 1e11 // the year 5138
	switch {
	case n <= 0:
		return time.Time{}
	case n >= noSeconds:
		return time.UnixMilli(int64(min(n, 1e15)))
	}
	return time.Unix(int64(n), 0)
}

// freshness is how long a directory may be used, by its Cache-Control.
func freshness(h http.Header) time.Duration {
	fresh := directoryFresh
	for part := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(part)), "=")
		switch name {
		case "no-store", "no-cache":
			return minFresh
		case "max-age":
			if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				fresh = time.Duration(n) * time.Second
			}
		}
	}
	return min(max(fresh, minFresh), maxFresh)
}
