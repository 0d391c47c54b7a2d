// Package fastpath passes packets between containers of different hosts from port to VXLAN device
// and back, around the bridge and its hooks.
//
// Path is what the rest of the project sees. Redirector implements it with nftables and tc:
//   - Packets from containers are redirected by an nftables table of family netdev, one for each
//     network, with a chain on each port's ingress (outbound.go). Its set of remote MACs may be
//     large.
//   - Packets for containers are redirected by tc filters on the VXLAN device (inbound.go). nftables'
//     fwd does not keep the checksum that a network card gives with a packet: nf_do_netdev_egress
//     pushes the Ethernet header without it. The kernel would report a fault of the card.
//   - The bridge gets static, sticky entries of the containers' MACs, since it cannot learn from
//     packets that do not pass it.
//
// Package bpfpath has another Path over this one, of eBPF programs. What these have pinned, this
// package can remove (pinned.go): a plugin does, which does not link the library for them.
package fastpath
