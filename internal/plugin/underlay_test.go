package plugin

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
)

// autoNetwork leaves the underlay to the host, whose addresses are not listed.
var autoNetwork = strings.NewReplacer(`"local_ip": "198.18.0.10"`, `"local_ip": "auto"`, `"physical_interface": "eth0"`, `"physical_interface": "auto"`,
	"198.18.0.11,198.18.0.12", "203.0.113.9").Replace(testNetwork)

// newMultihomedHost is newFakeHost with a second interface, eth1, and the default route by eth0. It
// collects warnings.
func newMultihomedHost(t *testing.T) (k *fakekernel.Kernel, d *Plugin, warnings *[]string) {
	k, d = newFakeHost(t)
	warnings = new([]string)
	d.Warn = func(message string) { *warnings = append(*warnings, message) }
	k.HostNamespace().Add(kernel.Link{Name: "eth1", MTU: 1500, Up: true, Addrs: []kernel.Addr{{Prefix: netip.MustParsePrefix("198.19.0.10/24")}}})
	moveDefaultRoute(k, "eth0")
	return k, d, warnings
}

func moveDefaultRoute(k *fakekernel.Kernel, to string) {
	for _, name := range []string{"eth0", "eth1"} {
		k.HostNamespace().Edit(name, func(l *kernel.Link) { l.Routes = nil })
	}
	k.HostNamespace().Edit(to, func(l *kernel.Link) {
		l.Routes = []kernel.Route{{Type: kernel.RouteUnicast, Dst: netip.MustParsePrefix("0.0.0.0/0")}}
	})
}

func underlayOf(t *testing.T, k *fakekernel.Kernel) string {
	t.Helper()
	l, err := k.HostNamespace().Link("vx-eaf72b2d", 0)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %s", l.Tunnel.Dev, l.Tunnel.Local)
}

// What auto found belongs to the network while it has containers. It changes only where it cannot
// be right any more, and that is said once.
func TestNetworkStaysOnItsUnderlay(t *testing.T) {
	k, d, warnings := newMultihomedHost(t)
	setUp := func(i int) {
		t.Helper()
		ns, r := request(autoNetwork, i)
		if _, err := d.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
	}
	reload := func() {
		t.Helper()
		if _, err := d.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	setUp(1)
	moveDefaultRoute(k, "eth1")
	setUp(2)
	reload()
	if got := underlayOf(t, k); got != "eth0 198.18.0.10" || len(*warnings) > 0 {
		t.Errorf("after the default route moved: %s, %q", got, *warnings)
	}
	k.HostNamespace().Edit("eth0", func(l *kernel.Link) { l.Addrs = nil })
	reload()
	reload()
	want := "[network vxlan-network sends from 198.19.0.10 by eth1 now, since 198.18.0.10 by eth0 cannot be used any more; hosts whose remote_ips have 198.18.0.10 must list 198.19.0.10 instead]"
	if got := underlayOf(t, k); got != "eth1 198.19.0.10" || fmt.Sprint(*warnings) != want {
		t.Errorf("after the address went: %s, %q", got, *warnings)
	}
	*warnings = nil
	setUp(2)
	if len(*warnings) > 0 {
		t.Errorf("said again: %q", *warnings)
	}
	k.HostNamespace().Edit("eth0", func(l *kernel.Link) {
		l.Addrs = []kernel.Addr{{Prefix: netip.MustParsePrefix("198.18.0.10/24")}}
	})
	reload()
	reload()
	if got := underlayOf(t, k); got != "eth0 198.18.0.10" || fmt.Sprint(*warnings) != "[network vxlan-network sends from 198.18.0.10 by eth0 again]" {
		t.Errorf("after the address came back: %s, %q", got, *warnings)
	}
}

// The same where the next container finds out.
func TestSetupSaysThatTheNetworkMoved(t *testing.T) {
	k, d, warnings := newMultihomedHost(t)
	for i := 1; i <= 2; i++ {
		ns, r := request(autoNetwork, i)
		if _, err := d.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		k.HostNamespace().Edit("eth0", func(l *kernel.Link) { l.Addrs = nil })
		moveDefaultRoute(k, "eth1")
	}
	if got := underlayOf(t, k); got != "eth1 198.19.0.10" || len(*warnings) != 1 {
		t.Errorf("got %s, %q", got, *warnings)
	}
}

// Another network of the container may publish them.
func TestPortsOnInternalNetworkDrawNoWarning(t *testing.T) {
	_, d, warnings := newMultihomedHost(t)
	ns, r := request(strings.Replace(testNetwork, `"internal": false`, `"internal": true`, 1), 1)
	r.PortMappings = []byte(`[{"container_port":80,"host_port":8080,"protocol":"tcp","range":1,"host_ip":""}]`)
	if _, err := d.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	if len(*warnings) > 0 {
		t.Errorf("got %q", *warnings)
	}
}

func TestSetupRefusesOtherHostsOwnAddress(t *testing.T) {
	_, d := newFakeHost(t)
	out, err := d.Create([]byte(testNetwork))
	if err != nil {
		t.Fatal(err)
	}
	ns, r := request(string(out), 1)
	r.Options = []byte(`{"interface_name": "eth0", "static_ips": ["10.0.0.127", "fd00:10::2"]}`)
	_, err = d.Setup(ns, r)
	if err == nil || !strings.Contains(err.Error(), `--ip "10.0.0.127": is the own address of host 198.18.0.11 on network vxlan-network`) {
		t.Errorf("got %v", err)
	}
}

func TestCreateRefusesWhatTheHostUses(t *testing.T) {
	k, d, warnings := newMultihomedHost(t)
	resolvConf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolvConf, []byte("search example\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.HostNamespace().Edit("eth1", func(l *kernel.Link) {
		l.Routes = append(l.Routes, kernel.Route{Type: kernel.RouteUnicast, Dst: netip.MustParsePrefix("10.0.0.0/16")})
	})
	allowed := strings.Replace(testNetwork, `"vni"`, `"allow_host_overlap": "true", "vni"`, 1)
	d.ResolvConfs = []string{resolvConf, "/none"}
	for _, want := range []string{"10.0.0.0/16, a route by interface eth1", "10.0.0.2/32, a name server of " + resolvConf} {
		_, err := d.Create([]byte(testNetwork))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := d.Create([]byte(allowed)); err != nil {
			t.Error(err)
		}
		moveDefaultRoute(k, "eth0") // and no other
	}
	d.ResolvConfs = nil
	if _, err := d.Create([]byte(testNetwork)); err != nil || len(*warnings) > 0 {
		t.Errorf("got %v, %q", err, *warnings)
	}
}

func TestCreateSaysThatNoListedAddressIsHere(t *testing.T) {
	_, d, warnings := newMultihomedHost(t)
	pasted := strings.Replace(autoNetwork, "203.0.113.9", "198.18.0.11,198.18.0.12", 1)
	if _, err := d.Create([]byte(pasted)); err != nil || len(*warnings) != 1 || !strings.Contains((*warnings)[0], "198.18.0.10") {
		t.Errorf("got %v, %q", err, *warnings)
	}
}
