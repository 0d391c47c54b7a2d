package doctor

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/diagnosis"
)

// withRecreation replaces the advice to recreate a network by the commands that do it as another host
// has it. Containers keep running.
func (f *Facts) withRecreation(findings []diagnosis.Finding) []diagnosis.Finding {
	for i, found := range findings {
		for _, n := range f.Networks {
			if n.Name != found.Network || n.Definition == nil {
				continue
			}
			like := *n.Definition
			like.Options = maps.Clone(like.Options)
			if keepsAddresses, ok := adoptDifference(&like, found.Summary); ok {
				if commands := n.recreate(like, keepsAddresses); len(commands) > 0 {
					findings[i].Mend = commands
				}
			}
		}
	}
	return findings
}

// adoptDifference makes a network as the other host has it, by the sentence that says how they differ.
func adoptDifference(d *adopt.Definition, summary string) (keepsAddresses, ok bool) {
	_, what, _ := strings.Cut(summary, "): ")
	if what == "" {
		_, what, _ = strings.Cut(summary, ": ")
	}
	what, values, _ := strings.Cut(what, " is ")
	theirs, _, ok := strings.Cut(values, " there and ")
	switch {
	case !ok:
	case what == "the VNI":
		d.Options["vni"] = theirs
		return true, true
	case what == "the VXLAN port":
		d.Options["vxlan_port"] = theirs
		return true, true
	case what == "the subnet" && theirs != "none":
		d.Subnets = nil
		for prefix := range strings.SplitSeq(theirs, ",") {
			d.Subnets = append(d.Subnets, adopt.Subnet{Prefix: prefix})
		}
		return false, true
	case strings.HasPrefix(what, "the gateway of ") && theirs != "none":
		prefix := strings.TrimPrefix(what, "the gateway of ")
		d.Subnets = slices.Clone(d.Subnets)
		for i := range d.Subnets {
			if d.Subnets[i].Prefix == prefix {
				d.Subnets[i].Gateway = theirs
			}
		}
		return true, true
	}
	return false, false
}

// recreate is the commands that remove a network and create it otherwise. Its containers are taken off
// it meanwhile. Without one whose name is known there is no such command.
func (n Network) recreate(like adopt.Definition, keepsAddresses bool) []string {
	args, _, err := like.Command(adopt.Own{Options: n.Definition.OwnOptions()})
	if err != nil {
		return nil
	}
	var off, on []string
	for _, e := range n.Endpoints {
		if e.ContainerName == "" {
			return nil
		}
		connect := []string{"network", "connect"}
		for _, a := range e.Addrs {
			if keepsAddresses {
				connect = append(connect, flagOf(a.Addr()), a.Addr().String())
			}
		}
		off = append(off, adopt.Quote("podman", []string{"network", "disconnect", n.Name, e.ContainerName}))
		on = append(on, adopt.Quote("podman", append(connect, n.Name, e.ContainerName)))
	}
	return slices.Concat(off, []string{"podman network rm " + n.Name, adopt.Quote("podman", args)}, on)
}

func flagOf(a netip.Addr) string {
	if a.Is6() {
		return "--ip6"
	}
	return "--ip"
}
