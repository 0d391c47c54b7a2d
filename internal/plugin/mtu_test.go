package plugin

import (
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
)

// mtuHost is a fake host with two containers, whose underlay changes its MTU.
type mtuHost struct {
	*testing.T
	kernel   *fakekernel.Kernel
	plugin   *Plugin
	warnings *[]string
}

func newMTUHost(t *testing.T, config string) mtuHost {
	k, d, warnings := newMultihomedHost(t)
	for i := 1; i <= 2; i++ {
		ns, r := request(config, i)
		if _, err := d.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
	}
	return mtuHost{t, k, d, warnings}
}

// reloadWith changes the underlay's MTU and repairs the host. It returns the MTUs of bridge, VXLAN
// device and containers' interfaces, and what the user was told.
func (h mtuHost) reloadWith(mtu int) (mtus, warnings string, err error) {
	h.Helper()
	*h.warnings = nil
	h.kernel.HostNamespace().Edit("eth0", func(l *kernel.Link) { l.MTU = mtu })
	for range 2 { // the second time has nothing to say
		if _, err = h.plugin.Reload(); err != nil {
			break
		}
	}
	for _, l := range []struct{ path, name string }{{"", "br-vx-eaf72b2d"}, {"", "vx-eaf72b2d"}, {"/ns/1", "eth0"}, {"/ns/2", "eth0"}} {
		mtus += fmt.Sprint(h.mtuOf(l.path, l.name), " ")
	}
	return mtus, strings.Join(*h.warnings, "\n"), err
}

// mtuOf returns the MTU of a link.
func (h mtuHost) mtuOf(path, name string) int {
	h.Helper()
	return h.link(path, name).MTU
}

func (h mtuHost) link(path, name string) kernel.Link {
	h.Helper()
	ns, err := h.kernel.Open(path)
	if err != nil {
		h.Fatal(err)
	}
	l, err := ns.Link(name, 0)
	if err != nil {
		h.Fatal(err)
	}
	return l
}

// edit changes a link of a container behind the project's back.
func (h mtuHost) edit(path string, change func(*kernel.Link)) {
	h.Helper()
	ns, err := h.kernel.Open(path)
	if err != nil {
		h.Fatal(err)
	}
	ns.Edit("eth0", change)
}

// Everything of a network has the MTU that fits the underlay, the containers' own interfaces too.
// Packets that are too large for a port vanish without an ICMP message.
func TestContainersFollowTheUnderlaysMTU(t *testing.T) {
	h := newMTUHost(t, testNetwork)
	for _, step := range []struct {
		underlay   int
		mtus, said string
	}{
		{1400, "1350 1350 1350 1350 ", "network vxlan-network has an MTU of 1350 now, no longer 1450, since eth0 has 1400"},
		{9000, "8950 8950 8950 8950 ", "network vxlan-network has an MTU of 8950 now, no longer 1350, since eth0 has 9000"},
	} {
		mtus, said, err := h.reloadWith(step.underlay)
		if err != nil || mtus != step.mtus || said != step.said {
			t.Errorf("underlay %d: %v; %s; %q", step.underlay, err, mtus, said)
		}
	}
}

// The option is what the user wants at most: not more, and what fits where that is less.
func TestMTUOptionIsTheUpperBound(t *testing.T) {
	h := newMTUHost(t, strings.Replace(testNetwork, `"vni"`, `"mtu": "1400", "vni"`, 1))
	for _, step := range []struct {
		underlay int
		mtus     string
		said     bool
	}{
		{1460, "1400 1400 1400 1400 ", false},
		{1400, "1350 1350 1350 1350 ", true},
		{9000, "1400 1400 1400 1400 ", true},
	} {
		mtus, said, err := h.reloadWith(step.underlay)
		if err != nil || mtus != step.mtus || (said != "") != step.said {
			t.Errorf("underlay %d: %v; %s; %q", step.underlay, err, mtus, said)
		}
	}
	// Before the network has a container, it is refused.
	_, d := newFakeHost(t)
	if _, err := d.Create([]byte(strings.Replace(testNetwork, `"vni"`, `"mtu": "1460", "vni"`, 1))); err == nil {
		t.Error("create accepts an MTU that does not fit")
	}
}

