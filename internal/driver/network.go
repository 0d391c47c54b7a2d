package driver

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/store"
)

// placed is a network on this host: all that a plan is made from but the endpoints.
type placed struct {
	network.Network
	vtep   network.VTEP
	others []network.Reservation // Podman's networks of other drivers
}

// place reads a network as Podman wrote it and places it on the host.
func (d *Driver) place(config []byte, host Namespace) (placed, error) {
	n, v, err := network.Parse(config, host)
	if err != nil {
		return placed{}, fmt.Errorf("network: %w", err)
	}
	return d.at(n, v)
}

// at completes a network whose place on the host is known.
func (d *Driver) at(n network.Network, v network.VTEP) (placed, error) {
	// A subnet that cannot be divided was refused by create, or was never seen by
	// it; a container's address is given, and works.
	_ = ipam.AssignSlices(&n, v)
	others, err := d.otherNetworks()
	return placed{Network: n, vtep: v, others: others}, err
}

// place is Driver.place with what the store knows.
func (b build) place(config []byte) (placed, error) {
	p, err := b.Driver.place(config, b.host)
	if err != nil {
		return placed{}, err
	}
	return b.known(p)
}

// known adds what the agent has found out.
func (b build) known(p placed) (placed, error) {
	var err error
	if p.DNSPort, err = b.st.DNSPort(p.ID); err != nil {
		return placed{}, err
	}
	peers, ok, err := b.st.Peers(p.ID)
	if ok {
		peers.Place(&p.Network, &p.vtep)
	}
	return p, err
}

func (p placed) elements() []kernel.Element { return plan.Firewall(p.Network, p.vtep, p.others) }

// otherNetworks lists Podman's networks of other drivers.
func (d *Driver) otherNetworks() ([]network.Reservation, error) {
	return d.networks(network.ReadForeignReservation)
}

// networks lists Podman's networks, as far as read takes an interest.
func (d *Driver) networks(read func(data []byte) (network.Reservation, bool)) ([]network.Reservation, error) {
	files, err := filepath.Glob(filepath.Join(d.NetworksDir, "*.json"))
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
		if t, ok := read(data); ok {
			all = append(all, t)
		}
	}
	// Podman's default network is there before it has a file.
	if _, err := os.Stat(filepath.Join(d.NetworksDir, "podman.json")); errors.Is(err, fs.ErrNotExist) {
		all = append(all, network.Reservation{Holder: `network "podman"`, Bridge: "podman0", Names: []string{"podman0"}})
	}
	return all, nil
}

// claim is an element that an endpoint wants, or a network.
type claim struct {
	*kernel.Element
	container string        // the endpoint's, or ""
	setUp     time.Duration // when it first was
}

// claims returns what a network and its endpoints want in the firewall.
func (b build) claims(p placed) ([]claim, error) {
	records, err := b.st.Records(p.ID)
	return claimsFor(p, records), err
}

func claimsFor(p placed, records []*store.Record) []claim {
	elements := p.elements()
	claims := make([]claim, 0, len(elements)+len(records))
	for i := range elements {
		claims = append(claims, claim{Element: &elements[i]})
	}
	for _, r := range records {
		elements := plan.EndpointFirewall(p.Network, r.Endpoint)
		for i := range elements {
			claims = append(claims, claim{&elements[i], r.ContainerID, r.SetUp})
		}
	}
	return claims
}

// claimsOf is claims for a network in the store.
func (b build) claimsOf(networkID string) ([]claim, error) {
	p, err := b.stored(networkID)
	if err != nil {
		return nil, err
	}
	return b.claims(p)
}

// stored is a network as it was last placed on this host. Its protection must not
// depend on whether it could be placed now: its underlay may be down for a moment.
func (b build) stored(networkID string) (placed, error) {
	config, err := b.st.Config(networkID)
	if err != nil {
		return placed{}, err
	}
	v, err := b.st.VTEP(networkID)
	if err != nil {
		return placed{}, err
	}
	n, err := network.ParseStored(config)
	if err != nil {
		return placed{}, err
	}
	if n.Gossip {
		v.Remotes = nil
	}
	v.Flood = v.Remotes
	p, err := b.at(n, v)
	if err != nil {
		return placed{}, err
	}
	return b.known(p)
}

// claimsBut is claims for all networks in the store but one. What cannot be read
// is left out, and in the error.
func (b build) claimsBut(networkID string) ([]claim, error) {
	ids, err := b.st.Networks()
	errs := []error{err}
	var all []claim
	for _, id := range ids {
		if id == networkID {
			continue
		}
		claims, err := b.claimsOf(id)
		all, errs = append(all, claims...), append(errs, err)
	}
	return all, errors.Join(errs...)
}

// unreadable tells whether err has a file that is there and cannot be read, as where
// descriptors have run out. What is missing or broken stays so, and needs nothing.
func unreadable(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(joined.Unwrap(), unreadable)
	}
	_, isFile := errors.AsType[*fs.PathError](err)
	return isFile && !errors.Is(err, fs.ErrNotExist)
}

func endpoints(records []*store.Record) []network.Endpoint {
	var all []network.Endpoint
	for _, r := range records {
		all = append(all, r.Endpoint)
	}
	return all
}

// settle gives each key to one claim. A port of a container that is on several
// networks leads by the one that it joined first. Of two containers the later has
// it: Podman gives out a port once, so the earlier is gone without having been torn down.
func settle(claims []claim) []kernel.Element {
	held := make(map[kernel.ElementID]int, len(claims))
	all := make([]claim, 0, len(claims))
	for _, c := range claims {
		key := c.ID()
		i, taken := held[key]
		if !taken {
			held[key] = len(all)
			all = append(all, c)
			continue
		}
		sameContainer := all[i].container == c.container
		if earlier := c.setUp < all[i].setUp; earlier == sameContainer {
			all[i] = c
		}
	}
	// By set, since a message holds elements of one.
	slices.SortStableFunc(all, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.Set.Family, b.Set.Family), cmp.Compare(a.Set.Name, b.Set.Name))
	})
	elements := make([]kernel.Element, 0, len(all))
	for _, c := range all {
		elements = append(elements, *c.Element)
	}
	return elements
}

// without returns the elements whose keys are not among the others'.
func without(elements, others []kernel.Element) []kernel.Element {
	keep := make(map[kernel.ElementID]bool)
	for i := range others {
		keep[others[i].ID()] = true
	}
	var left []kernel.Element
	for i := range elements {
		if !keep[elements[i].ID()] {
			left = append(left, elements[i])
		}
	}
	return left
}
