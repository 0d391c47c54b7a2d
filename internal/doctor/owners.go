package doctor

import "strings"

// owners are programs by what the names of their devices begin with.
var owners = []struct{ prefix, program string }{
	{"virbr", "libvirt"}, {"docker", "Docker"}, {"br-", "Docker"}, {"podman", "a Podman bridge network"},
	{"cni-", "CNI plugins"}, {"cni0", "Kubernetes"}, {"flannel", "flannel"}, {"cali", "Calico"},
	{"cilium", "Cilium"}, {"lxdbr", "LXD"}, {"lxcbr", "LXC"}, {"incusbr", "Incus"}, {"vmnet", "VMware"},
	{"vboxnet", "VirtualBox"}, {"wg", "WireGuard"}, {"tailscale", "Tailscale"}, {"zt", "ZeroTier"},
	{"tun", "a VPN such as OpenVPN"}, {"tap", "a VPN such as OpenVPN"}, {"ppp", "a VPN or modem"},
	{"cscotun", "Cisco AnyConnect"}, {"nebula", "Nebula"}, {"nordlynx", "NordVPN"}, {"ipsec", "IPsec"},
}

// ownerEvidence says whose a device probably is, by its name. It is nil where nothing is known.
func (f *Facts) ownerEvidence(device string) []string {
	if f.isOwnBridge(device) || strings.HasPrefix(device, "br-vx") {
		return nil
	}
	for _, o := range owners {
		if strings.HasPrefix(device, o.prefix) {
			return []string{device + " is probably of " + o.program + ", by its name"}
		}
	}
	return nil
}
