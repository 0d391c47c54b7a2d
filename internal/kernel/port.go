package kernel

// PortFlags say how a bridge treats one of its ports. They are lost when it leaves the bridge. An
// unset one is neither changed nor compared.
type PortFlags struct {
	// Learning makes the bridge learn which MACs are behind the port.
	Learning Opt[bool]
	// Suppress makes the bridge answer ARP requests and neighbour solicitations itself. It does so
	// if its neighbour table has the address and its FDB says that the MAC is behind the port.
	// Announcements of an address and probes for a duplicate of it do not leave by the port then
	// (RFC 5227; RFC 4861, section 7.2.6; RFC 4862; net/bridge/br_arp_nd_proxy.c).
	Suppress Opt[bool]
}

// Same tells whether a port with the flags have is as f asks for.
func (f PortFlags) Same(have PortFlags) bool {
	return match(f.Learning, have.Learning) && match(f.Suppress, have.Suppress)
}

// Command is the command that sets the flags of a port.
func (f PortFlags) Command(name string) string {
	return "bridge link set dev " + name + onOff(" learning", f.Learning) + onOff(" neigh_suppress", f.Suppress)
}

// onOff prints a boolean as name on or name off, and an unset one not at all.
func onOff(name string, o Opt[bool]) string {
	switch {
	case !o.Set:
		return ""
	case o.Value:
		return name + " on"
	}
	return name + " off"
}
