package wiring

import (
	"fmt"
	"os"
	"strconv"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/firewalld"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netstack"
	"vxlan-driver/internal/plugin"
	"vxlan-driver/internal/store"
)

const (
	// networksDir is where root's Podman keeps networks. If containers.conf says otherwise
	// (network_config_dir), Podman does not tell the plugin.
	networksDir = "/etc/containers/networks"

	// resolvConf names the host's name servers, or a resolver on the host. Those that
	// systemd-resolved and NetworkManager then ask are in files of theirs.
	resolvConf         = "/etc/resolv.conf"
	resolvedServers    = "/run/systemd/resolve/resolv.conf"
	networkManagerConf = "/run/NetworkManager/no-stub-resolv.conf"

	// sysctlDir is systemd's directory of parameters that do not outlive a boot (sysctl.d(5)).
	sysctlDir = "/run/sysctl.d"
	// systemdDir exists where systemd runs (sd_booted(3)).
	systemdDir = "/run/systemd/system"
	// AgentLog is the log of an agent that the plugin starts without systemd.
	AgentLog = store.Dir + "/vxland.log"
)

// Host returns this host.
func Host() *hoststate.Host {
	h := &hoststate.Host{
		Open:          openNamespace,
		NamespaceGone: namespaceGone,
		StoreDir:      store.Dir,
		NetworksDir:   networksDir,
		ResolvConfs:   []string{resolvConf, resolvedServers, networkManagerConf},
		Zones:         new(firewalld.Zones),
		DNSPort:       dnsPortFromEnv(),
		Warn:          warnUser,
	}
	if HasSystemd() {
		h.SysctlDir = sysctlDir
	}
	return h
}

// configFiles are config.Path and config.ClusterPath, whose package is too large for the plugin.
var configFiles = []string{"/etc/vxlan/vxland.toml", "/etc/vxlan/cluster.toml"}

// Plugin returns the plugin of this host.
func Plugin() *plugin.Plugin {
	return &plugin.Plugin{Host: Host(), Agent: Agent(), Rootless: isRootless(), ConfigFiles: configFiles}
}

// Agent returns what calls the agent of this host.
func Agent() agentapi.Client {
	return agentapi.Client{
		Socket: agentapi.SocketPath, Log: AgentLog, Lock: store.Dir + "/" + agentapi.LockFile,
		Binary: os.Getenv("VXLAND"), Warn: warnUser, Systemd: HasSystemd(),
	}
}

func warnUser(message string) { fmt.Fprintln(os.Stderr, "vxlan:", message) }

// HasSystemd tells whether systemd runs on this host.
func HasSystemd() bool {
	_, err := os.Stat(systemdDir)
	return err == nil
}

// dnsPortFromEnv returns dns_bind_port of containers.conf, which netavark passes on, or 0.
func dnsPortFromEnv() uint16 {
	port, err := strconv.ParseUint(os.Getenv("NETAVARK_DNS_PORT"), 10, 16)
	if err != nil {
		return 0
	}
	return uint16(port)
}

func openNamespace(path string) (hoststate.Namespace, error) {
	c, err := netstack.Open(path)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// namespaceGone tells whether there is no network namespace at the path.
func namespaceGone(path string) bool {
	f, err := netns.Open(path)
	if err != nil {
		return netns.Gone(err)
	}
	f.Close()
	return false
}

// isRootless tells whether an unprivileged user runs Podman. That user is root inside the user
// namespace that Podman makes; Podman then sets the variable to the user's id.
func isRootless() bool {
	uid, ok := os.LookupEnv("_CONTAINERS_ROOTLESS_UID")
	return os.Geteuid() != 0 || ok && uid != "0" && uid != ""
}
