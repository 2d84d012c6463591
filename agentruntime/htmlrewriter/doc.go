// Package htmlrewriter rewrites HTML as it streams by: handlers see the elements that their selectors match, with their
// texts and comments, and change them; every byte that no handler touches leaves as it came.
//
// It has the semantics of Cloudflare's HTMLRewriter (https://developers.cloudflare.com/workers/runtime-apis/html-rewriter/).
// No tree is built: memory grows with the depth of the document and with its largest single token. It must not know
// JavaScript; the classes that code sees are agentruntime's.
package htmlrewriter
