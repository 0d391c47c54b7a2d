// Command vxlan is the netavark plugin. Podman runs it when a network of driver "vxlan" is created;
// netavark runs it when a container of such a network starts or stops.
package main

import (
	"fmt"
	"os"
	"slices"

	"vxlan-driver/internal/installed"
	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/version"
	"vxlan-driver/internal/wiring"
)

var help = `vxlan is the netavark plugin for VXLAN networks: it connects Podman containers
of several hosts. Podman runs it; you do not have to.

Install it as ` + installed.Path("libexec/netavark/vxlan") + `. Then create the network on each host:

  podman network create --driver vxlan --opt vni=100 --opt local_ip=auto \
    --opt remote_ips=192.168.1.10,192.168.1.11 --opt physical_interface=auto \
    --subnet 10.0.0.0/24 mynet

Use vxlanctl to look at a host's networks.

Usage (JSON on standard input and output, see netavark's plugin-API.md):
  vxlan create             check a new network and fill in what is missing
  vxlan setup NETNS        connect a container
  vxlan teardown NETNS     disconnect a container
  vxlan info               print the versions of the plugin and of its protocol
  vxlan --version          print the version
`

func main() {
	args := os.Args[1:]
	switch {
	case slices.Contains(args, "--help") || slices.Contains(args, "-h"):
		fmt.Print(help)
	case slices.Contains(args, "--version"):
		fmt.Println("vxlan", version.String())
	default:
		os.Exit(netavark.Main(wiring.Plugin(), version.String(), args, os.Stdin, os.Stdout))
	}
}
