// Package bpfpath passes packets between containers of different hosts by eBPF programs, from a
// container's port to the underlay and back. They pass neither the bridge nor the VXLAN device, nor
// the host's IP a second time.
//
// Path is the fastpath.Path of a host with such programs. It keeps the one of nftables and tc below
// them: what a program does not take goes that way, or by the bridge.
//
// docs/design/ebpf.md draws a packet's way and says what each program does. The programs are in
// programs/; generate.go says how their object is made.
package bpfpath
