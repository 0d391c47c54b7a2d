package driver

import (
	"errors"
	"fmt"

	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/store"
)

// searchDomain is the one that Podman's own bridge networks have.
const searchDomain = "dns.podman"

// withNames has the container ask the agent for names. Without an agent it asks whom
// the host asks: a container that cannot find others by name is better than none. It tells whether the agent
// has the container announce its addresses.
func (d *Driver) withNames(p placed, containerID string, host Namespace, s netavark.Status) (_ netavark.Status, announces bool) {
	announces, err := d.Agent.EndpointAdded(p.ID, containerID)
	if err != nil {
		d.Warn(fmt.Sprintf("network %s: no container names, only the host's name servers: %v", p.Name, err))
		// An agent that answers sees to the rest. Where there is no list, what the agent knew last is the best there is.
		if _, runs := errors.AsType[answer](err); runs || p.Gossip {
			return s, false
		}
		if err := d.alone(host); err != nil {
			d.Warn(fmt.Sprintf("go on without an agent: %v", err))
		}
		return s, false
	}
	s.DNSServerIPs = p.Resolvers()
	s.DNSSearchDomains = []string{searchDomain}
	return s, announces
}

// answer is an error that an agent tells, and so one that runs.
type answer interface {
	error
	Answered()
}

// FallBackToStatic is for an agent that ends and may not come back.
func (d *Driver) FallBackToStatic() error {
	host, err := d.Open("")
	if err != nil {
		return err
	}
	defer host.Close()
	return d.alone(host)
}

// alone has the networks be as their lists say: what an agent had found out of the other
// hosts is kept up to date by nobody.
func (d *Driver) alone(host Namespace) error {
	st, err := store.Open(d.StoreDir)
	if err != nil {
		return err
	}
	defer st.Close()
	ids, err := st.Networks()
	errs := []error{err}
	for _, id := range ids {
		errs = append(errs, build{d, st, host}.forgetPeers(id))
	}
	return errors.Join(errs...)
}

// forgetPeers leaves a network without a list alone.
func (b build) forgetPeers(networkID string) error {
	if _, known, err := b.st.Peers(networkID); !known || err != nil {
		return err
	}
	p, err := b.stored(networkID)
	if err != nil || p.Gossip {
		return err
	}
	if err := b.st.ForgetPeers(networkID); err != nil {
		return err
	}
	if p, err = b.stored(networkID); err != nil {
		return err
	}
	records, err := b.st.Records(networkID)
	return errors.Join(err, b.mend(p, records), b.forward(p, records, nil, true))
}

// dnsPort is where the network's names are answered: where Podman says (containers.conf,
// dns_bind_port), or else where the agent found room.
func (b build) dnsPort(n network.Network) (uint16, error) {
	have, err := b.st.DNSPort(n.ID)
	if err != nil || b.DNSPort == 0 || b.DNSPort == have || !n.HasNames() {
		return have, err
	}
	return b.DNSPort, b.st.SetDNSPort(n.ID, b.DNSPort)
}

// SetDNSPort has a network's names answered on another port, to which port 53 is redirected.
func (s *Session) SetDNSPort(l LocalNetwork, port uint16) error { return s.b.st.SetDNSPort(l.ID, port) }
