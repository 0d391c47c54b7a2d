package hoststate

import (
	"errors"
	"fmt"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/store"
)

// PlannedChange is a change that Reconcile would make.
type PlannedChange struct {
	Network   string // by name; empty: the change concerns the whole host
	Container string // by name, if the change is in its namespace
	Namespace string // path of that namespace
	// Change is a kernel.Change, or another one that prints as a command.
	Change fmt.Stringer
}

// Inspection is how this host is, compared with what its networks ask for.
type Inspection struct {
	Networks []Network
	Changes  []PlannedChange
	// MissingPorts are containers whose port is gone. Only Podman can connect them anew.
	MissingPorts []MissingPort
	// Warnings are about where networks were placed.
	Warnings []string
	// RulesIntact tells whether the firewall's tables have this program's rules.
	RulesIntact bool
	// Unrecorded names containers that have a port and no record.
	Unrecorded error
	// Err is what could not be read or compared.
	Err error
}

// MissingPort is a container that is recorded and has no port.
type MissingPort struct {
	Network, Container string
	Port               string
}

// Inspect compares the host with what its networks ask for. It changes nothing, neither in the
// kernel nor in the store. The changes that it returns are those of Reconcile, and what differs
// inside the containers. Entries that lead to other hosts' containers are known to the agent alone.
func (h *Host) Inspect() (found Inspection, err error) {
	dry := *h
	dry.dryRun, dry.Records, dry.SysctlDir, dry.Zones, dry.ForwardSetsFlood = true, nil, "", noZones{}, false
	dry.Warn = func(message string) { found.Warnings = append(found.Warnings, message) }
	open := h.Open
	changes := &changeRecorder{}
	dry.Open = func(path string) (Namespace, error) {
		ns, err := open(path)
		if err != nil {
			return nil, err
		}
		return &recordingNamespace{ns, changes, path}, nil
	}
	s, err := dry.Begin()
	if err != nil {
		return found, err
	}
	found.Networks, found.Err = s.Networks()
	found.Unrecorded = s.records.findUnrecorded("", "")
	found.RulesIntact, err = s.ns.FirewallIntact()
	found.Err = errors.Join(found.Err, err, s.inspect(found.Networks, changes, &found))
	found.Changes = changes.made
	return found, s.Close()
}

// inspect is Reconcile, network by network, and a look at each container.
func (s *Session) inspect(networks []Network, changes *changeRecorder, found *Inspection) error {
	errs := []error{s.reconcileFirewall(networks, ScopeVerify)}
	for _, n := range networks {
		changes.network = n.Name
		errs = append(errs, s.reconcileNetwork(n, ScopeVerify))
		for _, r := range n.Endpoints {
			changes.container = r.ContainerName
			missing, err := s.inspectEndpoint(n, r, changes)
			errs = append(errs, err)
			if missing {
				found.MissingPorts = append(found.MissingPorts, MissingPort{n.Name, r.ContainerName, n.Port(r.Endpoint)})
			}
			changes.container = ""
		}
	}
	return errors.Join(errs...)
}

// inspectEndpoint tells whether a container lacks its port, and notes what differs inside it.
func (s *Session) inspectEndpoint(n Network, r *store.Record, changes *changeRecorder) (missing bool, err error) {
	if _, err := s.ns.Link(n.Port(r.Endpoint), 0); err != nil {
		if errors.Is(err, kernel.ErrNotFound) {
			starting := orphanSweep{s}.mayBeStarting(r)
			return !starting && !s.host.isGone(r.Namespace), nil
		}
		return false, err
	}
	container, err := s.host.Open(r.Namespace)
	if err != nil {
		return false, nil // it is starting or ending, or not seen from here
	}
	defer container.Close()
	differing, err := reconcile.DiffContainer(container, plan.ContainerInterface(n.placed(), r.Endpoint))
	if errors.Is(err, kernel.ErrNotFound) {
		return true, nil
	}
	for _, c := range differing {
		changes.add(r.Namespace, c)
	}
	return false, err
}

// changeRecorder notes changes instead of making them.
type changeRecorder struct {
	network, container string // whose changes come
	made               []PlannedChange
}

func (c *changeRecorder) add(namespace string, change fmt.Stringer) {
	c.made = append(c.made, PlannedChange{c.network, c.container, namespace, change})
}

// recordingNamespace is a namespace that can only be read.
type recordingNamespace struct {
	Namespace
	changes *changeRecorder
	path    string
}

// Apply notes a change. Of a firewall that is set anew it notes what differs, if its rules are there.
func (ns *recordingNamespace) Apply(c kernel.Change) error {
	switch c := c.(type) {
	case kernel.DeleteFlows:
		return nil // there may be none
	case kernel.SetFirewall:
		return ns.recordFirewall(c)
	case kernel.AddElements:
		return ns.recordAdded(nil, c.Elements)
	case kernel.ReplaceElements:
		return ns.recordAdded(c.Old, c.New)
	}
	ns.changes.add(ns.path, c)
	return nil
}

