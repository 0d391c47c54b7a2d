// Package nft keeps this project's nftables: two tables of constant rules, with
// the sets by which networks and endpoints take part in them. Package fastpath has a table of its own for
// each network, made of the same parts.
//
// The rules are in rules_inet.go and rules_bridge.go, and `nft list table inet
// vxlan-driver` prints them with what each is for. What grows is in sets and maps, so that a packet passes
// the same few rules whether the host has one container or a thousand, and a
// start adds a few elements whatever is there. Tables of other programs are
// never touched.
//
// It writes the messages by itself. google/nftables cannot declare a key by expression (`typeof … @th,96,24`, the VNI),
// without which nft could not load its own listing again, and has no fwd. It can look up a single element on its main
// branch (November 2025, after v0.3.0).
package nft
