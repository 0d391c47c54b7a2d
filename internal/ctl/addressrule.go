package ctl

import (
	"fmt"
	"maps"
	"math/big"
	"net/netip"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
)

// rangeRow is a range of a subnet, from which one host or all hand out addresses.
type rangeRow struct {
	Subnet      netip.Prefix `json:"subnet"`
	Host        string       `json:"host"` // who hands them out
	First       netip.Addr   `json:"first"`
	Last        netip.Addr   `json:"last"`
	HostAddress netip.Addr   `json:"host_address,omitzero"` // that host's own
	Used        int          `json:"used"`
	Reserved    int          `json:"reserved"` // of these
	Free        string       `json:"free"`     // a number, which may be large
}

func (r rangeRow) contains(a netip.Addr) bool { return !a.Less(r.First) && !r.Last.Less(a) }

// rangesOf returns the ranges of a network's subnets.
func rangesOf(n agentapi.NetworkInventory) (rows []rangeRow) {
	owners := ownersOf(n)
	for _, s := range n.Subnets {
		for _, r := range dividedRanges(n, s) {
			r.count(s, owners)
			rows = append(rows, r)
		}
	}
	return rows
}

// dividedRanges returns each listed host's range, or else this host's, or the one of all.
func dividedRanges(n agentapi.NetworkInventory, s agentapi.SubnetInventory) (rows []rangeRow) {
	for _, part := range s.Slices {
		row := rangeRow{Subnet: s.Prefix, Host: "later host", First: part.First, Last: part.Last,
			HostAddress: part.HostAddress}
		if part.Host.IsValid() {
			row.Host = part.Host.String()
		}
		for _, m := range n.Hosts {
			if m.VTEP == part.Host {
				row.Host = m.Name
			}
		}
		rows = append(rows, row)
	}
	if len(rows) > 0 {
		return rows
	}
	row := rangeRow{Subnet: s.Prefix, Host: "all hosts", First: s.First, Last: s.Last, HostAddress: s.HostAddress}
	if n.Discovery != "gossip" && n.Discovery != "etcd" && len(n.Hosts) > 0 {
		row.Host = n.Hosts[0].Name
	}
	return []rangeRow{row}
}

// count counts what is used of the range.
func (r *rangeRow) count(s agentapi.SubnetInventory, owners map[netip.Addr]addressOwner) {
	free := new(big.Int).Add(offset(r.First, r.Last), big.NewInt(1))
	taken := maps.Clone(s.Unusable)
	if taken == nil {
		taken = make(map[netip.Addr]string)
	}
	for a, owner := range owners {
		if !r.contains(a) {
			continue
		}
		r.Used++
		if owner.unreachable {
			r.Reserved++
		}
		taken[a] = owner.text
	}
	for a := range taken {
		if r.contains(a) {
			free.Sub(free, big.NewInt(1))
		}
	}
	r.Free = free.String()
}

// offset returns b - a.
func offset(a, b netip.Addr) *big.Int {
	return new(big.Int).Sub(new(big.Int).SetBytes(b.AsSlice()), new(big.Int).SetBytes(a.AsSlice()))
}

// addressOwner is who has an address.
type addressOwner struct {
	text        string
	host        string
	claims      bool // it does not have the address yet
	unreachable bool
}

// ownersOf returns who has which addresses of a network, as far as that is known.
func ownersOf(n agentapi.NetworkInventory) map[netip.Addr]addressOwner {
	owners := make(map[netip.Addr]addressOwner)
	for _, s := range n.Subnets {
		for _, part := range s.Slices {
			if part.Host.IsValid() {
				owners[part.HostAddress] = addressOwner{text: "host " + part.Host.String() + " itself", host: part.Host.String()}
			}
		}
	}
	for _, m := range n.Hosts {
		for _, a := range m.HostAddrs {
			owners[a] = addressOwner{text: "host " + m.Name + " itself", host: m.Name, unreachable: !m.Reachable}
		}
	}
	for _, e := range n.Endpoints {
		for _, a := range e.Addrs {
			owner := addressOwner{
				text: "container " + e.Container + " on host " + e.Host, host: e.Host,
				claims: e.State == agentapi.EndpointClaiming, unreachable: e.State == agentapi.EndpointUnreachable,
			}
			if have, known := owners[a]; !known || have.unreachable {
				owners[a] = owner
			}
		}
	}
	return owners
}

// addressCheck is what is known of an address.
type addressCheck struct {
	Addr    netip.Addr `json:"addr"`
	Network string     `json:"network,omitempty"`
	Owner   string     `json:"owner,omitempty"` // who has it
	// Available tells that this host may give it to a container.
	Available bool `json:"available"`
	// InRange tells that this host also hands it out by itself.
	InRange bool   `json:"in_range"`
	Why     string `json:"why,omitempty"`  // what keeps the host from it
	Mend    string `json:"mend,omitempty"` // how to free it
	Note    string `json:"note,omitempty"`
}

// addressCheckOf finds an address on the networks.
func addressCheckOf(all agentapi.Inventory, a netip.Addr) addressCheck {
	for _, n := range all.Networks {
		for _, s := range n.Subnets {
			if s.Prefix.Contains(a) {
				return checkInSubnet(n, s, a)
			}
		}
	}
	return addressCheck{Addr: a, Why: "it is in no subnet of a network with containers on this host"}
}

func checkInSubnet(n agentapi.NetworkInventory, s agentapi.SubnetInventory, a netip.Addr) addressCheck {
	c := addressCheck{Addr: a, Network: n.Name, InRange: !a.Less(s.First) && !s.Last.Less(a), Why: s.Unusable[a]}
	if owner, owned := ownersOf(n)[a]; owned && c.Why == "" {
		c.Owner, c.Why = owner.text, "it is in use"
		if owner.claims {
			c.Why = "it is about to be in use"
		}
		if owner.unreachable {
			c.Why = "it is reserved, since host " + owner.host + " does not answer"
			c.Mend = "vxlanctl host forget " + hostArgument(owner.host) + "   # only if it is gone for good"
		}
	}
	c.Available = c.Why == ""
	for _, part := range s.Slices {
		if !c.Available || c.InRange || a.Less(part.First) || part.Last.Less(a) {
			continue
		}
		if part.Host.IsValid() {
			c.Note = fmt.Sprintf("host %v hands it out too, and may give it to one of its containers", part.Host)
		}
	}
	return c
}

// hostArgument is the name in a host's label, as commands take it.
func hostArgument(label string) string {
	name, _, _ := strings.Cut(label, " ")
	return name
}

// text is what people read.
func (c addressCheck) text(p *output.Printer) string {
	where := "on no network here"
	if c.Network != "" {
		where = "of network " + c.Network
	}
	text := fmt.Sprintf("%v %s: ", c.Addr, where)
	switch {
	case c.Owner != "":
		text += c.Owner + " has it; " + c.Why
	case c.Why != "":
		text += "no container can have it: " + c.Why
	case c.InRange:
		text += "free; this host hands it out"
	default:
		text += "free; this host gives it to a container only by --ip, as it is not of its range"
	}
	lines := p.Wrap("", "  ", text)
	if c.Mend != "" {
		lines += p.Wrap("# what to do: ", "#   ", c.Mend)
	}
	if c.Note != "" {
		lines += p.Wrap("# ", "#   ", c.Note)
	}
	return lines
}
