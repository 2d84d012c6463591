// Package load is a closed-loop HTTP/1.1 load generator: a fixed number of keep-alive connections, each of which sends
// its next request as soon as it has read the answer to the last.
//
// It knows requests and answers as bytes and nothing of what is measured with it. Every answer is read whole and
// handed to the caller's check, so a server cannot look fast by answering wrongly. It speaks as little HTTP as
// that takes: status line, Content-Length and chunked bodies, no redirects, no compression, no TLS.
package load
