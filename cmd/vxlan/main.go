// Command vxlan is the netavark plugin: Podman runs it when a network of driver
// "vxlan" is created, and netavark when a container on one starts or stops.
package main

import (
	"fmt"
	"os"
	"slices"

	"vxlan-driver/internal/driver"
	"vxlan-driver/internal/kernel/namespace"
	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/store"
)

// version is set when a release is built.
var version = "0.1.0-dev"

// networksDir is where Podman, run by root, keeps networks; it does not tell the
// plugin when containers.conf (network_config_dir) says otherwise.
const networksDir = "/etc/containers/networks"

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
	d := &driver.Driver{
		Open:        open,
		StoreDir:    store.Dir,
		NetworksDir: networksDir,
		Rootless:    rootless(),
	}
	os.Exit(netavark.Main(d, version, os.Args[1:], os.Stdin, os.Stdout))
}

func open(path string) (driver.Namespace, error) {
	c, err := namespace.Open(path)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// rootless tells whether a user without privileges runs Podman. Inside the user
// namespace that Podman makes, that user is root; Podman then says whose it is.
func rootless() bool {
	uid, ok := os.LookupEnv("_CONTAINERS_ROOTLESS_UID")
	return os.Geteuid() != 0 || ok && uid != "0" && uid != ""
}
