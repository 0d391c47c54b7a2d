package plan

import (
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// encryptedPath says which IP packets of an encrypted network pass without a VXLAN header, of what is to be
// forwarded. Another host takes them by their addresses. So those of this host count only if the others believe them.
func encryptedPath(fw *Forwarding, n network.Network, v network.VTEP, k Known) *kernel.EncryptedPath {
	p := &kernel.EncryptedPath{
		Send: v.WireGuard, Receive: []string{n.WireGuard[0].Name, n.WireGuard[1].Name}, Takers: k.TakesIP,
	}
	if k.Only != nil {
		p.Only = append([]netip.Addr{}, k.Only.Addrs...)
	}
	rule := newForwardingRule(n, v, k)
	for _, e := range fw.Tables.Neighbours {
		if vtep, ok := rule.vtepOf(e.MAC); ok {
			p.Remote = append(p.Remote, kernel.ContainerAddress{Addr: e.Addr, MAC: e.MAC, VTEP: vtep})
		}
	}
	if !k.SkipPorts {
		p.Local = localAddresses(n, v, k)
	}
	return p
}

// localAddresses are those of this host's containers, and of its bridge: other hosts know it as they do containers.
func localAddresses(n network.Network, v network.VTEP, k Known) (local []kernel.ContainerAddress) {
	for _, e := range k.Local {
		if e.MAC.IsZero() || k.cedesMAC(e) {
			continue
		}
		for _, a := range e.Addrs {
			if !k.Ceded[a.Addr()] {
				local = append(local, kernel.ContainerAddress{Addr: a.Addr(), MAC: e.MAC})
			}
		}
	}
	if len(local) == 0 {
		return nil
	}
	for _, s := range n.Subnets {
		if s.HostAddress.IsValid() && s.HostAddress != s.Gateway {
			bridge := network.BridgeMAC(n.Tunnel.VNI, v.Local)
			local = append(local, kernel.ContainerAddress{Addr: s.HostAddress, MAC: bridge})
		}
	}
	return local
}
