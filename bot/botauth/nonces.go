package botauth

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	maxNonces         = 1 << 18
	maxNoncesOfAgent  = maxNonces / 4
	sweepNoncesPeriod = time.Second
)

// Nonces remembers which nonces were used, each until its signature ends. It is safe for concurrent use. A nonce takes some 60 bytes,
// and there are at most 262,144, a quarter of them of one agent: what does not fit is refused.
type Nonces struct {
	started time.Time

	mu    sync.Mutex
	used  map[nonceKey]time.Time // until when
	count map[string]int         // by agent
	swept time.Time
}

// nonceKey is a digest of the agent, the key and the nonce, which are as long as the client likes.
type nonceKey struct {
	digest [16]byte
	agent  string
}

// NewNonces makes an empty memory at a time. Signatures made before it are refused: they may have been used before a restart.
func NewNonces(now time.Time) *Nonces {
	return &Nonces{started: now, used: map[nonceKey]time.Time{}, count: map[string]int{}}
}

// use notes a nonce of an agent until a time, or says that it was used.
func (n *Nonces) use(agent, keyID, nonce string, now, until time.Time) error {
	sum := sha256.Sum256([]byte(keyID + "\x00" + nonce))
	key := nonceKey{[16]byte(sum[:16]), agent}
	n.mu.Lock()
	defer n.mu.Unlock()
	if end, ok := n.used[key]; ok && !now.After(end) {
		return ErrReplayed
	}
	if len(n.used) >= maxNonces || n.count[agent] >= maxNoncesOfAgent {
		n.sweep(now)
		if len(n.used) >= maxNonces || n.count[agent] >= maxNoncesOfAgent {
			return ErrNonceSpace
		}
	}
	if _, ok := n.used[key]; !ok {
		n.count[agent]++
	}
	n.used[key] = until
	return nil
}

// sweep forgets the nonces whose signatures have ended. Called under mu, and looks through all at most once a second.
func (n *Nonces) sweep(now time.Time) {
	if now.Sub(n.swept) < sweepNoncesPeriod {
		return
	}
	n.swept = now
	for key, end := range n.used {
		if now.After(end) {
			delete(n.used, key)
			if n.count[key.agent]--; n.count[key.agent] == 0 {
				delete(n.count, key.agent)
			}
		}
	}
}
