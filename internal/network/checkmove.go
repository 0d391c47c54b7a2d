package network

// CheckMove refuses a network that is to move between a list of hosts and a control plane, if addresses could be
// given out twice on the way, or hosts could not hear of each other's containers. The configuration has both.
func CheckMove(config []byte) error {
	c, err := decodeConfig(config)
	if err != nil {
		return err
	}
	n, problems := c.parseNetwork()
	if err := problems.Err(); err != nil || !n.IsMoving() || !n.ListsHosts() {
		return err
	}
	if c.IPAMOptions["driver"] == Driver {
		problems.Add("option discovery", c.Options["discovery"], "does not go with addresses that agents "+
			"have picked from the whole subnet, since Podman does not know them; only a "+
			"network that had a list of hosts can go back to one")
		return problems.Err()
	}
	if !n.DNS {
		problems.Add("--disable-dns", "", "a network without container names cannot move: listed hosts "+
			"have no agents for it, which tell where containers are; "+
			"create a network with another name, and move the containers")
	}
	for _, s := range n.Subnets {
		if !s.Lease.First.IsValid() || !s.Lease.Last.IsValid() {
			problems.Add("--ip-range", "", "this host has no part of %s of its own, so other hosts may hand out "+
				"the same addresses; recreate the network on all hosts with remote_ips, or with an --ip-range for each",
				s.Prefix)
		}
	}
	return problems.Err()
}
