// Package egress decides what agent code may send out, and sends it.
//
// It owns named outbound policies: which hosts, ports, methods and paths a
// request may name, which addresses a name may resolve to, how redirects are
// followed, and how large and slow an answer may be. Everything is refused
// unless a rule allows it, and every doubt is decided as a refusal.
//
// A request is decided twice. First on its URL: the scheme, the host after
// normalisation, the port, the method and the path must fit one allow rule and
// no deny rule. Then on its addresses: when a connection is opened, the name is
// resolved once, every address of that answer must be permitted, and only an
// address of that same answer is dialled, so a name that changes its answer
// between the check and the connection gains nothing. Each redirect goes
// through both decisions again.
//
// The package knows no Caddy, no JavaScript and no sibling package; it speaks
// net/http requests and responses and returns verdicts as errors and values.
package egress
