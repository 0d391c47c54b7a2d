package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

const reload = "vxlanctl reload"

// checkDevices says what is missing or wrong on the devices of networks, by the changes that would
// mend it. Those of one kind are one finding.
func checkDevices(f *Facts) (findings []diagnosis.Finding) {
	for _, c := range f.Changes {
		code, summary := classifyChange(f, c)
		if c.Container != "" || code == "" || f.isRemade(c) {
			continue
		}
		i := slices.IndexFunc(findings, func(o diagnosis.Finding) bool { return o.Code == code && o.Network == c.Network })
		if i < 0 {
			i = len(findings)
			findings = append(findings, diagnosis.Finding{
				Code: code, Level: levelOfChange(code), Network: c.Network, Summary: summary, Mend: []string{reload},
			})
		}
		if code == diagnosis.GatewayMissing && strings.Contains(summary, "gateway") {
			findings[i].Summary = summary // that is what containers notice
		}
		findings[i].Evidence = append(findings[i].Evidence, "to be as it should: "+firstLine(c.Change.String()))
	}
	for i := range findings {
		findings[i].Evidence = atMost(findings[i].Evidence, maxEvidence)
	}
	return findings
}

// isRemade tells whether a device is only created since another one of its name is deleted before, or
// has been moved: these changes say what is wrong.
func (f *Facts) isRemade(c Change) bool {
	created, ok := c.Change.(kernel.CreateLink)
	if !ok {
		return false
	}
	isDeleted := slices.ContainsFunc(f.Changes, func(o Change) bool {
		deleted, ok := o.Change.(kernel.DeleteLink)
		return ok && deleted.Name == created.Link.Name && o.Network == c.Network
	})
	isMoved := slices.ContainsFunc(f.Networks, func(n Network) bool {
		return n.Stray != "" && n.Device.Name == created.Link.Name
	})
	return isDeleted || isMoved
}

// maxEvidence is how many lines show what is wrong: more say nothing more.
const maxEvidence = 5

func atMost(lines []string, count int) []string {
	if len(lines) <= count {
		return lines
	}
	return append(lines[:count:count], fmt.Sprintf("and %d more", len(lines)-count))
}

func levelOfChange(c diagnosis.Code) diagnosis.Level {
	if c == diagnosis.DeviceNamed {
		return diagnosis.Warning
	}
	return diagnosis.Failure
}

// classifyChange returns what is wrong where a change is needed.
func classifyChange(f *Facts, c Change) (code diagnosis.Code, summary string) {
	switch change := c.Change.(type) {
	case kernel.CreateLink:
		return diagnosis.DeviceMissing, fmt.Sprintf("%s %s is missing", nounOf(change.Link.Kind), change.Link.Name)
	case kernel.DeleteLink:
		return diagnosis.DeviceAltered, change.Name + otherAttributes + ", or another name"
	case kernel.SetUp:
		return diagnosis.DeviceAltered, change.Name + " is down"
	case kernel.SetMTU:
		return diagnosis.DeviceAltered, fmt.Sprintf("%s does not have the MTU %d", change.Name, change.MTU)
	case kernel.SetMaster:
		return diagnosis.DeviceAltered, fmt.Sprintf("%s is not a port of %s", change.Name, change.Master)
	case kernel.SetMAC:
		return diagnosis.DeviceAltered, fmt.Sprintf("%s has another MAC than %s", change.Name, change.MAC)
	case kernel.SetLearning:
		return diagnosis.DeviceAltered, fmt.Sprintf("%s should learn: %v", change.Name, change.On)
	case kernel.SetNoLinkLocal, kernel.SetTXChecksum, kernel.DeleteLinks:
		return diagnosis.DeviceAltered, "a flag of a device was changed"
	case kernel.SetAlias, kernel.AddAltName:
		return diagnosis.DeviceNamed, "a device has lost its alias or alternative name"
	case kernel.AddAddr:
		return f.addressCode(c.Network, change)
	case kernel.DelAddr:
		const format = "%s has the address %s, which is not the network's, or in the wrong order"
		return diagnosis.DeviceAltered, fmt.Sprintf(format, change.Name, change.Addr.Prefix)
	case kernel.AddRoute, kernel.DelRoute:
		return diagnosis.DeviceAltered, "a route is missing"
	case kernel.SetSysctls:
		first := change.Sysctls[0]
		return diagnosis.SysctlChanged, fmt.Sprintf("the kernel parameter %s does not have the value %s", dotted(first.Key),
			first.Value)
	case kernel.AddFDB:
		return diagnosis.ForwardingAltered, fmt.Sprintf("%s sends no frames to host %s", change.Name, change.FDB.Dst)
	case kernel.DelFDB:
		return diagnosis.ForwardingAltered, fmt.Sprintf("%s sends frames to %s, which is no member", change.Name,
			change.FDB.Dst)
	case kernel.AddStatic, kernel.DelStatic:
		return diagnosis.ForwardingAltered, "the bridge's forwarding entries are wrong"
	case kernel.AddNeighbour, kernel.DelNeighbour:
		return diagnosis.NeighbourAltered, "the bridge's neighbour entries are wrong"
	case kernel.SetFirewall, kernel.AddElements, kernel.DelElements, kernel.ReplaceElements, kernel.DeleteFirewall:
		return "", "" // see checkRules
	}
	return diagnosis.DeviceAltered, "a setting of a device was changed"
}

