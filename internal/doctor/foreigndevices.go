package doctor

import (
	"cmp"
	"fmt"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
)

// checkForeignDevices says which device of another program keeps a network's from existing.
func checkForeignDevices(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		findings = append(findings, f.strays(n)...)
		for _, l := range n.Intruders {
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.DeviceForeign, Level: diagnosis.Failure, Network: n.Name,
				Summary:  fmt.Sprintf("another program's device has the name %s, which the network needs", l.Name),
				Evidence: []string{fmt.Sprintf("it is of kind %s, with the alias %q", cmp.Or(l.Kind, "physical"), l.Alias)},
				Mend:     []string{"ip link delete " + l.Name, reload},
			})
		}
		for _, d := range f.Devices {
			want := n.Tunnel
			want.Local = n.VTEP.Local
			if why := want.Conflict(d.Tunnel); why == "" || d.Name == n.Device.Name && d.Alias == n.Alias() {
				continue
			}
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.DeviceForeign, Level: diagnosis.Failure, Network: n.Name,
				Summary: fmt.Sprintf("device %s has the VNI %d on UDP port %d, which the network needs",
					d.Name, d.Tunnel.VNI, d.Tunnel.Port),
				Evidence: []string{fmt.Sprintf("ip link add %s type vxlan %s", d.Name, d.Tunnel)},
				Mend:     []string{"ip link delete " + d.Name, reload},
			})
		}
	}
	return findings
}

// strays says where a network's VXLAN device is that was moved, and which device takes the packets of
// all VNIs on its port.
func (f *Facts) strays(n Network) (findings []diagnosis.Finding) {
	if n.Stray != "" {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.DeviceMissing, Level: diagnosis.Failure, Network: n.Name,
			Summary: fmt.Sprintf("the VXLAN device %s was moved into another network namespace, and keeps its VNI",
				n.Device.Name),
			Evidence: []string{"nsenter --net=" + n.Stray + " ip link show type vxlan"},
			Mend:     []string{fmt.Sprintf("nsenter --net=%s ip link delete %s", n.Stray, n.Device.Name), reload},
		})
	}
	for _, c := range f.Collectors {
		if c.Port != n.Tunnel.Port || !f.lacksTunnelDevice(n) {
			continue
		}
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.DeviceForeign, Level: diagnosis.Failure, Network: n.Name,
			Summary: fmt.Sprintf("device %s takes packets of all VNIs on UDP port %d, which the network needs", c.Name,
				c.Port),
			Evidence: []string{"ip -d link show dev " + c.Name + " prints external"},
			Mend: []string{"ip link delete " + c.Name +
				"   # or recreate the network with another --opt vxlan_port on all hosts", reload},
		})
	}
	return findings
}

// checkTunnelAttributes says which attributes of VXLAN devices somebody has set that the network leaves
// to the kernel. A device is not made anew for them.
func checkTunnelAttributes(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, d := range f.Devices {
			if d.Name != n.Device.Name {
				continue
			}
			add := func(what, mend string) {
				findings = append(findings, diagnosis.Finding{
					Code: diagnosis.DeviceAltered, Level: diagnosis.Warning, Network: n.Name,
					Summary:  fmt.Sprintf("%s has %s, which the network does not ask for", d.Name, what),
					Evidence: []string{"ip -d link show dev " + d.Name},
					Mend:     []string{fmt.Sprintf("ip link set %s type vxlan %s", d.Name, mend)},
				})
			}
			if ttl := d.Tunnel.TTL.Value; !n.Tunnel.TTL.Set && ttl != (kernel.TTL{}) {
				what := "a TTL of its own"
				if ttl.Value > 0 {
					what = fmt.Sprintf("the TTL %d", ttl.Value)
				}
				add(what, "ttl 0")
			}
			if df := d.Tunnel.DF.Value; !n.Tunnel.DF.Set && df != kernel.DFUnset {
				add("df set", "df unset")
			}
		}
	}
	return findings
}

// checkDriftedEntries says which forwarding entries the agent found to be wrong.
func checkDriftedEntries(f *Facts) (findings []diagnosis.Finding) {
	if f.Agent.Report == nil {
		return nil
	}
	for _, n := range f.Agent.Report.Networks {
		d := n.Drifted
		if d == nil {
			continue
		}
		add := func(code diagnosis.Code, summary string, evidence []string) {
			findings = append(findings, diagnosis.Finding{
				Code: code, Level: diagnosis.Failure, Network: n.Name, Summary: summary,
				Evidence: atMost(evidence, maxEvidence), Mend: []string{reload},
			})
		}
		if len(d.MACs) > 0 {
			const summary = "forwarding entries of containers on other hosts are missing or wrong"
			add(diagnosis.ForwardingAltered, summary, prefixed("MAC ", d.MACs))
		}
		if len(d.Flood) > 0 {
			add(diagnosis.ForwardingAltered, "frames for everybody go to the wrong hosts", prefixed("host ", addrTexts(d.Flood)))
		}
		if len(d.Addrs) > 0 {
			const summary = "neighbour entries of containers on other hosts are missing or wrong"
			add(diagnosis.NeighbourAltered, summary, prefixed("address ", addrTexts(d.Addrs)))
		}
	}
	return findings
}

// Collector is a VXLAN device that takes packets of all VNIs on its port, as Cilium and Open vSwitch
// have them ("external").
type Collector struct {
	Name string
	Port uint16
}
