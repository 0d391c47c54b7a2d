package hoststate

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"

	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/store"
)

// Prepare adds what the agent has found out to a network that a container is about to join. It
// fails if another device has the name of the container's port. So it must come before anything is
// recorded or undone.
func (s *Session) Prepare(p plan.PlacedNetwork, e network.Endpoint) (plan.PlacedNetwork, error) {
	if err := reconcile.CheckName(s.ns, plan.PortName(p.Identity, e)); err != nil {
		return plan.PlacedNetwork{}, errors.Join(s.records.nameTaken(p.Identity, e), err)
	}
	p, err := s.records.withPeers(p)
	if err != nil {
		return plan.PlacedNetwork{}, err
	}
	return p, s.records.adoptDNSPort(&p.Network)
}

// nameTaken returns an error that says which other container has the name that the user chose for
// an endpoint's port, or nil.
func (r records) nameTaken(id network.Identity, e network.Endpoint) error {
	if e.HostInterface == "" {
		return nil
	}
	named, err := r.namedPorts()
	for _, p := range named {
		isSame := p.Network.ID == id.ID && p.Endpoint.ContainerID == e.ContainerID
		if p.Endpoint.HostInterface == e.HostInterface && !isSame {
			return fmt.Errorf(
				"host_interface_name %s is taken by container %s (%.12s) on network %s; choose another name, or remove that "+
					"container",
				e.HostInterface, p.Endpoint.ContainerName, p.Endpoint.ContainerID, p.Network.Name)
		}
	}
	return err
}

// adoptDNSPort makes a network that has no container on the host yet have its names answered where
// Podman says (containers.conf, dns_bind_port). From then on the agent decides.
func (r records) adoptDNSPort(n *network.Network) error {
	port := r.host.DNSPort
	if port == 0 || !n.HasNames() {
		return nil
	}
	if stored, err := r.DNSPort(n.ID); err != nil || stored != 0 {
		return err
	}
	n.DNSPort = port
	return r.SetDNSPort(n.ID, port)
}

// Place places a network on the host, with what the agent has found out.
func (s *Session) Place(config []byte) (plan.PlacedNetwork, error) { return s.records.place(config) }

// IsFirst tells whether a container is about to be the only one of a network on this host.
func (s *Session) IsFirst(p plan.PlacedNetwork, e network.Endpoint) (bool, error) {
	others, err := s.records.HasEndpointsExcept(p.ID, e.ContainerID)
	return !others, err
}

// ConnectShared records an endpoint, and builds what it shares with others.
func (s *Session) ConnectShared(p plan.PlacedNetwork, e network.Endpoint, config []byte) error {
	beside, err := s.record(p, e, config)
	if err != nil {
		return err
	}
	report, othersErr, err := s.applyNetwork(p.Network, nil, plan.StartShared(p, e, beside))
	s.warnOfStart(p, e, report, othersErr)
	return err
}

// Connect records an endpoint, and builds it and what it shares with others. On a network with
// names it leaves the announcement of addresses to the caller; the report says whether one is
// needed.
func (s *Session) Connect(p plan.PlacedNetwork, e network.Endpoint, container Namespace,
	config []byte) (reconcile.Report, error) {
	beside, err := s.record(p, e, config)
	if err != nil {
		return reconcile.Report{}, err
	}
	report, othersErr, err := s.applyNetwork(p.Network, container, plan.Start(p, e, beside))
	s.warnOfStart(p, e, report, othersErr)
	return report, err
}

// warnOfStart warns of what others on the host keep from working. Their firewall rules are
// looked at only if the network's devices were made, as that takes time where there are many.
func (s *Session) warnOfStart(p plan.PlacedNetwork, e network.Endpoint, report reconcile.Report, othersErr error) {
	s.host.warnOfOthers(p.Name, errors.Join(othersErr, report.FlowsErr))
	if report.DevicesMade {
		s.warnOfBlockingChains(plan.HostNetwork{PlacedNetwork: p, Endpoints: []plan.RecordedEndpoint{{Endpoint: e}}})
	}
}

// record records an endpoint, and returns what else its start may meet on the host. It keeps the
// time of the first setup, which decides which of two containers has a published port.
func (s *Session) record(p plan.PlacedNetwork, e network.Endpoint, config []byte) (plan.Beside, error) {
	orphanSweep{s}.dropSomeOrphans(p, e.ContainerID)
	now, err := sinceBoot()
	if err != nil {
		return plan.Beside{}, err
	}
	r := store.Record{Endpoint: e, SetUp: now, PortSecurity: p.PortSecurity, MTU: p.VTEP.MTU}
	old, err := s.records.Record(p.ID, e.ContainerID)
	if err == nil && old.Namespace == e.Namespace {
		r.SetUp = old.SetUp
	}
	if err == nil && !reflect.DeepEqual(old.Endpoint, e) {
		// What an interrupted setup left of other addresses or ports.
		leaving, err := s.records.leaving(p.Identity, old)
		if err := errors.Join(err, s.apply(plan.Replace(leaving))); err != nil {
			return plan.Beside{}, err
		}
	}
	if err := s.records.PutEndpoint(p.ID, config, p.VTEP, r); err != nil {
		return plan.Beside{}, err
	}
	return s.records.lookBeside(p, e)
}

// lookBeside reads what the start of an endpoint may meet.
func (r records) lookBeside(p plan.PlacedNetwork, e network.Endpoint) (plan.Beside, error) {
	others, err := r.HasEndpointsExcept(p.ID, e.ContainerID)
	if err != nil {
		return plan.Beside{}, err
	}
	beside := plan.Beside{
		First: !others,
		Networks: func() ([]plan.HostNetwork, error) {
			own, err := r.loadEndpoints(p)
			networks, othersErr := r.loadExcept(p.ID)
			return append([]plan.HostNetwork{own}, networks...), errors.Join(err, othersErr,
				r.findUnrecorded(p.ID, e.ContainerID))
		},
		Endpoint: func(containerID string) (network.Endpoint, bool, error) {
			other, err := r.Record(p.ID, containerID)
			if errors.Is(err, fs.ErrNotExist) {
				return network.Endpoint{}, false, nil
			}
			return other.Endpoint, err == nil, err
		},
	}
	if e.HostInterface != "" {
		beside.NamedPorts, err = r.namedPorts()
	}
	return beside, err
}

// namedPorts returns the endpoints whose port has a name of the user's choice. One that cannot be
// read is left out: the container that starts must not fail for it.
func (r records) namedPorts() ([]plan.NamedPort, error) {
	networks, err := r.Networks()
	if err != nil {
		return nil, err
	}
	var all []plan.NamedPort
	for _, networkID := range networks {
		config, err := r.Config(networkID)
		if err != nil {
			continue
		}
		id, err := network.ParseIdentity(config)
		if err != nil {
			continue
		}
		containers, _ := r.Tagged(networkID, store.TagNamed)
		for _, containerID := range containers {
			if record, err := r.Record(networkID, containerID); err == nil {
				all = append(all, plan.NamedPort{Network: id, Endpoint: record.Endpoint})
			}
		}
	}
	return all, nil
}
