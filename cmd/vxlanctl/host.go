package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/capture"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/ctl"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/metrics"
	"vxlan-driver/internal/plugin"
)

// localHost is this host's driver and agent.
type localHost struct {
	*plugin.Plugin
	agent agentapi.Client
}

// Status asks the agent.
func (localHost) Status() (agentapi.StatusReport, error) {
	return agentapi.Status(agentapi.SocketPath)
}

// WriteMetrics makes metrics of the agent's report, as the agent does.
func (h localHost) WriteMetrics(out io.Writer) error {
	r, err := h.Status()
	if err != nil {
		return err
	}
	return metrics.WriteText(out, r)
}

// StatusWithRates asks the agent.
func (localHost) StatusWithRates() (agentapi.StatusReport, error) {
	return agentapi.StatusWithRates(agentapi.SocketPath)
}

// StatusOfAll makes the agent ask all hosts.
func (localHost) StatusOfAll() ([]agentapi.HostAnswer, error) {
	return agentapi.StatusOfAll(agentapi.SocketPath)
}

// ForgetHost asks the agent.
func (localHost) ForgetHost(name string) (host, warning string, err error) {
	return agentapi.ForgetHost(agentapi.SocketPath, name)
}

// RotateEncryption asks the agent.
func (localHost) RotateEncryption(name string) (agentapi.RotationReport, error) {
	return agentapi.RotateEncryption(agentapi.SocketPath, name)
}

// Events asks the agent.
func (localHost) Events(r agentapi.EventsRequest) (agentapi.EventsReport, error) {
	return agentapi.Events(agentapi.SocketPath, r)
}

// AskEach makes the agent ask all hosts.
func (localHost) AskEach(question func(agentapi.HostStatus) agentapi.Request) ([]agentapi.HostAnswer, error) {
	return agentapi.AskEach(agentapi.SocketPath, question)
}

// Wait waits on the agent.
func (localHost) Wait(ctx context.Context, r agentapi.WaitRequest) (missing string, err error) {
	return agentapi.Wait(ctx, agentapi.SocketPath, r)
}

// Reload restores what the networks need, and then sees to the agent, where a container needs one.
// A host may do without an agent.
func (h localHost) Reload() (networks int, err error) {
	c, configErr := h.AgentConfig() // the agent says what is wrong with it
	if configErr == nil {
		err = h.allowUsers(c)
	}
	networks, reloadErr := h.Plugin.Reload()
	err = errors.Join(err, reloadErr)
	containers, _ := h.ContainersWithAgent() // Reload returns why one cannot be read
	agentErr := h.agent.Refresh(containers > 0 || c.KeepRunning)
	if _, notInstalled := errors.AsType[agentapi.NotInstalledError](agentErr); notInstalled {
		agentErr = nil
	}
	return networks, errors.Join(err, agentErr)
}

// allowUsers records for the firewall whom the configuration allows to send what only root may. An agent
// does so too. A host may do without one.
func (h localHost) allowUsers(c config.Config) error {
	ids, err := c.AllowedUserIDs()
	if err != nil {
		h.Warn(err.Error())
	}
	s, err := h.Begin()
	if err != nil {
		return err
	}
	return errors.Join(s.SetAllowedUsers(ids), s.Close())
}

// AgentConfig implements ctl.AgentConfigured.
func (localHost) AgentConfig() (config.Config, error) {
	return config.FilesAt(config.Path).LoadSettings()
}

// Cleanup removes what the driver has on the host.
func (h localHost) Cleanup(force bool) (networks []string, err error) {
	if err := h.CheckUnused(); err != nil && !force {
		return nil, fmt.Errorf(
			"%w\nremove these containers, or take them off their networks with `podman network disconnect`; nothing was "+
				"removed", err)
	}
	stopErr := h.agent.Stop()
	networks, listErr := h.PodmanNetworks()
	// Before the firewall goes, which keeps others from reaching this host by them.
	wireGuardErr := (&wireguard.Host{Log: slog.New(slog.DiscardHandler)}).RemoveAll()
	return networks, errors.Join(stopErr, wireGuardErr, h.Clean(), listErr)
}

// networks returns the network of a name, or all that have containers on this host.
func (h localHost) networks(name string) (found []hoststate.Network, err error) {
	s, err := h.Begin()
	if err != nil {
		return nil, err
	}
	all, readErr := s.Networks()
	if err := s.Close(); err != nil {
		return nil, err
	}
	for _, n := range all {
		if name == "" || n.Name == name {
			found = append(found, n)
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case name == "":
		return nil, errors.Join(errors.New("no VXLAN network has a container on this host, so there are no packets"), readErr)
	}
	return nil, errors.Join(fmt.Errorf("network %s has no container on this host, so there are no packets", name), readErr)
}

// CaptureConfig finds out where a network's packets pass.
func (h localHost) CaptureConfig(name string) (capture.Config, error) {
	found, err := h.networks(name)
	if err != nil {
		return capture.Config{}, err
	}
	n := found[0]
	outside := n.VTEP.Interface
	if n.Encrypts() {
		if outside = n.VTEP.WireGuard; outside == "" {
			return capture.Config{}, fmt.Errorf("network %s is encrypted, and no WireGuard device is ready; "+
				"`vxlanctl encryption status` says why", name)
		}
	}
	return capture.Config{
		IPOnly: n.Encrypts(), Device: n.Device.Name, Underlay: outside, Local: n.VTEP.Local,
		Port: n.Tunnel.Port, VNI: n.Tunnel.VNI, Names: containerNames(n),
	}, nil
}

// TracedNetworks finds out which packets are a network's.
func (h localHost) TracedNetworks(name string) (traced []ctl.TracedNetwork, err error) {
	found, err := h.networks(name)
	for _, n := range found {
		t := ctl.TracedNetwork{Name: n.Name, Port: n.Tunnel.Port, VNI: n.Tunnel.VNI, Names: containerNames(n)}
		for _, subnet := range n.Subnets {
			t.Subnets = append(t.Subnets, subnet.Prefix)
		}
		traced = append(traced, t)
	}
	return traced, err
}

// containerNames are those of this host's containers.
func containerNames(n hoststate.Network) map[netip.Addr]string {
	names := make(map[netip.Addr]string)
	for _, r := range n.Endpoints {
		for _, p := range r.Addrs {
			names[p.Addr()] = r.ContainerName
		}
	}
	return names
}
