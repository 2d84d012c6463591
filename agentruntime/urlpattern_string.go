package agentruntime

// patternReader takes a whole URL pattern, given as one string, apart into the patterns of its components
// (https://urlpattern.spec.whatwg.org/#constructor-string-parsing).
type patternReader struct {
	in        []rune
	tokens    []patternToken
	result    patternInit
	start     int // where the component begins
	index     int
	increment int
	groups    int // open braces
	brackets  int
	special   bool // the protocol matches a special scheme
	state     componentName
	// matches tells whether a pattern of a protocol matches a special scheme.
	matches func(protocol string) (bool, error)
}

// componentName names a component, and with the others a state of the reader.
type componentName int

const (
	inProtocol componentName = iota
	inUsername
	inPassword
	inHostname
	inPort
	inPathname
	inSearch
	inHash
	componentCount
	inInit
	inAuthority
	inDone
)

var componentNames = [componentCount]string{"protocol", "username", "password", "hostname", "port", "pathname", "search", "hash"}

// patternInit is a URLPatternInit: what is nil was not given.
type patternInit struct {
	part [componentCount]*string
	base *string
}

func (i *patternInit) set(name componentName, value string) { i.part[name] = &value }

func (i *patternInit) lacks(names ...componentName) bool {
	for _, name := range names {
		if i.part[name] != nil {
			return false
		}
	}
	return true
}

func readPattern(s string, matches func(string) (bool, error)) (*patternInit, error) {
	p := &patternReader{in: []rune(s), state: inInit, matches: matches}
	p.tokens = tokenize(p.in, true)
	for ; p.index < len(p.tokens); p.index += p.increment {
		p.increment = 1
		switch token := p.tokens[p.index]; {
		case token.kind == tokenEnd:
			if done := p.end(); done {
				if p.result.part[inHostname] != nil && p.result.part[inPort] == nil {
					p.result.set(inPort, "")
				}
				return &p.result, nil
			}
			continue
		case token.kind == tokenOpen:
			p.groups++
			continue
		case p.groups > 0:
			if token.kind == tokenClose {
				p.groups--
			}
			if p.groups > 0 || token.kind != tokenClose {
				continue
			}
		}
		if err := p.step(); err != nil {
			return nil, err
		}
	}
	return &p.result, nil
}

func (p *patternReader) end() (done bool) {
	switch p.state {
	case inInit:
		p.rewind()
		switch {
		case p.isHash():
			p.change(inHash, 1)
		case p.isSearch():
			p.change(inSearch, 1)
		default:
			p.change(inPathname, 0)
		}
	case inAuthority:
		p.rewind()
		p.state = inHostname
	default:
		p.change(inDone, 0)
		return true
	}
	return false
}

func (p *patternReader) step() error {
	// after is what ends a component before the path, in the order in which it is looked for.
	after := func() bool {
		switch {
		case p.is(p.index, "/"):
			p.change(inPathname, 0)
		case p.isSearch():
			p.change(inSearch, 1)
		case p.isHash():
			p.change(inHash, 1)
		default:
			return false
		}
		return true
	}
	switch p.state {
	case inInit:
		if p.is(p.index, ":") {
			p.rewind()
			p.state = inProtocol
		}
	case inProtocol:
		if !p.is(p.index, ":") {
			return nil
		}
		special, err := p.matches(p.component())
		if err != nil {
			return err
		}
		p.special = special
		switch {
		case p.is(p.index+1, "/") && p.is(p.index+2, "/"):
			p.change(inAuthority, 3)
		case special:
			p.change(inAuthority, 1)
		default:
			p.change(inPathname, 1)
		}
	case inAuthority:
		switch {
		case p.is(p.index, "@"):
			p.rewind()
			p.state = inUsername
		case p.is(p.index, "/") || p.isSearch() || p.isHash():
			p.rewind()
			p.state = inHostname
		}
	case inUsername:
		if p.is(p.index, ":") {
			p.change(inPassword, 1)
		} else if p.is(p.index, "@") {
			p.change(inHostname, 1)
		}
	case inPassword:
		if p.is(p.index, "@") {
			p.change(inHostname, 1)
		}
	case inHostname:
		switch {
		case p.is(p.index, "["):
			p.brackets++
		case p.is(p.index, "]"):
			p.brackets--
		case p.is(p.index, ":") && p.brackets == 0:
			p.change(inPort, 1)
		default:
			after()
		}
	case inPort:
		after()
	case inPathname:
		if p.isSearch() {
			p.change(inSearch, 1)
		} else if p.isHash() {
			p.change(inHash, 1)
		}
	case inSearch:
		if p.isHash() {
			p.change(inHash, 1)
		}
	}
	return nil
}

func (p *patternReader) rewind() { p.index, p.increment = p.start, 0 }

// component is the text from where the component began.
func (p *patternReader) component() string {
	return string(p.in[p.token(p.start).index:p.token(p.index).index])
}

// change ends the component and goes on with another. What lies between the two and was not written is empty, so that
// a base URL does not fill it.
func (p *patternReader) change(to componentName, skip int) {
	from := p.state
	if from < componentCount {
		p.result.set(from, p.component())
	}
	if from != inInit && to != inDone {
		fill := func(name componentName, fromUpTo, toAfter componentName, value string) {
			if (from == inAuthority || from <= fromUpTo) && to >= toAfter && to < componentCount && p.result.part[name] == nil {
				p.result.set(name, value)
			}
		}
		fill(inHostname, inPassword, inPort, "")
		path := ""
		if p.special {
			path = "/"
		}
		fill(inPathname, inPort, inSearch, path)
		fill(inSearch, inPathname, inHash, "")
	}
	p.state = to
	p.index += skip
	p.start, p.increment = p.index, 0
}

func (p *patternReader) token(i int) patternToken {
	if i < len(p.tokens) {
		return p.tokens[i]
	}
	return p.tokens[len(p.tokens)-1]
}

// is reports whether a token is a character without a meaning in patterns.
func (p *patternReader) is(i int, value string) bool {
	t := p.token(i)
	return t.value == value && (t.kind == tokenChar || t.kind == tokenEscaped || t.kind == tokenInvalid)
}

func (p *patternReader) isHash() bool { return p.is(p.index, "#") }

// isSearch tells a question mark that begins the search from one that makes what is before it optional.
func (p *patternReader) isSearch() bool {
	if p.is(p.index, "?") {
		return true
	}
	if p.token(p.index).value != "?" {
		return false
	}
	if p.index == 0 {
		return true
	}
	switch p.token(p.index - 1).kind {
	case tokenName, tokenRegexp, tokenClose, tokenAsterisk:
		return false
	}
	return true
}
