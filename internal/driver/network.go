package driver

import (
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
	"vxlan-driver/internal/store"
)

// placed is a network on this host: all that a plan is made from but the endpoints.
type placed struct {
	network.Network
	vtep   network.VTEP
	others []network.Taken // Podman's networks of other drivers
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
	_ = ipam.Assign(&n, v)
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

// otherNetworks lists what Podman's networks hold.
func (d *Driver) otherNetworks() ([]network.Taken, error) {
	files, err := filepath.Glob(filepath.Join(d.NetworksDir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	var all []network.Taken
	for _, f := range files {
		// A file that goes away meanwhile is a network that was removed.
		if data, err := os.ReadFile(f); err == nil {
			all = append(all, network.ReadTaken(data))
		}
	}
	// Podman's default network is there before it has a file.
	if _, err := os.Stat(filepath.Join(d.NetworksDir, "podman.json")); errors.Is(err, fs.ErrNotExist) {
		all = append(all, network.Taken{Holder: `network "podman"`, Bridge: "podman0", Names: []string{"podman0"}})
	}
	return all, nil
}

// claim is an element that an endpoint wants, or with a zero record a network.
type claim struct {
	kernel.Element
	by store.Record
}

// claims returns what a network and its endpoints want in the firewall.
func (b build) claims(p placed) ([]claim, error) {
	records, err := readAll(b.st, p.ID)
	return claimsFor(p, records), err
}

func claimsFor(p placed, records []store.Record) []claim {
	var claims []claim
	for _, e := range p.elements() {
		claims = append(claims, claim{Element: e})
	}
	for _, r := range records {
		for _, e := range plan.EndpointFirewall(p.Network, r.Endpoint) {
			claims = append(claims, claim{e, r})
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
	n, err := network.Load(config)
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

// readAll returns the records of a network's endpoints.
func readAll(st *store.Store, networkID string) ([]store.Record, error) {
	ids, err := st.Endpoints(networkID)
	errs := []error{err}
	var all []store.Record
	for _, id := range ids {
		r, err := st.Record(networkID, id)
		if errs = append(errs, err); err == nil {
			all = append(all, r)
		}
	}
	return all, errors.Join(errs...)
}

func endpoints(records []store.Record) []network.Endpoint {
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
	type key struct {
		set kernel.Set
		key kernel.Datum
	}
	held := make(map[key]int)
	var all []claim
	for _, c := range claims {
		i, taken := held[key{c.Set, c.Key}]
		if !taken {
			held[key{c.Set, c.Key}] = len(all)
			all = append(all, c)
			continue
		}
		sameContainer := all[i].by.ContainerID == c.by.ContainerID
		if earlier := c.by.SetUp < all[i].by.SetUp; earlier == sameContainer {
			all[i] = c
		}
	}
	// By set, since a message holds elements of one.
	slices.SortStableFunc(all, func(a, b claim) int { return compareSets(a.Set, b.Set) })
	var elements []kernel.Element
	for _, c := range all {
		elements = append(elements, c.Element)
	}
	return elements
}

func compareSets(a, b kernel.Set) int {
	switch {
	case a == b:
		return 0
	case a.Family+"/"+kernel.Family(a.Name) < b.Family+"/"+kernel.Family(b.Name):
		return -1
	}
	return 1
}

// without returns the elements whose keys are not among the others'.
func without(elements, others []kernel.Element) []kernel.Element {
	type key struct {
		set kernel.Set
		key kernel.Datum
	}
	keep := make(map[key]bool)
	for _, e := range others {
		keep[key{e.Set, e.Key}] = true
	}
	var left []kernel.Element
	for _, e := range elements {
		if !keep[key{e.Set, e.Key}] {
			left = append(left, e)
		}
	}
	return left
}
