// Command vxlanctl is the operator's tool.
package main

import (
	"fmt"
	"os"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl"
	"vxlan-driver/internal/plugin"
	"vxlan-driver/internal/wiring"
)

// version is set when a release is built.
var version = "0.1.0-dev"

// thisHost is the host and its agent.
type thisHost struct{ *plugin.Plugin }

// patience outlasts a turn of the agent behind a queue of container starts.
const patience = 10 * time.Second

func (thisHost) Status() (agentapi.StatusReport, error) {
	r, err := agentapi.Call(agentapi.SocketPath, agentapi.Request{Verb: agentapi.VerbStatus}, time.Now().Add(patience))
	if err != nil || r.Status == nil {
		return agentapi.StatusReport{}, err
	}
	return *r.Status, nil
}

func main() {
	if err := ctl.Command(thisHost{wiring.Plugin()}, version, os.Stdout).Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "vxlanctl:", err)
		os.Exit(1)
	}
}
