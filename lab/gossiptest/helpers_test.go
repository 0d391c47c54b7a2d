package gossiptest

import (
	"fmt"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// startLab starts a lab whose hosts have the same key, and know only the first host.
func startLab(t *testing.T, hosts int) *lab.Lab {
	t.Helper()
	return labtest.Gossip.Start(t, lab.Config{Hosts: hosts})
}

// createNetwork creates a network, by the same command on each host.
func createNetwork(t *testing.T, h *lab.Host, name, flags string) {
	t.Helper()
	labtest.Sh(t, h, "podman network create --driver vxlan --opt discovery=gossip --opt local_ip=auto --opt physical_interface=eth0 "+flags+" "+name)
}

// runContainer starts a container that serves HTTP, and returns its address.
func runContainer(t *testing.T, h *lab.Host, name, network, flags string) string {
	t.Helper()
	labtest.Sh(t, h, fmt.Sprintf("podman run -d --name %s --network %s %s localhost/web", name, network, flags))
	return labtest.Address(t, h, name, network)
}

// pingScript is a script that succeeds if the container reaches the name or address.
func pingScript(container, to string) string {
	return fmt.Sprintf("podman exec %s ping -c1 -W1 %s", container, to)
}
