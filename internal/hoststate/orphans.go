package hoststate

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/store"
)

// startLooksAt is how many records a start looks at for orphans. To look at one takes 30 µs. The
// agent and `vxlanctl reload` look at all.
const startLooksAt = 16

// orphanSweep takes down containers that nobody else will tear down.
type orphanSweep struct{ *Session }

// DropOrphans takes down the containers whose namespace and port are gone. Nobody will tear those
// down: a teardown failed or was killed, or somebody removed the namespace.
func (s *Session) DropOrphans() error {
	ids, err := s.records.Networks()
	errs := []error{err}
	for _, id := range ids {
		endpoints, _ := s.records.Records(id) // those that cannot be read are reported by Networks
		sweep := orphanSweep{s}
		errs = append(errs, sweep.dropOrphansOf(id, endpoints), sweep.dropEmptyRecords(id, endpoints))
	}
	return errors.Join(append(errs, s.records.RemoveUnused())...)
}

// dropSomeOrphans is DropOrphans for a start on a network without an agent. It looks at few records
// of the network, and not at that of the container that starts, which is about to be replaced. An
// error is a warning.
func (s orphanSweep) dropSomeOrphans(p plan.PlacedNetwork, containerID string) {
	if s.host.NamespaceGone == nil || p.VTEP.AgentPort != 0 {
		return
	}
	var some []*store.Record
	for other, err := range s.records.EndpointsExcept(p.ID, containerID) {
		if len(some) == startLooksAt || err != nil {
			break
		}
		if r, err := s.records.Record(p.ID, other); err == nil {
			some = append(some, &r)
		}
	}
	if err := s.dropOrphansOf(p.ID, some); err != nil {
		s.host.Warn(err.Error())
	}
}

// dropOrphansOf takes down those of a network's endpoints that are orphans.
func (s orphanSweep) dropOrphansOf(networkID string, endpoints []*store.Record) error {
	var errs []error
	for _, r := range endpoints {
		if s.host.NamespaceGone == nil || r.Namespace == "" || s.mayBeStarting(r) || !s.host.NamespaceGone(r.Namespace) {
			continue
		}
		errs = append(errs, s.dropIfPortGone(networkID, r.Endpoint, "its namespace and interface are gone"))
	}
	return wrapNetworkError(networkID, errors.Join(errs...))
}

// longestStart is more than a start takes, which waits up to 12 s for its addresses.
const longestStart = time.Minute

// mayBeStarting tells whether the record may be that of a start which waits for its addresses, and
// does not hold the lock meanwhile. There is no port yet. The namespace is not seen from here if
// Podman was started in a mount namespace of its own, as by a systemd unit with PrivateTmp=.
func (s orphanSweep) mayBeStarting(r *store.Record) bool {
	age, err := s.Age(r)
	return len(r.Addrs) == 0 && (err != nil || age < longestStart)
}

// dropIfPortGone takes down an endpoint unless the host's end of its veth is there.
func (s orphanSweep) dropIfPortGone(networkID string, e network.Endpoint, why string) error {
	config, err := s.records.Config(networkID)
	if err != nil {
		return nil // Networks reports it
	}
	id, err := network.ParseIdentity(config)
	if err != nil {
		return nil
	}
	port, err := s.ns.Link(id.Port(e), 0)
	if err == nil && port.Alias == id.EndpointAlias(e) {
		return nil
	}
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return err
	}
	s.host.Warn(fmt.Sprintf("network %s: forget container %s, which was never torn down: %s", id.Name, e.ContainerID, why))
	if err := s.Disconnect(id, e); err != nil {
		return fmt.Errorf("forget container %s: %w", e.ContainerID, err)
	}
	return nil
}

// dropEmptyRecords takes down the endpoints whose record is no record at all, as a full disk may
// leave it, and which have no port. One that another version wrote is left alone. readable are the
// network's other records, in the order of their ids: to read each again takes 13 ms for 500.
func (s orphanSweep) dropEmptyRecords(networkID string, readable []*store.Record) error {
	named, err := s.records.Tagged(networkID, store.TagNamed)
	errs := []error{err}
	for containerID, err := range s.records.EndpointsExcept(networkID, "") {
		_, isReadable := slices.BinarySearchFunc(readable, containerID,
			func(r *store.Record, id string) int { return cmp.Compare(r.ContainerID, id) })
		if err != nil || isReadable || slices.Contains(named, containerID) {
			continue // if named, its port may have any name
		}
		if _, err := s.records.Record(networkID, containerID); isNoRecord(err) {
			errs = append(errs,
				s.dropIfPortGone(networkID, network.Endpoint{ContainerID: containerID},
					"its record is broken, and its interface is gone"))
		}
	}
	return wrapNetworkError(networkID, errors.Join(errs...))
}

// isNoRecord tells whether a record's file is no JSON.
func isNoRecord(err error) bool {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	return syntax || errors.Is(err, io.ErrUnexpectedEOF)
}
