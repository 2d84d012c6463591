//go:build !unix

package egress

import "net"

// open cannot look here: a connection that its server has closed shows at the next request, which is sent again if it may
// be.
func open(net.Conn) bool { return true }
