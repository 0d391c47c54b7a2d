// Package fastpath has packets between containers of different hosts pass from port to VXLAN device and back, without the
// bridge and its hooks.
//
// Path is what the rest of the project sees. Redirector implements it by nftables and tc:
//   - What containers send is picked by an nftables table of family netdev, one a network, with a chain on each port's
//     ingress (outbound.go): a packet may be for any of many MACs.
//   - What comes for containers is picked by tc filters on the VXLAN device (inbound.go). nftables' fwd does not keep the
//     checksum that a network card gives with a packet (nf_do_netdev_egress pushes the Ethernet header without it), and
//     the kernel would report a fault of the card.
//   - The bridge gets static, sticky entries of the containers' MACs, since it cannot learn from packets that do not pass
//     it.
//
// An eBPF program can be another Path.
package fastpath
