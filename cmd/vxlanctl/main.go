// Command vxlanctl is the operator's tool.
package main

import (
	"fmt"
	"os"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl"
	"vxlan-driver/internal/plugin"
	"vxlan-driver/internal/version"
	"vxlan-driver/internal/wiring"
)

// localHost is this host's driver and agent.
type localHost struct{ *plugin.Plugin }

// Status asks the agent.
func (localHost) Status() (agentapi.StatusReport, error) {
	return agentapi.Status(agentapi.SocketPath)
}

func main() {
	if err := ctl.Command(localHost{wiring.Plugin()}, version.String(), os.Stdout).Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "vxlanctl:", err)
		os.Exit(1)
	}
}
