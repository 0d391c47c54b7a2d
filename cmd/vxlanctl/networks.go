package main

import (
	"errors"
	"os"
	"slices"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/inventory"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/podmannet"
)

// Inventory asks the agent. Where none runs, it is what the store has.
func (h localHost) Inventory() (found agentapi.Inventory, alone bool, err error) {
	found, err = agentapi.ReadInventory(agentapi.SocketPath)
	if !errors.Is(err, agentapi.ErrNotRunning) {
		return found, false, err
	}
	networks, err := h.readNetworks()
	name, _ := os.Hostname() // it may have none
	return inventory.WithoutAgent(name, networks), true, err
}

// readNetworks returns the networks that have containers on this host. An error is only of a host of
// which nothing can be read: the status shows what is wrong with one of several networks.
func (h localHost) readNetworks() (found []hoststate.Network, err error) {
	s, err := h.Begin()
	if err != nil {
		return nil, err
	}
	found, err = s.Networks()
	if len(found) > 0 {
		err = nil
	}
	return found, errors.Join(err, s.Close())
}

// DefinedNetworks reads Podman's networks.
func (h localHost) DefinedNetworks() (defined []ctl.DefinedNetwork, err error) {
	files, err := podmannet.List(h.NetworksDir, network.Driver)
	for _, f := range files {
		options, _ := podmannet.Options(f.Data) // Podman shows what is wrong with it
		d := ctl.DefinedNetwork{Name: f.Name, ID: f.ID, Subnets: []string{}, Options: options}
		if r, ok := network.ReadReservation(f.Data); ok {
			d.VNI, d.Port = r.VNI, r.Port
			for _, s := range r.Subnets {
				d.Subnets = append(d.Subnets, s.String())
			}
		}
		defined = append(defined, d)
	}
	return defined, err
}

// Forwarding asks the agent. Where none runs, only the listed hosts are known.
func (h localHost) Forwarding() (entries []agentapi.ForwardingEntry, alone bool, err error) {
	entries, err = agentapi.ReadForwarding(agentapi.SocketPath)
	if !errors.Is(err, agentapi.ErrNotRunning) {
		return entries, false, err
	}
	networks, err := h.readNetworks()
	for _, n := range networks {
		want, flood := h.WantedForwarding(n, plan.Known{Partial: true})
		have, fastPath, readErr := h.ReadForwarding(want)
		err = errors.Join(err, readErr)
		compared := inventory.Wanted{Network: n.Name, Forwarding: want, Flood: flood}.Compare(have, fastPath)
		entries = slices.AppendSeq(entries, compared.Entries())
	}
	return entries, true, err
}
