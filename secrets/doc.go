// Package secrets keeps the credentials that agents use: a keyring of data
// keys, a vault file of secrets sealed under it, the Value type that never
// prints itself, and a Redactor that strikes known values out of text.
//
// It owns the formats of the two files and the rule that a value is in the
// clear only between Value.Reveal and its use. It must not know Caddy, HTTP,
// JavaScript or who may use which secret: callers decide that.
package secrets
