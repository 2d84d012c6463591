package challenge

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// DefaultDifficulty is how many leading bits of a solution's digest are zero: some 130,000 digests, a second or less.
	DefaultDifficulty = 17
	// MaxDifficulty is the most that a person waits for on a telephone, about a minute.
	MaxDifficulty = 24
	// DefaultLifetime is how long a cookie is good for.
	DefaultLifetime = 24 * time.Hour

	puzzleLifetime = 10 * time.Minute
	questionPause  = 3 * time.Second // before an answer is taken
	maxSolved      = 1 << 16
	maxReturn      = 2048 // bytes of the address to return to
	maxText        = 8192 // bytes of a puzzle or a cookie
)

// Config is what challenges are made with. Key and Solved are needed.
type Config struct {
	// Key signs puzzles and cookies; 32 bytes.
	Key []byte
	// Solved are the solved puzzles, which outlive this configuration.
	Solved *Solved
	// Difficulty is 1 to MaxDifficulty; default DefaultDifficulty.
	Difficulty int
	// Lifetime is how long a cookie is good for; default DefaultLifetime.
	Lifetime time.Duration
	// NoQuestion leaves out the question for browsers without scripts.
	NoQuestion bool
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Challenger gives out puzzles and takes solutions. It is safe for concurrent use.
type Challenger struct{ config Config }

// Solved remembers which puzzles were solved, each until it ends, so that a solution serves once. There are at most 65,536: what does not fit
// is refused. It is safe for concurrent use.
type Solved struct {
	mu    sync.Mutex
	until map[[16]byte]time.Time
}

// NewSolved makes an empty memory.
func NewSolved() *Solved { return &Solved{until: map[[16]byte]time.Time{}} }

// New makes a challenger.
func New(c Config) *Challenger {
	if c.Difficulty == 0 {
		c.Difficulty = DefaultDifficulty
	}
	if c.Lifetime == 0 {
		c.Lifetime = DefaultLifetime
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Challenger{config: c}
}

// Client is what a puzzle and a cookie belong to: where a client is, roughly, and its user agent. A telephone may change its address
// within its provider's network.
type Client struct {
	Addr      netip.Addr
	UserAgent string
}

// digest keeps the client out of what is sent.
func (c Client) digest() string {
	length := 24
	if c.Addr.Is6() && !c.Addr.Is4In6() {
		length = 48
	}
	prefix, _ := c.Addr.Unmap().Prefix(length) // of no address, nothing
	sum := sha256.Sum256([]byte(prefix.String() + "\n" + c.UserAgent))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// puzzle is what a browser has to solve, and carries.
type puzzle struct {
	ID         [16]byte `json:"i"`
	Made       int64    `json:"t"` // Unix seconds
	Client     string   `json:"c"`
	Difficulty int      `json:"d"`
	Return     string   `json:"r"` // the path and query to go back to
	A          int      `json:"a"` // the question is A plus B
	B          int      `json:"b"`
}

// cookie says that a client solved a puzzle.
type cookie struct {
	Made   int64  `json:"t"`
	Client string `json:"c"`
}

// Domains of the MACs: a cookie is no puzzle.
const (
	puzzles = "puzzle"
	cookies = "cookie"
)

// issue makes a puzzle for a client that wanted a path and query of this site.
func (c *Challenger) issue(client Client, back string) (puzzle, string) {
	if len(back) > maxReturn || !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") || strings.HasPrefix(back, "/\\") {
		back = "/"
	}
	p := puzzle{Made: c.config.Now().Unix(), Client: client.digest(), Difficulty: c.config.Difficulty, Return: back}
	_, _ = rand.Read(p.ID[:]) // it does not fail
	p.A, p.B = 1+int(p.ID[0]%9), 1+int(p.ID[1]%9)
	return p, c.seal(puzzles, p)
}

// Solve takes what a browser sent: the puzzle, and the number that solves it or the answer to its question. It gives the cookie's value and
// the path and query to go back to, which is of this site.
func (c *Challenger) Solve(client Client, text, number, answer string) (value, back string, err error) {
	var p puzzle
	if err := c.open(puzzles, text, &p); err != nil {
		return "", "", err
	}
	now, made := c.config.Now(), time.Unix(p.Made, 0)
	ends := made.Add(puzzleLifetime)
	switch {
	case now.After(ends):
		return "", "", ErrExpired
	case p.Client != client.digest():
		return "", "", ErrClient
	case number != "":
		if len(number) > 20 || !solves(text, number, p.Difficulty) {
			return "", "", ErrUnsolved
		}
	case c.config.NoQuestion:
		return "", "", ErrUnsolved
	case now.Before(made.Add(questionPause)):
		return "", "", ErrEarly
	default:
		if n, err := strconv.Atoi(strings.TrimSpace(answer)); err != nil || n != p.A+p.B {
			return "", "", ErrUnsolved
		}
	}
	if err := c.config.Solved.add(p.ID, now, ends); err != nil {
		return "", "", err
	}
	return c.seal(cookies, cookie{now.Unix(), p.Client}), p.Return, nil
}

// Passed checks a cookie's value.
func (c *Challenger) Passed(client Client, value string) error {
	var k cookie
	if err := c.open(cookies, value, &k); err != nil {
		return err
	}
	switch {
	case c.config.Now().After(time.Unix(k.Made, 0).Add(c.config.Lifetime)):
		return ErrExpired
	case k.Client != client.digest():
		return ErrClient
	}
	return nil
}

// Lifetime is how long a cookie is good for.
func (c *Challenger) Lifetime() time.Duration { return c.config.Lifetime }

// solves tells whether the SHA-256 of the puzzle, a colon and the number begins with so many zero bits.
func solves(text, number string, difficulty int) bool {
	sum := sha256.Sum256([]byte(text + ":" + number))
	return bits.LeadingZeros32(binary.BigEndian.Uint32(sum[:4])) >= difficulty
}

// add notes that a puzzle was solved, or says that it was before.
func (s *Solved) add(id [16]byte, now, ends time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.until[id]; used {
		return ErrUsed
	}
	if len(s.until) >= maxSolved {
		for other, end := range s.until {
			if now.After(end) {
				delete(s.until, other)
			}
		}
		if len(s.until) >= maxSolved {
			return ErrFull
		}
	}
	s.until[id] = ends
	return nil
}

// seal writes a value with its MAC.
func (c *Challenger) seal(domain string, value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // structs of texts and numbers
	}
	body := base64.RawURLEncoding.EncodeToString(text)
	return body + "." + base64.RawURLEncoding.EncodeToString(c.mac(domain, body))
}

// open reads what seal wrote.
func (c *Challenger) open(domain, text string, value any) error {
	body, mac, ok := strings.Cut(text, ".")
	if !ok || len(text) > maxText {
		return ErrMalformed
	}
	given, err := base64.RawURLEncoding.DecodeString(mac)
	if err != nil || !hmac.Equal(given, c.mac(domain, body)) {
		return ErrMalformed
	}
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || json.Unmarshal(raw, value) != nil {
		return ErrMalformed
	}
	return nil
}

func (c *Challenger) mac(domain, body string) []byte {
	h := hmac.New(sha256.New, c.config.Key)
	h.Write([]byte("gatehouse challenge v1 " + domain + "\n" + body))
	return h.Sum(nil)
}
