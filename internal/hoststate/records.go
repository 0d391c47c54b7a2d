package hoststate

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/regfile"
	"vxlan-driver/internal/store"
)

// Place parses a network as Podman wrote it, and places it on the host. It leaves out what the
// agent has found out. While the network has containers it stays where it is, as far as that can
// be.
func (h *Host) Place(config []byte, ns Namespace) (plan.PlacedNetwork, error) {
	n, v, err := network.Parse(config, ns, h.lastVTEP(config))
	if err != nil {
		if id, idErr := network.ParseIdentity(config); idErr == nil {
			return plan.PlacedNetwork{}, fmt.Errorf("network %s: %w", id.Name, err)
		}
		return plan.PlacedNetwork{}, fmt.Errorf("network: %w", err)
	}
	return h.withPlacement(n, v)
}

// lastVTEP returns where the network is on this host, or a zero VTEP. A file that cannot be read
// counts as none: it only says which of several choices was made.
func (h *Host) lastVTEP(config []byte) network.VTEP {
	id, err := network.ParseIdentity(config)
	if err != nil {
		return network.VTEP{}
	}
	v, err := store.ReadVTEP(h.StoreDir, id.ID)
	if err != nil {
		return network.VTEP{}
	}
	return v
}

// withPlacement completes a network whose VTEP is known.
func (h *Host) withPlacement(n network.Network, v network.VTEP) (plan.PlacedNetwork, error) {
	// Create refuses a subnet that cannot be divided. If it never saw this one, containers still
	// work, as their addresses are given.
	_ = ipam.AssignSlices(&n, v)
	v.StaticFDB = v.StaticFDB || n.Encrypts()
	foreign, err := h.Reservations(n.ReadForeignReservation)
	return plan.PlacedNetwork{Network: n, VTEP: v, Foreign: foreign}, err
}