func (ns *recordingNamespace) recordFirewall(c kernel.SetFirewall) error {
	intact, err := ns.FirewallIntact()
	if err != nil || !intact {
		ns.changes.add(ns.path, c)
		return err
	}
	have, err := ns.FirewallElements()
	if err != nil {
		return err
	}
	ns.recordElements(without(have, c.Elements), without(c.Elements, have))
	return nil
}

// recordAdded notes those elements that are not there. To add one that is there changes nothing, so
// Apply adds those of all endpoints each time.
func (ns *recordingNamespace) recordAdded(old, added []kernel.Element) error {
	have, err := ns.FirewallElements()
	if err != nil {
		return err
	}
	ns.recordElements(without(old, without(old, have)), without(added, have))
	return nil
}

func (ns *recordingNamespace) recordElements(old, added []kernel.Element) {
	switch {
	case len(old) > 0:
		ns.changes.add(ns.path, kernel.ReplaceElements{Old: old, New: added})
	case len(added) > 0:
		ns.changes.add(ns.path, kernel.AddElements{Elements: added})
	}
}

// without returns the elements that are not, with that value, among others.
func without(elements, others []kernel.Element) []kernel.Element {
	known := make(map[kernel.ElementID]string, len(others))
	for i := range others {
		known[others[i].ID()] = valueText(others[i])
	}
	return slices.DeleteFunc(slices.Clone(elements), func(e kernel.Element) bool {
		value, there := known[e.ID()]
		return there && value == valueText(e)
	})
}

// valueText is what tells one value of a map from another.
func valueText(e kernel.Element) string { return e.Value.Chain() + string(e.Value.First()) }

// ChangeForwardingTables notes the changes of entries.
func (ns *recordingNamespace) ChangeForwardingTables(c kernel.ForwardingChanges) error {
	for change := range c.All() {
		ns.changes.add(ns.path, change)
	}
	return nil
}

// command is a change that only prints.
type command string

// String prints it.
func (c command) String() string { return string(c) }

// SetPort notes how the bridge should treat a port.
func (ns *recordingNamespace) SetPort(name string, f kernel.PortFlags) error {
	ns.changes.add(ns.path, command(f.Command(name)))
	return nil
}

// SetFastPath does nothing: the agent compares it.
func (ns *recordingNamespace) SetFastPath(kernel.FastPath) error { return nil }

// EvictFastPath does nothing: what it would change goes with the device.
func (ns *recordingNamespace) EvictFastPath(string, kernel.MAC) error { return nil }

// EvictFastPathPort does nothing, as EvictFastPath.
func (ns *recordingNamespace) EvictFastPathPort(string, kernel.FastPathPort) error { return nil }

// RemoveFastPath does nothing, as EvictFastPath.
func (ns *recordingNamespace) RemoveFastPath(string) error { return nil }

// AcceptInDocker notes that Docker's rules would get some.
func (ns *recordingNamespace) AcceptInDocker(bridge string) error {
	ns.changes.add(ns.path, dockerCommand("-I", bridge))
	return nil
}

// ForgetInDocker notes the reverse.
func (ns *recordingNamespace) ForgetInDocker(bridge string) error {
	ns.changes.add(ns.path, dockerCommand("-D", bridge))
	return nil
}

// dockerCommand prints how iptables adds or deletes what lets a bridge's packets pass.
func dockerCommand(verb, bridge string) command {
	const format = "iptables %s %s -i %s -j ACCEPT; iptables %[1]s %[2]s -o %[3]s -j ACCEPT"
	return command(fmt.Sprintf(format, verb, kernel.DockerChain, bridge))
}

// PortLinks returns none of a bridge that is only about to be made.
func (ns *recordingNamespace) PortLinks(bridge string) ([]kernel.Link, error) {
	links, err := ns.Namespace.PortLinks(bridge)
	if errors.Is(err, kernel.ErrNotFound) {
		return nil, nil
	}
	return links, err
}

// noZones is a firewalld that is not asked.
type noZones struct{}

// Trust does nothing.
func (noZones) Trust(string) error { return nil }

// Untrust does nothing.
func (noZones) Untrust(string) error { return nil }

// Misplaced returns what is wrong with networks of Podman's that have no container here, by their
// name: their first container would not start.
func (h *Host) Misplaced(except []Network) (map[string]error, error) {
	ns, err := h.Open("")
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	wrong := make(map[string]error)
	err = h.eachOwnNetwork(func(config []byte, id network.Identity) {
		if slices.ContainsFunc(except, func(n Network) bool { return n.ID == id.ID }) {
			return
		}
		if _, err := h.Place(config, ns); err != nil {
			wrong[id.Name] = err
		}
	})
	return wrong, err
}
