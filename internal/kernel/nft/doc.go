// Package nft maintains this project's nftables: two tables of constant rules, and the sets and
// maps that have what networks and endpoints need. Package fastpath has a table of its own for each
// network, made of the same parts.
//
// The rules are in rules_inet.go and rules_bridge.go. `nft list table inet vxlan-driver` prints
// each with its purpose. What grows is in sets and maps. So a packet passes the same few rules
// beside one container or a thousand, and a start adds only a few elements. Tables of other
// programs are never touched.
//
// It writes the messages by itself. google/nftables cannot declare a key by expression (`typeof …
// @th,96,24`, the VNI). Without that, nft could not load its own listing again. The library also
// has no fwd. It can look up a single element on its main branch (November 2025, after v0.3.0).
package nft
