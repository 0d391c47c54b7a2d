// Package rtnl reads and changes a namespace's links, addresses, routes and forwarding tables
// through rtnetlink.
//
// Links are looked up by name each time, and never found in a dump of all links. So the cost of a
// call does not grow with what else is on the host. Ports and Tunnels are exceptions.
package rtnl
