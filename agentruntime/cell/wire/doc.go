// Package wire is what a gateway and one of its cells say to each other: frames over a stream socket, exchanges made of
// frames, and the messages that exchanges carry.
//
// An exchange is one request of one side with what belongs to it: an answer, notes in between, and a stream of bytes in
// each direction, with a window that keeps the sender from running ahead of the reader. Any number of exchanges share
// the socket. Both sides use the same code; neither trusts the other: what is malformed ends the connection.
//
// It must not know processes, sandboxes or Caddy. Of agentruntime it has the plain data of Host.
package wire
