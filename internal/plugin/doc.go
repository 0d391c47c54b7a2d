// Package plugin carries out what Podman asks of the plugin on this host: create, setup and
// teardown of a network. It also has the user's reload.
//
// A verb checks what it is given, opens the namespaces, and has package hoststate change the host
// under its lock. What it holds itself is the order of these steps, and what to undo when one
// fails.
package plugin
