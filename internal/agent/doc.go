// Package agent is the loop that keeps a host in step with its own store and with
// the other hosts.
//
// Each turn starts from nothing: it reads the store and what the other hosts say,
// and makes the kernel, the name server and what this host tells the others be as
// they should. So it can be killed at any time.
//
// A container that starts does not wait for a turn: its names are added to what the last one
// found, and the next one follows within milliseconds.
package agent
