package sqlite

import "github.com/ncruces/go-sqlite3"

// statements are prepared statements that may be used again, by their text.
type statements struct {
	byText map[string]*sqlite3.Stmt
	order  []string // the least recently used first
	bytes  int
}

// take returns the statement of a text, which is the caller's then, or nil.
func (c *statements) take(text string) *sqlite3.Stmt {
	s := c.byText[text]
	if s != nil {
		c.forget(text)
	}
	return s
}

func (c *statements) forget(text string) {
	delete(c.byText, text)
	for i, t := range c.order {
		if t == text {
			c.order = append(c.order[:i], c.order[i+1:]...)
			break
		}
	}
	c.bytes -= len(text)
}

// put keeps a statement that was reset.
func (c *statements) put(text string, s *sqlite3.Stmt) {
	if c.byText[text] != nil || len(text) > cachedBytes/4 {
		_ = s.Close()
		return
	}
	if c.byText == nil {
		c.byText = make(map[string]*sqlite3.Stmt)
	}
	c.byText[text] = s
	c.order = append(c.order, text)
	c.bytes += len(text)
	for len(c.order) > cachedStatements || c.bytes > cachedBytes {
		oldest := c.order[0]
		_ = c.byText[oldest].Close()
		c.forget(oldest)
	}
}
