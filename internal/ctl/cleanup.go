package ctl

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
)

// Cleaner removes the driver from this host.
type Cleaner interface {
	// Cleanup removes all that the driver has on the host. It refuses while containers use it,
	// unless forced. It returns the networks that Podman still has.
	Cleanup(force bool) (networks []string, err error)
}

func cleanupCommand(host Cleaner) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "remove all that the driver has on this host",
		Long: `Cleanup stops the agent, and removes the driver's devices, firewall tables and
files below /run. It is for a host that the driver is about to be removed from, or
on which something is left of it. "make uninstall" runs it.

It refuses while containers use a VXLAN network, and names them.`,
		Example: `  vxlanctl cleanup`,
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			networks, err := host.Cleanup(force)
			if err != nil {
				return fmt.Errorf("cleanup: %w", err)
			}
			if len(networks) > 0 {
				output.Fprintf(cmd.OutOrStdout(),
					"Podman still has these VXLAN networks: %s; remove them with \"podman network rm\"\n", strings.Join(networks, " "))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "cut off containers that still use a VXLAN network")
	return cmd
}
