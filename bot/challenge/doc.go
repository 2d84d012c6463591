// Package challenge asks a browser for a proof of work, and remembers in a signed cookie that it was given.
//
// It owns the puzzle, its solution, the question for those without scripts, the cookie, and the page. It must not know Caddy or how a client
// is scored. It keeps nothing of a puzzle that it gave out: the puzzle carries a MAC, and only solutions that were used are
// remembered, until they end.
package challenge
