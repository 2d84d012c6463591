// Package botauth verifies Web Bot Auth: requests that an automated client signed with a key of the agent that it names.
//
// It owns HTTP Message Signatures (RFC 9421) as far as the protocol needs them, the agents' key directories and their cache, and the memory
// of nonces, which are good for one request. It must not know Caddy, or how a directory travels: the caller fetches it.
//
// Everything fails closed: what cannot be verified is nobody's.
//
// Sources: RFC 9421; draft-ietf-webbotauth-httpsig-protocol and its directory draft; RFC 7638 and RFC 8037 for the names of keys.
package botauth
