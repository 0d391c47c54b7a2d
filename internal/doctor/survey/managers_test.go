package survey

import (
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/doctor"
)

// What nmcli 1.52 and systemd-networkd 257 said of devices of a network, in a namespace with both.
func TestManagersOfDevices(t *testing.T) {
	const nmcli = `c0:connecting (getting IP configuration):Wired connection 3
br-vxlan-net:connected (externally):br-vxlan-net
eth0:connected (externally):eth0
vxlan-net:unmanaged:
veth0123456789a:connected:Wired connection 1
`
	devices := []string{"br-vxlan-net", "vxlan-net", "veth0123456789a"}
	m, found := NetworkManager("net", devices, nmcli)
	if want := []string{"br-vxlan-net", "veth0123456789a"}; !found || !slices.Equal(m.Devices, want) || len(m.Evidence) != 2 {
		t.Errorf("NetworkManager: %v, %+v", found, m)
	}
	wantLine := "match-device=interface-name:br-vxlan-net,interface-name:vxlan-net,interface-name:veth???????????\\nmanaged=0"
	if !strings.Contains(m.Leave[0], wantLine) || m.Leave[len(m.Leave)-1] != "nmcli device set veth0123456789a managed no" {
		t.Errorf("NetworkManager: %q", m.Leave)
	}
	if _, found := NetworkManager("net", devices, "br-vxlan-net:unmanaged:\nvxlan-net:unmanaged (externally):\n"); found {
		t.Error("NetworkManager manages what it does not")
	}

	const configured = "# This is private data. Do not parse.\nADMIN_STATE=configuring\nOPER_STATE=carrier\nNETWORK_FILE=/etc/systemd/network/20-all.network\n"
	m, found = Networkd("net", devices, map[string]string{"vxlan-net": configured, "br-vxlan-net": "ADMIN_STATE=unmanaged\n", "veth1": "ADMIN_STATE=pending\n"})
	if !found || !slices.Equal(m.Devices, []string{"vxlan-net"}) || !strings.Contains(m.Evidence[0], "configuring, by the file /etc/systemd/network/20-all.network") {
		t.Errorf("networkd: %v, %+v", found, m)
	}
	if _, found := Networkd("net", devices, map[string]string{"vxlan-net": "ADMIN_STATE=unmanaged\nNETWORK_FILE=/x\n"}); found {
		t.Error("networkd manages what it does not")
	}
}

func TestLinkSettings(t *testing.T) {
	settings, kinds := LinkSettings("[Match]\nOriginalName=*\n\n[Link]\nNamePolicy=keep kernel\nMACAddressPolicy=persistent\nMTUBytes=9000\n")
	if !slices.Equal(settings, []string{"MACAddressPolicy=persistent", "MTUBytes=9000"}) || !slices.Equal(kinds, []doctor.ChangeKind{doctor.ChangeMAC, doctor.ChangeMTU}) {
		t.Errorf("%q, %q", settings, kinds)
	}
	if settings, _ := LinkSettings("[Link]\nNamePolicy=keep\nMACAddressPolicy=none\n"); settings != nil {
		t.Errorf("%q", settings)
	}
}

func TestDaemonsThatConfigureAll(t *testing.T) {
	for _, tt := range []struct {
		daemon  int
		config  string
		devices []string
	}{
		{0, "", []string{"br-vxlan-net", "veth1"}},
		{0, "hostname\ndenyinterfaces eth1 br-vxlan-*,vxlan-* veth*\n", nil},
		{0, "# denyinterfaces *\ndenyinterfaces veth*", []string{"br-vxlan-net"}},
		{1, "[General]\nNetworkInterfaceBlacklist=vmnet,br-vxlan,ve\n", nil},
		{1, "[General]\nNetworkInterfaceBlacklist=vmnet,veth", []string{"br-vxlan-net"}},
	} {
		d := otherDaemons[tt.daemon]
		m, found := d.manager(7, []string{"br-vxlan-net", "veth1"}, tt.config)
		if found != (tt.devices != nil) || !slices.Equal(m.Devices, tt.devices) {
			t.Errorf("%s with %q: %v, %+v", d.program, tt.config, found, m)
		}
	}
	m, _ := otherDaemons[0].manager(7, []string{"br-vxlan-net", "veth1"}, "")
	if m.Leave[0] != `printf 'denyinterfaces br-vxlan-net veth1\n' >>/etc/dhcpcd.conf` {
		t.Errorf("%q", m.Leave)
	}
}

func TestProcessNamed(t *testing.T) {
	if pid := processNamed("survey.test"); pid == 0 {
		t.Error("this process is not found")
	}
	if pid := processNamed("no-such-process"); pid != 0 {
		t.Errorf("found process %d", pid)
	}
}
