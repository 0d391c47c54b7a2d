package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/clusterkey"
	"vxlan-driver/internal/enrol"
	"vxlan-driver/internal/membership"
)

// issuer is what joining hosts get from this one.
type issuer struct{ *Agent }

// Offer says who this host is.
func (i issuer) Offer(_, self netip.Addr) enrol.Offer {
	name, _ := os.Hostname()
	offer := enrol.Offer{
		Host: membership.HostName(name), Cluster: i.Config.Cluster, AgentPort: i.Config.Port, TunnelPorts: i.tunnelPorts(),
		MTU: i.mtuOf(self),
	}
	if keys, err := clusterkey.Load(i.Config.KeyFile); err == nil {
		offer.KeyID = keys[0].ID()
	}
	return offer
}

// tunnelPorts are those of the networks of this host.
func (i issuer) tunnelPorts() (ports []uint16) {
	for _, n := range i.definitions() {
		ports = append(ports, n.Port())
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// mtuOf returns the MTU of the interface with an address, or 0.
func (i issuer) mtuOf(addr netip.Addr) int {
	ns, err := i.Host.Open("")
	if err != nil {
		return 0
	}
	defer ns.Close()
	iface, err := ns.InterfaceByAddr(addr)
	if err != nil {
		return 0
	}
	return iface.MTU
}

// OpenPath prepares the ways to a joining host. The ports are this host's, whatever the other asks.
func (i issuer) OpenPath(_ context.Context, spec enrol.PathSpec) (enrol.Path, error) {
	if spec.AgentPort != 0 {
		spec.AgentPort = i.Config.Port
	}
	if spec.TunnelPort != enrol.DefaultTunnelPort && !slices.Contains(i.tunnelPorts(), spec.TunnelPort) {
		return nil, fmt.Errorf("no network of this host has UDP port %d", spec.TunnelPort)
	}
	if i.Agent.OpenPath == nil {
		return nil, errors.New("this agent cannot try the ways between hosts")
	}
	return i.Agent.OpenPath(spec), nil
}

// Grant returns what a host needs to be a member.
func (i issuer) Grant() (enrol.Grant, error) {
	keys, err := clusterkey.Load(i.Config.KeyFile)
	if err != nil {
		return enrol.Grant{}, err
	}
	var lines strings.Builder
	for _, k := range keys {
		lines.WriteString(k.Line())
	}
	return enrol.Grant{
		Keys: lines.String(), Cluster: i.Config.Cluster, AgentPort: i.Config.Port, Seeds: i.seedsForOthers(),
		Networks: i.definitions(),
	}, nil
}

// definitions returns the networks that this host's Podman has.
func (a *Agent) definitions() (all []adopt.Definition) {
	configs, err := a.Host.NetworkConfigs()
	if err != nil {
		a.Log.Warn("cannot read this host's networks", "err", err)
	}
	name, _ := os.Hostname()
	addrs := a.ownAddrs()
	for _, config := range configs {
		d, ok := adopt.Read(config)
		var podman struct{ ID string }
		if !ok || json.Unmarshal(config, &podman) != nil {
			continue
		}
		d.Host = membership.HostName(name)
		if local, err := netip.ParseAddr(d.Options["local_ip"]); err == nil {
			d.VTEP = local
		} else if n, running := a.dns.Network(podman.ID); running {
			d.VTEP = n.VTEP.Local
		} else if len(addrs) > 0 {
			d.VTEP = addrs[0]
		}
		all = append(all, d)
	}
	return all
}
