package webcrypto

// Operation is what a normalized algorithm is for (https://w3c.github.io/webcrypto/#algorithm-normalization).
type Operation uint8

const (
	OpEncrypt Operation = iota
	OpDecrypt
	OpSign
	OpVerify
	OpGenerate
	OpImport
	OpDerive // deriveBits
	OpLength // get key length
	OpWrap
	OpUnwrap
)

// Params is a normalized algorithm. Only the fields that Lookup names for it are set.
type Params struct {
	Name           string
	Hash           string // canonical
	NamedCurve     string
	Length         int // bits; -1 when it was not given
	ModulusLength  int // bits
	PublicExponent []byte
	IV             []byte
	Counter        []byte
	AdditionalData []byte
	TagLength      int // bits; -1 when it was not given
	Label          []byte
	Salt           []byte
	Info           []byte
	Iterations     int
	SaltLength     int // bytes
	Public         *Key
}

// Kind says how a member of an algorithm's dictionary is read.
type Kind uint8

const (
	KindBytes      Kind = iota // BufferSource
	KindBigInteger             // Uint8Array
	KindOctet                  // [EnforceRange] octet
	KindShort                  // [EnforceRange] unsigned short
	KindLong                   // [EnforceRange] unsigned long
	KindString
	KindHash // HashAlgorithmIdentifier
	KindKey  // CryptoKey
)

// Member is one member of an algorithm's dictionary.
type Member struct {
	Name     string
	Kind     Kind
	Required bool
}

// The dictionaries of the specification, by their order of reading.
var (
	dictHash      = []Member{{"hash", KindHash, true}}
	dictHMAC      = []Member{{"hash", KindHash, true}, {"length", KindLong, false}}
	dictLength    = []Member{{"length", KindShort, true}}
	dictCBC       = []Member{{"iv", KindBytes, true}}
	dictGCM       = []Member{{"additionalData", KindBytes, false}, {"iv", KindBytes, true}, {"tagLength", KindOctet, false}}
	dictCTR       = []Member{{"counter", KindBytes, true}, {"length", KindOctet, true}}
	dictRSA       = []Member{{"modulusLength", KindLong, true}, {"publicExponent", KindBigInteger, true}, {"hash", KindHash, true}}
	dictOAEP      = []Member{{"label", KindBytes, false}}
	dictPSS       = []Member{{"saltLength", KindLong, true}}
	dictCurve     = []Member{{"namedCurve", KindString, true}}
	dictNodeCurve = []Member{{"namedCurve", KindString, false}}
	dictPublic    = []Member{{"public", KindKey, true}}
	dictHKDF      = []Member{{"hash", KindHash, true}, {"info", KindBytes, true}, {"salt", KindBytes, true}}
	dictPBKDF2    = []Member{{"hash", KindHash, true}, {"iterations", KindLong, true}, {"salt", KindBytes, true}}
)

// algorithm is an implementation. An operation is registered for it when params has it.
type algorithm struct {
	params map[Operation][]Member

	generate func(p *Params, extractable bool, usages Usages) (*Key, *Key, error)
	// check finds what is wrong with the parameters of generate; it is called first and costs nothing.
	check   func(p *Params, usages Usages) error
	imports func(format string, data KeyData, p *Params, extractable bool, usages Usages) (*Key, error)
	export  func(format string, k *Key) (KeyData, error)
	encrypt func(k *Key, p *Params, data []byte) ([]byte, error)
	decrypt func(k *Key, p *Params, data []byte) ([]byte, error)
	sign    func(k *Key, p *Params, data []byte) ([]byte, error)
	verify  func(k *Key, p *Params, signature, data []byte) (bool, error)
	derive  func(k *Key, p *Params, length int) ([]byte, error)
	length  func(p *Params) (int, error)
}

// algorithms are the implementations by canonical name; names finds the canonical name of one in lower case. Both are
// read-only once the program runs.
var (
	algorithms = map[string]*algorithm{}
	names      = map[string]string{}
)

func register(name string, a *algorithm) {
	algorithms[name] = a
	names[upper(name)] = name
}

// upper changes the case of ASCII letters only: the Kelvin sign is no k in the name of an algorithm.
func upper(name string) string {
	b := []byte(name)
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// Lookup returns the canonical name of the algorithm that name means for op, and the members of its dictionary. ok is
// false where the algorithm is unknown or has no such operation.
func Lookup(op Operation, name string) (canonical string, members []Member, ok bool) {
	canonical, ok = names[upper(name)]
	if !ok {
		return "", nil, false
	}
	members, ok = algorithms[canonical].params[op]
	return canonical, members, ok
}