// What a container has done to its interface stays, unless packets would be lost.
func TestContainersOwnMTUStays(t *testing.T) {
	h := newMTUHost(t, testNetwork)
	h.edit("/ns/1", func(l *kernel.Link) { l.MTU = 1300 })
	h.edit("/ns/2", func(l *kernel.Link) { l.Alias = "its own"; l.MTU = 1440 })
	if mtus, _, err := h.reloadWith(1400); err != nil || mtus != "1350 1350 1300 1440 " {
		t.Errorf("%v; %s", err, mtus)
	}
	if mtus, _, err := h.reloadWith(1340); err != nil || mtus != "1290 1290 1290 1440 " {
		t.Errorf("%v; %s", err, mtus)
	}
}

// An underlay that is too small for IPv6 is an error. All stays as it is until the MTU is right.
func TestUnderlayTooSmallForIPv6(t *testing.T) {
	h := newMTUHost(t, testNetwork)
	mtus, _, err := h.reloadWith(1300)
	if err == nil || !strings.Contains(err.Error(), `"eth0": has an MTU of 1300, which leaves 1250 for the overlay; it needs 1280`) || mtus != "1450 1450 1450 1450 " {
		t.Errorf("%v; %s", err, mtus)
	}
	if mtus, _, err := h.reloadWith(1330); err != nil || mtus != "1280 1280 1280 1280 " {
		t.Errorf("%v; %s", err, mtus)
	}
}

// Below 1280 an interface has no IPv6, and forgets its parameters.
func TestIPv6ParametersComeBackWithTheMTU(t *testing.T) {
	config := strings.NewReplacer(`, {"subnet": "fd00:10::/64", "gateway": "fd00:10::1"}`, "", `"ipv6_enabled": true`, `"ipv6_enabled": false`).Replace(testNetwork)
	k, d, _ := newMultihomedHost(t)
	ns, r := request(config, 1)
	r.Options = []byte(`{"interface_name": "eth0", "static_ips": ["10.0.0.2"]}`)
	if _, err := d.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	h := mtuHost{t, k, d, new([]string)}
	const acceptRA = "net/ipv6/conf/eth0/accept_ra"
	for _, mtu := range []int{1000, 1500} {
		k.HostNamespace().Edit("eth0", func(l *kernel.Link) { l.MTU = mtu })
		if _, err := d.Reload(); err != nil {
			t.Fatal(err)
		}
		if got := h.mtuOf(ns, "eth0"); got != mtu-50 {
			t.Errorf("the container has %d", got)
		}
		container, err := k.Open(ns)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := container.Sysctl(acceptRA); err != nil || got != "0" {
			t.Errorf("accept_ra is %q, %v", got, err)
		}
		if err := container.Apply(kernel.SetSysctls{Sysctls: []kernel.Sysctl{{Key: acceptRA, Value: "1"}}}); err != nil {
			t.Fatal(err)
		}
	}
}

// Full packets cross two hosts after the underlay's MTU has fallen and risen, and so does a large
// transfer.
func TestRealFullPacketsPassAfterMTUChanged(t *testing.T) {
	a, b := newRealHosts(t)
	var said []string
	namespaces := [2]string{}
	for i, h := range []realHost{a, b} {
		h.Warn = func(message string) { said = append(said, message) }
		ns, r := realRequest(t, fmt.Sprintf("198.18.0.%d", 10+i), i+1)
		if _, err := h.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		namespaces[i] = ns
	}
	for _, mtu := range []int{1500, 1400, 1500} {
		for _, h := range []realHost{a, b} {
			runShell(t, h.ns, fmt.Sprintf("ip link set eth0 mtu %d", mtu))
		}
		// Until somebody follows, the kernel sends the outer packets in fragments.
		runShell(t, namespaces[0], fmt.Sprintf("ping -c 2 -i 0.2 -W 2 -s %d 10.0.0.3", 1500-50-28))
		for _, h := range []realHost{a, b} {
			if _, err := h.Reload(); err != nil {
				t.Fatal(err)
			}
		}
		for family, headers := range map[string]int{"10.0.0.3": 28, "fd00:10::3": 48} {
			runShell(t, namespaces[0], fmt.Sprintf("ping -c 2 -i 0.2 -W 2 -M do -s %d %s", mtu-50-headers, family))
			runShell(t, namespaces[0], fmt.Sprintf("ping -c 2 -i 0.2 -W 2 -s 8000 %s", family))
		}
	}
	if len(said) != 4 {
		t.Errorf("said: %q", said)
	}
}
