package hoststate

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/store"
)

// Namespace is an open network namespace.
type Namespace interface {
	reconcile.Namespace
	network.InterfaceLookup
	Close()
}

// Zones is firewalld, or nothing where it does not run.
type Zones interface {
	// Trust lets all pass that comes from a device or goes to it.
	Trust(device string) error
	// Untrust undoes Trust.
	Untrust(device string) error
}

// Host is this host. Its fields are what is touched of it.
type Host struct {
	// Open opens the network namespace at a path, "" for the host's own.
	Open func(path string) (Namespace, error)
	// StoreDir is where endpoints are recorded.
	StoreDir string
	// Records is kept by a program that begins many sessions; nil: none.
	Records *store.Cache
	// NetworksDir is where Podman keeps its networks' configurations, which
	// tell what other networks hold.
	NetworksDir string
	// SysctlDir is where systemd reads the kernel parameters of devices that
	// appear, "" where it does not run.
	SysctlDir string
	// Zones tells firewalld whom to trust.
	Zones Zones
	// DNSPort is where the agent answers names, 0 for 53.
	DNSPort uint16
	// Warn tells the user of what does not work and is not needed.
	Warn func(message string)

	noFastPath bool // the kernel is known to lack it
}

// Record reads a container's record without the lock: it is replaced as a whole.
func (h *Host) Record(networkID, containerID string) (store.Record, error) {
	return store.ReadRecord(h.StoreDir, networkID, containerID)
}

// ProbeAddresses asks the network's other hosts for addresses that a container is to get, and
// returns who has them. It does so without the store's lock.
func (h *Host) ProbeAddresses(n Network, e network.Endpoint, addrs []netip.Addr) (map[netip.Addr]error, error) {
	ns, err := h.Open("")
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return reconcile.ProbeAddresses(ns, plan.Probe(n.placed(), e, addrs))
}

// FallBackToStatic has networks with a list of hosts be as the list says: nobody keeps up to date what an agent had
// found out. It is for an agent that ends and may not come back, and where none can be started.
func (h *Host) FallBackToStatic() error {
	s, err := h.Begin()
	if err != nil {
		return err
	}
	ids, err := s.records.Networks()
	errs := []error{err}
	for _, id := range ids {
		errs = append(errs, s.forgetPeers(id))
	}
	return errors.Join(append(errs, s.Close())...)
}

// Place reads a network as Podman wrote it, and places it on the host. What the agent has found out is not in it.
func (h *Host) Place(config []byte, ns Namespace) (plan.PlacedNetwork, error) {
	n, v, err := network.Parse(config, ns)
	if err != nil {
		return plan.PlacedNetwork{}, fmt.Errorf("network: %w", err)
	}
	return h.withPlacement(n, v)
}

// withPlacement completes a network whose place on the host is known.
func (h *Host) withPlacement(n network.Network, v network.VTEP) (plan.PlacedNetwork, error) {
	// A subnet that cannot be divided was refused by create, or was never seen by
	// it; a container's address is given, and works.
	_ = ipam.AssignSlices(&n, v)
	foreign, err := h.Reservations(network.ReadForeignReservation)
	return plan.PlacedNetwork{Network: n, VTEP: v, Foreign: foreign}, err
}

// Reservations lists what Podman's networks hold, as far as read takes an interest.
func (h *Host) Reservations(read func(config []byte) (network.Reservation, bool)) ([]network.Reservation, error) {
	files, err := filepath.Glob(filepath.Join(h.NetworksDir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	var all []network.Reservation
	for _, f := range files {
		data, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EISDIR) {
			continue // removed meanwhile, or no network
		}
		if err != nil {
			return nil, fmt.Errorf("list networks: %w", err)
		}
		if r, ok := read(data); ok {
			all = append(all, r)
		}
	}
	// Podman's default network is there before it has a file.
	if _, err := os.Stat(filepath.Join(h.NetworksDir, "podman.json")); errors.Is(err, fs.ErrNotExist) {
		all = append(all, network.Reservation{Holder: `network "podman"`, Bridge: "podman0", Names: []string{"podman0"}})
	}
	return all, nil
}
