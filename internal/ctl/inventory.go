package ctl

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
)

// InventorySource says in detail what is on networks.
type InventorySource interface {
	// Inventory asks the agent. Where none runs, it is what this host's store has, and alone is
	// true: nothing is known of other hosts.
	Inventory() (found agentapi.Inventory, alone bool, err error)
}

// aloneNote says what a listing lacks without an agent.
const aloneNote = "vxland does not run, so this is what is recorded on this host only; `vxlanctl status` says " +
	"whether that is wrong"

// notesOf returns what is to be said of an inventory as a whole.
func notesOf(alone bool) []string {
	if alone {
		return []string{aloneNote}
	}
	return nil
}

// findNetwork returns the network that a person names.
func findNetwork(all agentapi.Inventory, name string) (agentapi.NetworkInventory, error) {
	var names []string
	for _, n := range all.Networks {
		if n.Name == name || n.ID == name {
			return n, nil
		}
		names = append(names, n.Name)
	}
	if len(names) == 0 {
		return agentapi.NetworkInventory{}, fmt.Errorf(
			"network %s has no container on this host; nor has any other VXLAN network", name)
	}
	return agentapi.NetworkInventory{}, fmt.Errorf("network %s has no container on this host; these have: %s", name,
		strings.Join(names, ", "))
}

// completeNetworks completes a network's name, if it is the first argument.
func completeNetworks(host InventorySource) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all, _, err := host.Inventory()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		for _, n := range all.Networks {
			names = append(names, n.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func joinAddrs(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return strings.Join(texts, ",")
}
