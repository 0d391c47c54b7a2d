package plugin

import (
	"errors"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
)

// Teardown disconnects a container, and removes the network's devices with the last one. It does
// not ask whether the network's options are still valid.
func (p *Plugin) Teardown(namespace string, r netavark.Request) error {
	if p.Rootless {
		return errRootless
	}
	id, err := network.ParseIdentity(r.Network)
	if err != nil {
		return err
	}
	if err := network.CheckContainerID(r.ContainerID); err != nil {
		return err
	}
	host, err := p.Open("")
	if err != nil {
		return err
	}
	defer host.Close()
	e := leavingEndpoint(namespace, r)
	s, err := p.BeginIn(host)
	if err != nil {
		// The container's own veth goes, lock or no lock.
		_, applyErr := reconcile.Apply(reconcile.Namespaces{Host: host}, plan.StopUnrecorded(id, e))
		return errors.Join(err, applyErr)
	}
	defer p.Agent.StoreChanged() // without the lock
	defer s.Close()
	return s.Disconnect(id, e)
}

// leavingEndpoint returns what the request tells of the endpoint, for the case that its record was
// lost. Of a request that is no longer valid only the names count.
func leavingEndpoint(namespace string, r netavark.Request) network.Endpoint {
	if n, err := network.ParseStored(r.Network); err == nil {
		if e, err := network.ParseEndpoint(n, attachRequest(namespace, r)); err == nil {
			return e
		}
	}
	return network.Endpoint{ContainerID: r.ContainerID, HostInterface: network.HostInterface(r.Options)}
}

// Reload restores all that the host's networks need, whatever happened to it: firewall, devices,
// ports on bridges, sysctls, firewalld's zone. It warns of other programs' rules that drop what the
// networks need. It returns how many networks there are. After an error it goes on with the rest.
func (p *Plugin) Reload() (networks int, err error) {
	if p.Rootless {
		return 0, errRootless
	}
	s, err := p.Begin()
	if err != nil {
		return 0, err
	}
	orphansErr := s.DropOrphans()
	all, err := s.Networks()
	err = errors.Join(orphansErr, err, s.Reconcile(all, hoststate.ScopeReset), s.RemoveUnused(), s.Close())
	const agentPort = 0 // unknown: the agent says what is dropped of it
	chains, lookErr := p.BlockingChains(all, agentPort)
	if lookErr != nil {
		p.Warn(lookErr.Error()) // all is restored
	}
	for _, c := range chains {
		p.Warn(c.String())
	}
	return len(all), err
}
