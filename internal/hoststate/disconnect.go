package hoststate

import (
	"errors"
	"io/fs"
	"iter"
	"slices"

	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/store"
)

// Disconnect removes an endpoint, and the network's devices with its last one. It removes all that
// it can. The record goes last, and only if the kernel is clean. The record tells what the endpoint
// has; e does where there is none.
func (s *Session) Disconnect(id network.Identity, e network.Endpoint) error {
	s.removeLastingRoutes(id, e.ContainerID)
	leaving, err := s.records.leavingOthers(id, e)
	report, applyErr := reconcile.Apply(reconcile.Namespaces{Host: s.ns}, plan.Stop(leaving))
	err = errors.Join(err, applyErr)
	s.host.warnOfOthers(id.Name, report.FlowsErr)
	if report.DevicesGone {
		err = errors.Join(err, s.forgetNetwork(id))
	}
	if err != nil {
		return err
	}
	return s.records.RemoveEndpoint(id.ID, e.ContainerID)
}

// leavingOthers reads what a plan needs to know of a container that leaves, and of the network's
// others.
func (r records) leavingOthers(id network.Identity, e network.Endpoint) (plan.Leaving, error) {
	old, err := r.Record(id.ID, e.ContainerID)
	isRecorded := err == nil
	if !isRecorded {
		// Its port may have been guarded. But if a user chose its name, another container may have
		// it by now.
		old = store.Record{Endpoint: e, PortSecurity: e.HostInterface == ""}
	}
	isBroken := !isRecorded && !errors.Is(err, fs.ErrNotExist)
	if !isUnreadable(err) {
		err = nil // there is no record, or none that tells anything
	}
	leaving, elsewhereErr := r.leaving(id, old)
	err = errors.Join(err, elsewhereErr)
	leaving.OtherPorts = r.otherPorts(id, e.ContainerID)
	leaving.Unknown = isBroken
	switch {
	case !isRecorded:
		leaving.OthersPublish = true // of a store that was lost, nobody knows
	case len(old.Ports) > 0:
		publish, publishErr := r.othersPublish(id.ID, e.ContainerID)
		leaving.OthersPublish = publish || publishErr != nil
		err = errors.Join(err, publishErr)
	}
	return leaving, err
}

// leaving reads what a plan needs to know of the container alone.
func (r records) leaving(id network.Identity, old store.Record) (leaving plan.Leaving, err error) {
	leaving = plan.Leaving{
		Network: id, Endpoint: old.Endpoint, PortSecurity: old.PortSecurity,
		Left: func() ([]plan.HostNetwork, error) {
			left, err := r.loadExceptEndpoint(id.ID, old.ContainerID)
			return left, errors.Join(err, r.findUnrecorded(id.ID, old.ContainerID))
		},
	}
	if len(old.Ports) > 0 && len(old.Addrs) > 0 {
		leaving.Elsewhere, err = r.elsewhere(id.ID, old.ContainerID)
	}
	return leaving, err
}

// otherPorts iterates over the names of the ports of the network's other containers.
func (r records) otherPorts(id network.Identity, containerID string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for other, err := range r.EndpointsExcept(id.ID, containerID) {
			e := network.Endpoint{ContainerID: other}
			if err == nil {
				e.HostInterface, err = r.hostInterface(id.ID, other)
			}
			if !yield(id.Port(e), err) {
				return
			}
		}
	}
}

// hostInterface returns the name that a container's user chose for its port, if any. A broken
// record counts as having none.
func (r records) hostInterface(networkID, containerID string) (string, error) {
	record, err := r.Record(networkID, containerID)
	if !isUnreadable(err) {
		err = nil
	}
	return record.HostInterface, err
}

// elsewhere returns the endpoints of a container on other networks, as far as they publish ports.
func (r records) elsewhere(networkID, containerID string) ([]plan.Elsewhere, error) {
	ids, err := r.networksExcept(networkID)
	errs := []error{err}
	var all []plan.Elsewhere
	for _, id := range ids {
		e, err := r.elsewhereOn(id, containerID)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			// It is not on that network.
		case err != nil:
			errs = append(errs, err)
		case len(e.Endpoint.Ports) > 0:
			all = append(all, e)
		}
	}
	return all, errors.Join(errs...)
}

func (r records) elsewhereOn(networkID, containerID string) (plan.Elsewhere, error) {
	record, err := r.Record(networkID, containerID)
	if err != nil || len(record.Ports) == 0 {
		return plan.Elsewhere{}, err
	}
	config, err := r.Config(networkID)
	if err != nil {
		return plan.Elsewhere{}, err
	}
	n, err := network.ParseStored(config)
	return plan.Elsewhere{Network: n, Endpoint: record.Endpoint}, err
}

// othersPublish tells whether another container of the network publishes ports.
func (r records) othersPublish(networkID, containerID string) (bool, error) {
	publishing, err := r.Tagged(networkID, store.TagPublishes)
	return slices.ContainsFunc(publishing, func(id string) bool { return id != containerID }), err
}

// forgetNetwork removes what a network has on the host besides its devices, which are gone.
func (s *Session) forgetNetwork(id network.Identity) error {
	s.forgetBridge(id)
	s.forgetWireGuard(id)
	p, planErr := s.records.forgetPlan(id)
	return errors.Join(planErr, s.apply(p))
}

// forgetPlan leaves the firewall alone, with an error, while it is not known what other networks
// need.
func (r records) forgetPlan(id network.Identity) (plan.Plan, error) {
	others, err := r.networksExcept(id.ID)
	var unrecordedErr error
	if err == nil && len(others) == 0 {
		if unrecordedErr = r.findUnrecorded("", ""); unrecordedErr == nil {
			return plan.ForgetLast(id), nil
		}
	}
	networks, loadErr := r.loadExcept(id.ID)
	if isUnreadable(loadErr) {
		err = loadErr
	}
	if errors.Is(unrecordedErr, plan.ErrKernelUnread) {
		err = errors.Join(err, unrecordedErr)
	}
	if err != nil {
		return plan.Plan{RemoveFastPath: id.Device.Name}, err
	}
	loadErr = errors.Join(loadErr, unrecordedErr)
	var gone *plan.PlacedNetwork
	if p, storedErr := r.loadStored(id.ID); storedErr == nil {
		gone = &p
	}
	return plan.Forget(id, gone, networks, loadErr), nil
}

// isUnreadable tells whether err is about a file that is there and cannot be read now, as when
// descriptors have run out. A file that is missing or broken stays so.
func isUnreadable(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(joined.Unwrap(), isUnreadable)
	}
	_, isFile := errors.AsType[*fs.PathError](err)
	return isFile && !errors.Is(err, fs.ErrNotExist)
}
