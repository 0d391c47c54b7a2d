// Package agent is the loop that keeps a host in step with its own store and with
// the other hosts.
//
// Each turn starts from nothing: it reads the store and what the other hosts say,
// and makes the kernel, the name server and what this host tells the others be as
// they should. So it can be killed at any time.
package agent
