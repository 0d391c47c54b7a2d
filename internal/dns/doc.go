// Package dns answers container names on each network's own addresses on this
// host.
//
// It is given the desired state (Server.Set) and serves it; where names come from
// and who else knows them is not its business. What it decides follows
// aardvark-dns, Podman's own resolver, unless a comment says why not.
package dns
