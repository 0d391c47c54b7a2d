package doctor

import (
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
		const format = "%s has the address %s, which is not the network's, or in the wrong order or scope"
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
		if enable := f.enableIPv6(c); enable != "" && !slices.Contains(findings[i].Mend, enable) {
			findings[i].Summary += ", since IPv6 is switched off on it"
			findings[i].Mend = append(findings[i].Mend, enable)
		}
		for line := range strings.Lines(c.Change.String()) {
			findings[i].Mend = append(findings[i].Mend, "nsenter --net="+c.Namespace+" "+strings.TrimSpace(line))
		}
	}
	return findings
}

// enableIPv6 is the command that switches IPv6 on in a container, without which an address of IPv6 cannot be
// added again; "": it is on, or the change adds none.
func (f *Facts) enableIPv6(c Change) string {
	add, isAdd := c.Change.(kernel.AddAddr)
	if !isAdd || !add.Addr.Prefix.Addr().Is6() {
		return ""
	}
	for _, n := range f.Networks {
		for _, in := range n.Insides {
			key := "net/ipv6/conf/" + in.Interface + "/disable_ipv6"
			if n.Name == c.Network && in.Container == c.Container && in.Parameters[key] == "1" {
				return fmt.Sprintf("nsenter --net=%s sysctl -w %s=0", c.Namespace, key)
			}
		}
	}
	return ""
}
