// Command vxlanctl is the operator's tool.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl"
	"vxlan-driver/internal/version"
	"vxlan-driver/internal/wiring"
)

func main() {
	err := newCommand().Execute()
	if err != nil {
		ctl.PrintError(os.Stderr, err)
	}
	os.Exit(ctl.ExitCode(err))
}

// newCommand is the tool on this host.
func newCommand() *cobra.Command {
	return ctl.Command(localHost{wiring.Plugin(), wiring.Agent()}, version.String(), os.Stdout)
}
