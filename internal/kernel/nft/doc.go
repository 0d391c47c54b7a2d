// Package nft keeps this project's nftables: two tables of constant rules, with
// the sets by which networks and endpoints take part in them, and a table for the
// shortcut of each network (shortcut.go), which filters nothing.
//
// The rules are in rules_inet.go and rules_bridge.go, and `nft list table inet
// vxlan-driver` prints them with what each is for. What grows is in sets and maps, so that a packet passes
// the same few rules whether the host has one container or a thousand, and a
// start adds a few elements whatever is there. Tables of other programs are
// never touched.
//
// It speaks nfnetlink by itself (package nlmsg): of the Go libraries none can
// declare a key by expression (`typeof … @th,96,24`, the VNI), without which a
// listing cannot be loaded again, or look up a single element.
package nft
