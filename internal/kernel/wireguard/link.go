package wireguard

import (
	"errors"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/rtnl"
)

const (
	// looseSource is the value of rp_filter by which a packet may come in by another device than its
	// sender's route leads to. VTEPs are reached by the underlay, and not by WireGuard's device. The kernel
	// takes the larger of this value and that of all devices, which may be 1 (strict).
	looseSource = "2"
	// queueLen is as many packets as the kernel lets wait before an Ethernet card. Before a tun it lets
	// wait half as many, and those of one TCP stream come in bursts of 64 KB.
	queueLen = 1000
)

// setUpLink makes a device what is wanted, and brings it up. It gets no address by which this host could be
// reached: of IPv6 it would take one by itself. It returns what was wrong.
func setUpLink(c *rtnl.Conn, kind kernel.Kind, want Device) (repaired []Fault, err error) {
	have, err := c.Link(want.Name, kernel.FacetSysctls)
	if err != nil {
		return nil, err
	}
	for _, change := range linkChanges(have, want) {
		if err := c.Apply(change); err != nil {
			return nil, err
		}
	}
	source := kernel.Sysctl{Key: "net/ipv4/conf/" + want.Name + "/rp_filter", Value: looseSource}
	if !slices.Contains(have.Sysctls, source) {
		if _, err := c.SetSysctl(source); err != nil {
			return nil, err
		}
		repaired = append(repaired, StrictSources)
	}
	if !have.Up {
		if kind == kernel.KindTun {
			if err := c.SetQueueLen(want.Name, queueLen); err != nil {
				return nil, err
			}
		}
		if err := c.Apply(kernel.SetUp{Name: want.Name}); err != nil {
			return nil, err
		}
		repaired = append(repaired, Down)
	}
	wayFault, err := setWays(c, want)
	if wayFault != "" && have.Up { // the kernel takes away routes of a device that is down
		repaired = append(repaired, wayFault)
	}
	return repaired, err
}

// setWays lets packets leave by a device that is up, and be taken in by it. It returns what was missing.
func setWays(c *rtnl.Conn, want Device) (Fault, error) {
	fault, ensure := WithoutIPv4, c.LetIPv4In
	if want.IPv6 {
		fault, ensure = WithoutRule, c.RouteIPv6By
	}
	added, err := ensure(want.Name)
	if want.IPv6 {
		err = errors.Join(err, c.RemoveStaleDeviceRules())
	}
	if !added {
		return "", err
	}
	return fault, err
}

// linkChanges returns what differs of a link. The alias comes first: whoever is interrupted after it
// leaves a device that is known as the driver's.
func linkChanges(have kernel.Link, want Device) (changes []kernel.Change) {
	if have.Alias != want.Alias {
		changes = append(changes, kernel.SetAlias{Name: want.Name, Alias: want.Alias})
	}
	for _, alt := range want.AltNames {
		if !slices.Contains(have.AltNames, alt) {
			changes = append(changes, kernel.AddAltName{Name: want.Name, AltName: alt})
		}
	}
	if have.MTU != want.MTU {
		changes = append(changes, kernel.SetMTU{Name: want.Name, MTU: want.MTU})
	}
	if !have.NoLinkLocal {
		changes = append(changes, kernel.SetNoLinkLocal{Name: want.Name})
	}
	return changes
}
