// Command bench measures Gatehouse against its peers, in turn, on one machine, and prints ratios.
//
// It builds what it measures, starts each server on 127.0.0.1, checks that its answers are right, and then lets the
// sides of a scenario take turns for several rounds, so that what else the machine does falls on all of them. Only
// the ratios of one run count: the figures of two runs, or of two machines, say little about each other.
//
// It knows servers as processes with an address; nothing of Gatehouse's packages is linked in. It needs Linux (CPU
// time and memory are read from /proc), Go, and npm for workerd.
package main
