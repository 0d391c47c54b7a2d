package ctl

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
)

// completing completes the first so many arguments, or a flag's value, by names of things that are there, and none by
// files.
func completing(most int, names func(typed []string) []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most != noLimit && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(args), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeByNothing keeps commands from being completed by files that take none.
func completeByNothing(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil && !cmd.HasSubCommands() {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range cmd.Commands() {
		completeByNothing(sub)
	}
}

// inventoryOf is what is known for a completion. Where nothing is, nothing is completed.
func inventoryOf(host InventorySource) agentapi.Inventory {
	all, _, _ := host.Inventory()
	return all
}

// networksHere are those with containers on this host.
func networksHere(host InventorySource) (names []string) {
	for _, n := range inventoryOf(host).Networks {
		names = append(names, n.Name)
	}
	return names
}

// containersOf are the names of containers that are accepted, each once.
func containersOf(host InventorySource, accept func(here bool) bool) []string {
	names := make(map[string]bool)
	for _, n := range inventoryOf(host).Networks {
		self := slices.IndexFunc(n.Hosts, func(h agentapi.MemberInventory) bool { return h.Self })
		for _, e := range n.Endpoints {
			if here := self >= 0 && e.Host == n.Hosts[self].Name; e.Container != "" && accept(here) {
				names[e.Container] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func isHere(here bool) bool { return here }
func isAnywhere(bool) bool  { return true }

// memberHosts are the other hosts of this host's networks, as people call them.
func memberHosts(host InventorySource) []string {
	names := make(map[string]bool)
	for _, n := range inventoryOf(host).Networks {
		for _, h := range n.Hosts {
			if short, _, _ := strings.Cut(h.Name, " "); !h.Self {
				names[short] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// pingedHosts are the other hosts of this host's networks, and those that its agent knows.
func pingedHosts(host Pinger) []string {
	names := memberHosts(host)
	hosts, _ := host.Hosts()
	for _, h := range hosts {
		if !h.Self && h.HostName != "" && !slices.Contains(names, h.HostName) {
			names = append(names, h.HostName)
		}
	}
	return names
}

// definedNames are the networks that this host's Podman has.
func definedNames(host NetworkSource) (names []string) {
	defined, _ := host.DefinedNetworks()
	for _, d := range defined {
		names = append(names, d.Name)
	}
	return names
}

// lookedUpNames are those that containers of this host can look up.
func lookedUpNames(host InventorySource) (names []string) {
	for _, r := range nameRows(inventoryOf(host)) {
		names = append(names, r.Name)
	}
	return slices.Compact(names)
}

// knownHosts are the other hosts that the agent knows.
func knownHosts(host StatusSource) (names []string) {
	r, err := host.Status()
	if err != nil {
		return nil
	}
	for _, c := range r.Clusters {
		for _, h := range c.Hosts {
			if h.HostName != "" && !slices.Contains(names, h.HostName) {
				names = append(names, h.HostName)
			}
		}
	}
	return names
}

// listedPeers are the addresses that a network's list has.
func listedPeers(host NetworkSource, network string) (addrs []string) {
	defined, _ := host.DefinedNetworks() // without them nothing is completed
	for _, d := range defined {
		if d.Name != network {
			continue
		}
		list, _ := readPeers(d.Options["remote_ips"])
		for _, a := range list {
			addrs = append(addrs, a.String())
		}
	}
	return addrs
}
