// Package access tells who a request comes from, by the credentials that it carries, and whether that one may pass.
//
// It owns the verification of JSON Web Tokens (RFC 7519) by the key sets of their issuers (RFC 7517), service tokens, and policies over
// what they claim. It must not know Caddy, how a token is found in a request, or how a key set travels: the caller fetches it.
//
// Everything fails closed: what cannot be verified is nobody, and nobody passes a policy.
package access
