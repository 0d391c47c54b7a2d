package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// OmittedError says what a host cannot announce. The rest is announced.
type OmittedError struct {
	Reasons []string
	Claims  bool // a claim is among it
}

// Error joins the reasons.
func (e OmittedError) Error() string { return strings.Join(e.Reasons, "; ") }

// Fit returns what of the memberships a host can announce, in the order of Canonical, with at most
// so many endpoints. If that is not all, the error is an OmittedError. An invalid network is left
// out, rather than the whole host.
//
// Of too many endpoints, claims come first, since a start waits for them. Then come those that were
// announced before, so that what others know does not change.
func Fit(memberships []Membership, wasAnnounced func(NetworkKey, string) bool, maxEndpoints int) ([]Membership, error) {
	sorted, err := Canonical(memberships)
	if err == nil && countEndpoints(sorted) <= maxEndpoints {
		return sorted, nil
	}
	f := fitting{announced: wasAnnounced}
	var fit []Membership
	for _, m := range sorted {
		switch last := len(fit) - 1; {
		case len(fit) == MaxMemberships:
			f.omit(m, fmt.Sprintf("a host can announce %d networks", MaxMemberships))
		case last >= 0 && fit[last].Network == m.Network:
			f.omit(m, "two networks have that VNI and port")
		default:
			if valid, err := f.leaveOutInvalid(m); err != nil {
				f.omit(m, err.Error())
			} else {
				fit = append(fit, valid)
			}
		}
	}
	f.limitEndpoints(fit, maxEndpoints)
	if len(f.omitted.Reasons) == 0 {
		return fit, nil
	}
	return fit, f.omitted
}

func countEndpoints(memberships []Membership) (n int) {
	for _, m := range memberships {
		n += len(m.Endpoints)
	}
	return n
}

// fitting collects what is left out.
type fitting struct {
	announced func(NetworkKey, string) bool
	omitted   OmittedError
}

// omit leaves a network out.
func (f *fitting) omit(m Membership, why string) {
	f.omitted.Reasons = append(f.omitted.Reasons, fmt.Sprintf("network of VNI %d is not announced to other hosts: %s",
		m.Network.VNI, why))
	f.omitted.Claims = f.omitted.Claims || slices.ContainsFunc(m.Endpoints, Endpoint.Claimed)
}

// leaveOutInvalid drops the invalid endpoints of a network, and says if the network itself is
// invalid.
func (f *fitting) leaveOutInvalid(m Membership) (Membership, error) {
	all := m.Endpoints
	m.Endpoints = nil
	if err := m.check(isAlwaysNew); err != nil {
		return m, err
	}
	for i, e := range all {
		if e.Check() == nil && (i == 0 || all[i-1].ContainerID != e.ContainerID) {
			m.Endpoints = append(m.Endpoints, e)
		}
	}
	f.omitContainers(&m, len(all)-len(m.Endpoints), "they are not valid")
	return m, nil
}

// limitEndpoints drops endpoints until there are so many.
func (f *fitting) limitEndpoints(memberships []Membership, limit int) {
	type candidate struct {
		network  int
		rank     int
		endpoint Endpoint
	}
	var all []candidate
	for i, m := range memberships {
		for _, e := range m.Endpoints {
			all = append(all, candidate{i, f.rank(m.Network, e), e})
		}
	}
	if len(all) <= limit {
		return
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.rank, b.rank) })
	for i := range memberships {
		memberships[i].Endpoints = nil
	}
	left := make([]int, len(memberships))
	for i, c := range all {
		if i < limit {
			memberships[c.network].Endpoints = append(memberships[c.network].Endpoints, c.endpoint)
			continue
		}
		left[c.network]++
		f.omitted.Claims = f.omitted.Claims || c.endpoint.Claimed()
	}
	for i := range memberships {
		m := &memberships[i]
		slices.SortFunc(m.Endpoints, func(x, y Endpoint) int { return cmp.Compare(x.ContainerID, y.ContainerID) })
		f.omitContainers(m, left[i], fmt.Sprintf("a host can announce %d", limit))
	}
}

// rank orders endpoints by how much it matters that they are announced.
func (f *fitting) rank(network NetworkKey, e Endpoint) int {
	switch {
	case e.Claimed():
		return 0
	case f.announced(network, e.ContainerID):
		return 1
	}
	return 2
}

// omitContainers notes that containers of a network are left out. Others cannot know all MACs then.
func (f *fitting) omitContainers(m *Membership, count int, why string) {
	if count == 0 {
		return
	}
	m.StaticFDB = false
	f.omitted.Reasons = append(f.omitted.Reasons, fmt.Sprintf(
		"%d containers of the network of VNI %d are not announced to other hosts, "+
			"which do not find their names, and may assign their addresses: %s; run some on another host",
		count, m.Network.VNI, why))
}