// Reservations lists the names, VNIs and subnets that Podman's networks use. read tells which of
// them count.
func (h *Host) Reservations(read func(config []byte) (network.Reservation, bool)) ([]network.Reservation, error) {
	files, err := filepath.Glob(filepath.Join(h.NetworksDir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	var all []network.Reservation
	for _, f := range files {
		data, err := regfile.ReadState(f)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, regfile.ErrNotRegular) {
			continue // removed meanwhile, or no network
		}
		if err != nil {
			return nil, fmt.Errorf("list networks: %w", err)
		}
		if r, ok := read(data); ok {
			all = append(all, r)
		}
	}
	if _, err := os.Stat(filepath.Join(h.NetworksDir, "podman.json")); errors.Is(err, fs.ErrNotExist) {
		if r, ok := read([]byte(network.DefaultNetwork)); ok {
			all = append(all, r)
		}
	}
	return all, nil
}

// records reads from the store what plans are made from.
type records struct {
	*store.Store
	host *Host
	ns   Namespace
}

// place places a network on the host as it is now.
func (r records) place(config []byte) (plan.PlacedNetwork, error) {
	p, err := r.host.Place(config, r.ns)
	if err != nil {
		return plan.PlacedNetwork{}, err
	}
	if err := r.adoptVTEP(p); err != nil {
		return plan.PlacedNetwork{}, err
	}
	return r.withPeers(p)
}

// adoptVTEP warns once of a network that had to move to another interface or address: from then on
// it belongs there.
func (r records) adoptVTEP(p plan.PlacedNetwork) error {
	if len(p.VTEP.Warnings) == 0 {
		return nil
	}
	for _, warning := range p.VTEP.Warnings {
		r.host.Warn(warning)
	}
	if r.host.dryRun {
		return nil
	}
	return r.SetVTEP(p.ID, p.VTEP)
}

// loadStored loads a network as it was last placed on this host. Its firewall must not depend on
// whether it can be placed now: its underlay may be down for a moment.
func (r records) loadStored(networkID string) (plan.PlacedNetwork, error) {
	config, err := r.Config(networkID)
	if err != nil {
		return plan.PlacedNetwork{}, err
	}
	n, err := network.ParseStored(config)
	if err != nil {
		return plan.PlacedNetwork{}, fmt.Errorf("stored network %s: %w", networkID, err)
	}
	v, err := r.VTEP(networkID)
	if err != nil {
		// It can be found out anew, if the network can be placed now.
		p, placeErr := r.place(config)
		if placeErr != nil {
			return plan.PlacedNetwork{}, errors.Join(err, placeErr)
		}
		return p, nil
	}
	if n.FindsHosts() {
		v.Remotes = nil
		if n.ListsHosts() {
			v.Remotes = v.Listed
		}
	}
	v.Flood = v.Remotes
	p, err := r.host.withPlacement(n, v)
	if err != nil {
		return plan.PlacedNetwork{}, err
	}
	return r.withPeers(p)
}

// withPeers adds what the agent has found out.
func (r records) withPeers(p plan.PlacedNetwork) (plan.PlacedNetwork, error) {
	port, err := r.DNSPort(p.ID)
	if err != nil {
		return plan.PlacedNetwork{}, err
	}
	p.DNSPort = cmp.Or(port, network.FirstResolverPort)
	if p.VTEP.AllowedUsers, err = r.AllowedUsers(); err != nil {
		return plan.PlacedNetwork{}, err
	}
	peers, ok, err := r.Peers(p.ID)
	if ok {
		peers.Place(&p.Network, &p.VTEP)
	}
	if p.VTEP.WireGuard == "" || err != nil {
		return p, err
	}
	// The agent makes it again. Until then no entry can lead there, and none may lead elsewhere.
	l, err := r.ns.Link(p.VTEP.WireGuard, 0)
	if errors.Is(err, kernel.ErrNotFound) || err == nil && !l.IsOurWireGuard() {
		p.VTEP.WireGuard, err = "", nil
	}
	return p, err
}

// loadEndpoints adds a network's endpoints.
func (r records) loadEndpoints(p plan.PlacedNetwork) (plan.HostNetwork, error) {
	all, err := r.Records(p.ID)
	return withEndpoints(p, all), err
}

func withEndpoints(p plan.PlacedNetwork, all []*store.Record) plan.HostNetwork {
	n := plan.HostNetwork{PlacedNetwork: p, Endpoints: make([]plan.RecordedEndpoint, 0, len(all))}
	for _, r := range all {
		n.Endpoints = append(n.Endpoints, plan.RecordedEndpoint{Endpoint: r.Endpoint, SetUp: int64(r.SetUp)})
	}
	return n
}

// loadExceptEndpoint loads all networks with all endpoints but one, whose record may be broken. See
// loadExcept.
func (r records) loadExceptEndpoint(networkID, containerID string) ([]plan.HostNetwork, error) {
	all, err := r.loadExcept(networkID)
	p, ownErr := r.loadStored(networkID)
	if ownErr != nil {
		if others, listErr := r.HasEndpointsExcept(networkID, containerID); !others {
			ownErr = listErr // nobody needs what cannot be read
		}
		return all, errors.Join(err, ownErr)
	}
	others, othersErr := r.RecordsExcept(networkID, containerID)
	return append(all, withEndpoints(p, others)), errors.Join(err, othersErr)
}

// networksExcept lists all networks but one.
func (r records) networksExcept(networkID string) ([]string, error) {
	ids, err := r.Networks()
	return slices.DeleteFunc(ids, func(id string) bool { return id == networkID }), err
}

// loadExcept loads all networks but one, as they were last placed. Those that cannot be read are
// left out, and named in the error.
func (r records) loadExcept(networkID string) ([]plan.HostNetwork, error) {
	ids, err := r.networksExcept(networkID)
	errs := []error{err}
	var all []plan.HostNetwork
	for _, id := range ids {
		p, err := r.loadStored(id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		n, err := r.loadEndpoints(p)
		all, errs = append(all, n), append(errs, err)
	}
	return all, errors.Join(errs...)
}
