// Package webcrypto is the algorithms of the Web Cryptography API (https://w3c.github.io/webcrypto/) on plain data: keys,
// their import and export, and what is done with them. It knows nothing of JavaScript: who calls it reads the
// arguments, asks Lookup what dictionary an algorithm takes, and gives a Params.
//
// The order of the checks, and with it which error wins, is the specification's. An error that code is to see is an
// *Error, which carries the name of the DOMException. Keys are immutable and safe for concurrent use.
package webcrypto
