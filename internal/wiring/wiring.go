package wiring

import (
	"fmt"
	"os"
	"strconv"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/driver"
	"vxlan-driver/internal/firewalld"
	"vxlan-driver/internal/kernel/netstack"
	"vxlan-driver/internal/store"
)

const (
	// networksDir is where Podman, run by root, keeps networks; it does not tell the
	// plugin when containers.conf (network_config_dir) says otherwise.
	networksDir = "/etc/containers/networks"

	// sysctlDir is systemd's for what does not outlive a boot (sysctl.d(5)).
	sysctlDir = "/run/sysctl.d"
	// systemdDir is there where systemd runs (sd_booted(3)).
	systemdDir = "/run/systemd/system"
	// AgentLog is where the agent writes that the plugin has started.
	AgentLog = store.Dir + "/vxland.log"
)

// Driver returns the driver of this host.
func Driver() *driver.Driver {
	d := &driver.Driver{
		Open:        openNamespace,
		StoreDir:    store.Dir,
		NetworksDir: networksDir,
		Zones:       firewalld.Zones{},
		Rootless:    isRootless(),
		DNSPort:     dnsPortFromEnv(),
		Warn:        func(message string) { fmt.Fprintln(os.Stderr, "vxlan:", message) },
	}
	agent := agentapi.Client{Socket: agentapi.SocketPath, Log: AgentLog, Binary: os.Getenv("VXLAND"), Warn: d.Warn}
	if _, err := os.Stat(systemdDir); err == nil {
		d.SysctlDir = sysctlDir
		agent.Systemd = true
	}
	d.Agent = agent
	return d
}

// dnsPortFromEnv is what containers.conf (dns_bind_port) says, which netavark passes on.
func dnsPortFromEnv() uint16 {
	port, err := strconv.ParseUint(os.Getenv("NETAVARK_DNS_PORT"), 10, 16)
	if err != nil {
		return 0
	}
	return uint16(port)
}

func openNamespace(path string) (driver.Namespace, error) {
	c, err := netstack.Open(path)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// isRootless tells whether a user without privileges runs Podman. Inside the user
// namespace that Podman makes, that user is root; Podman then says whose it is.
func isRootless() bool {
	uid, ok := os.LookupEnv("_CONTAINERS_ROOTLESS_UID")
	return os.Geteuid() != 0 || ok && uid != "0" && uid != ""
}