// otherAttributes is what is said of a device that has to be made anew.
const otherAttributes = " has other attributes than the network"

// nounOf is what people call a kind of device.
func nounOf(k kernel.Kind) string {
	switch k {
	case kernel.KindBridge:
		return "the bridge"
	case kernel.KindVXLAN:
		return "the VXLAN device"
	}
	return "the device"
}

func dotted(key string) string { return strings.ReplaceAll(key, "/", ".") }

// addressCode tells the gateway's address, which containers send to, from the host's own.
func (f *Facts) addressCode(networkName string, c kernel.AddAddr) (diagnosis.Code, string) {
	for _, n := range f.Networks {
		isGateway := func(s network.Subnet) bool { return s.Gateway == c.Addr.Prefix.Addr() }
		if n.Name == networkName && slices.ContainsFunc(n.Subnets, isGateway) {
			return diagnosis.GatewayMissing, fmt.Sprintf("%s lacks the gateway's address %s", c.Name, c.Addr.Prefix.Addr())
		}
	}
	return diagnosis.GatewayMissing, fmt.Sprintf("%s lacks the address %s", c.Name, c.Addr.Prefix.Addr())
}

// checkMissingPorts says which containers are cut off. Only Podman can connect them again.
func checkMissingPorts(f *Facts) (findings []diagnosis.Finding) {
	for _, m := range f.MissingPorts {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.DeviceMissing, Level: diagnosis.Failure, Network: m.Network,
			Summary:  fmt.Sprintf("container %s has no interface on the network", m.Container),
			Evidence: []string{fmt.Sprintf("its port %s is gone", m.Port)},
			Mend:     []string{"podman network reload " + m.Container},
		})
	}
	return findings
}

// checkContainers says what differs inside of containers. What the host repairs it does not repair
// there: a container may change its own interface.
func checkContainers(f *Facts) (findings []diagnosis.Finding) {
	for _, c := range f.Changes {
		if c.Container == "" {
			continue
		}
		code, summary := classifyChange(f, c)
		i := slices.IndexFunc(findings, func(o diagnosis.Finding) bool {
			return o.Network == c.Network && strings.HasPrefix(o.Summary, "container "+c.Container+": ")
		})
		if i < 0 {
			i = len(findings)
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.ContainerAltered, Level: diagnosis.Failure, Network: c.Network,
				Summary: fmt.Sprintf("container %s: %s", c.Container, summary),
			})
		}
		if code == diagnosis.SysctlChanged && len(findings[i].Evidence) == 0 {
			findings[i].Level = diagnosis.Warning // traffic does not stop for it
		} else if code != diagnosis.SysctlChanged {
			findings[i].Level = diagnosis.Failure
		}
		findings[i].Evidence = append(findings[i].Evidence, "in the container: "+summary)
		for line := range strings.Lines(c.Change.String()) {
			findings[i].Mend = append(findings[i].Mend, "nsenter --net="+c.Namespace+" "+strings.TrimSpace(line))
		}
	}
	return findings
}

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
