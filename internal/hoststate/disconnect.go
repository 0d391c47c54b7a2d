package hoststate

import (
	"errors"

	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/store"
)

// Disconnect removes all that it can of an endpoint, and of the network with its last one. The record goes last, and only when the kernel is
// clean. e needs no more than what names the endpoint; the rest is in the record.
func (s *Session) Disconnect(id network.Identity, e network.Endpoint) error {
	leaving, err := s.leavingOthers(id, e)
	report, applyErr := reconcile.Apply(reconcile.Namespaces{Host: s.ns}, plan.Stop(leaving))
	err = errors.Join(err, applyErr)
	if report.DevicesGone {
		err = errors.Join(err, s.forgetNetwork(id))
	}
	if err != nil {
		return err
	}
	return s.records.RemoveEndpoint(id.ID, e.ContainerID)
}

// leavingOthers reads what a plan needs to know of a container that goes, and of the others of its network.
func (s *Session) leavingOthers(id network.Identity, e network.Endpoint) (plan.Leaving, error) {
	r, err := s.records.Record(id.ID, e.ContainerID)
	if err != nil {
		// It may have been secured; but a name of the user's choice may be another container's.
		r = store.Record{Endpoint: e, PortSecurity: e.HostInterface == ""}
		if !isUnreadable(err) {
			err = nil
		}
		// Else it has ports that must go, and stays for the next teardown.
	}
	leaving, elsewhereErr := s.leaving(id, r)
	err = errors.Join(err, elsewhereErr)
	leaving.OtherPorts = s.records.otherPorts(id, e.ContainerID)
	if len(r.Ports) > 0 {
		publish, publishErr := s.records.othersPublish(id.ID, e.ContainerID)
		leaving.OthersPublish = publish || publishErr != nil
		err = errors.Join(err, publishErr)
	}
	return leaving, err
}

// leaving is what goes of a container alone.
func (s *Session) leaving(id network.Identity, r store.Record) (leaving plan.Leaving, err error) {
	leaving = plan.Leaving{Network: id, Endpoint: r.Endpoint, PortSecurity: r.PortSecurity}
	if len(r.Ports) > 0 && len(r.Addrs) > 0 {
		leaving.Elsewhere, err = s.records.elsewhere(id.ID, r.ContainerID)
	}
	return leaving, err
}

// forgetNetwork removes what a network has on the host besides its devices, which are gone.
func (s *Session) forgetNetwork(id network.Identity) error {
	err := s.host.forgetBridge(id)
	others, listErr := s.records.networksExcept(id.ID)
	if listErr != nil {
		return errors.Join(err, listErr)
	}
	if len(others) == 0 {
		return errors.Join(err, s.apply(plan.ForgetLast(id)))
	}
	networks, loadErr := s.records.loadExcept(id.ID)
	if isUnreadable(loadErr) {
		return errors.Join(err, loadErr) // what the others share with it is not known
	}
	var gone *plan.PlacedNetwork
	if p, storedErr := s.records.loadStored(id.ID); storedErr == nil {
		gone = &p
	}
	return errors.Join(err, s.apply(plan.Forget(id, gone, networks)))
}
