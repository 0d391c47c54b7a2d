// Package rtnl reads and changes a namespace's links, addresses, routes, FDB and tc filters
// through rtnetlink.
//
// It is the only importer of the netlink library, and of that uses the message
// layer (package nl) alone: the library's own types cannot say "not set", lack
// VXLAN attributes that this project needs, and add 0.9 MB to a program where the
// message layer adds 0.2.
//
// Links are looked up by name each time and never found in a dump of all links,
// so the cost of a call does not grow with what else is on the host, except as
// Ports and Tunnels say.
package rtnl
