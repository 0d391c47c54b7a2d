// Command vxlan is the netavark plugin: Podman runs it when a network of driver
// "vxlan" is created, and netavark when a container on one starts or stops.
package main

import (
	"fmt"
	"os"
	"slices"

	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/wiring"
)

// version is set when a release is built.
var version = "0.1.0-dev"

const help = `vxlan connects Podman containers on many hosts by VXLAN networks.

It is a netavark plugin. Podman runs it; a person has no need to. Installed as
/usr/local/libexec/netavark/vxlan it is used by

  podman network create --driver vxlan --opt vni=100 --opt local_ip=auto \
    --opt remote_ips=192.168.1.10,192.168.1.11 --opt physical_interface=auto \
    --subnet 10.0.0.0/24 mynet

Calls (JSON on standard input and output, netavark's plugin-API.md):
  vxlan create             check and complete a new network
  vxlan setup NETNS        connect a container
  vxlan teardown NETNS     disconnect a container
  vxlan info               print versions
`

func main() {
	if slices.Contains(os.Args[1:], "--help") || slices.Contains(os.Args[1:], "-h") {
		fmt.Print(help)
		return
	}
	os.Exit(netavark.Main(wiring.Plugin(), version, os.Args[1:], os.Stdin, os.Stdout))
}
