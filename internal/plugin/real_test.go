package plugin

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/kernel/netstack"
	"vxlan-driver/internal/kernel/rtnl"
	"vxlan-driver/internal/netavark"
)

// The same plugin on the real kernel: two hosts, each a namespace, joined by a veth, each with
// container namespaces.

// realHost is a host with the plugin on it.
type realHost struct {
	*Plugin
	ns string
}

// newRealHosts returns two hosts with the addresses 198.18.0.10 and .11.
func newRealHosts(t *testing.T) (a, b realHost) {
	t.Helper()
	a, b = newRealHost(t), newRealHost(t)
	joinHosts(t, a, b)
	return a, b
}

// joinHosts joins two hosts by an underlay.
func joinHosts(t *testing.T, a, b realHost) {
	t.Helper()
	conn, err := rtnl.Open(a.ns)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	veth := kernel.Link{Name: "eth0", Kind: kernel.KindVeth, MTU: 1500, Peer: kernel.Peer{Name: "eth0", Namespace: b.ns, MTU: 1500}}
	if err := conn.Apply(kernel.CreateLink{Link: veth}); err != nil {
		t.Fatal(err)
	}
	for i, h := range []realHost{a, b} {
		runShell(t, h.ns, fmt.Sprintf("ip address add 198.18.0.%d/24 dev eth0 && ip link set eth0 up", 10+i))
	}
	// The kernel says so up to a second after the carrier is there (linkwatch).
	for _, h := range []realHost{a, b} {
		runShell(t, h.ns, "until ip -br link show eth0 | grep -q ' UP '; do sleep 0.01; done")
	}
}

func newRealHost(t *testing.T) realHost {
	t.Helper()
	h := realHost{ns: netnstest.New(t)}
	h.Plugin = &Plugin{Agent: new(fakeAgent), Host: &hoststate.Host{StoreDir: t.TempDir(), NetworksDir: t.TempDir(), SysctlDir: t.TempDir(), Zones: new(fakeZones), Open: func(path string) (hoststate.Namespace, error) {
		if path == "" {
			path = h.ns
		}
		ns, err := netstack.Open(path)
		if err != nil {
			return nil, err
		}
		return ns, nil
	}}}
	return h
}

func runShell(t *testing.T, ns, script string) string {
	t.Helper()
	var out []byte
	err := netns.Do(ns, func() (err error) {
		out, err = exec.Command("sh", "-c", script).CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// realNetwork is the network as typed on the host with the given address.
func realNetwork(local string) string {
	return strings.Replace(testNetwork, `"local_ip": "198.18.0.10", "remote_ips": "198.18.0.11,198.18.0.12"`,
		fmt.Sprintf(`"local_ip": %q, "remote_ips": "198.18.0.10,198.18.0.11"`, local), 1)
}

func realRequest(t *testing.T, local string, i int) (string, netavark.Request) {
	t.Helper()
	_, r := request(realNetwork(local), i)
	return netnstest.New(t), r
}

func TestRealContainersReachEachOther(t *testing.T) {
	a, b := newRealHosts(t)
	nsA, rA := realRequest(t, "198.18.0.10", 1)
	nsB, rB := realRequest(t, "198.18.0.11", 2)
	if _, err := a.Setup(nsA, rA); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Setup(nsB, rB); err != nil {
		t.Fatal(err)
	}
	runShell(t, nsA, "ping -c 1 -W 2 10.0.0.3")
	runShell(t, nsA, "ping -c 1 -W 2 fd00:10::3")
	runShell(t, nsB, "ping -c 1 -W 2 10.0.0.1") // a gateway
	if got := runShell(t, nsA, "ip route show default; ip -6 route show default"); !strings.Contains(got, "via 10.0.0.1 dev eth0") || !strings.Contains(got, "via fd00:10::1 dev eth0") {
		t.Errorf("default routes: %s", got)
	}
	if got := runShell(t, a.ns, "bridge fdb show dev vxlan-vxlan-network"); !strings.Contains(got, "00:00:00:00:00:00 dst 198.18.0.11 self permanent") {
		t.Errorf("the documented name shows %s", got)
	}
	runShell(t, a.ns, "ip link show br-vxlan-vxlan-network && ip link show br-vxlan-network")
}

// Fifty containers started and stopped at once end with nothing left.
func TestRealFiftyAtOnce(t *testing.T) {
	a, _ := newRealHosts(t)
	before := runShell(t, a.ns, "ip -br link")
	type endpoint struct {
		ns string
		r  netavark.Request
	}
	var all []endpoint
	for i := range 50 {
		ns, r := realRequest(t, "198.18.0.10", i+1)
		all = append(all, endpoint{ns, r})
	}
	atOnce := func(what string, run func(endpoint) error) {
		var wg sync.WaitGroup
		for _, e := range all {
			wg.Go(func() {
				if err := run(e); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
		wg.Wait()
	}
	atOnce("setup", func(e endpoint) error { _, err := a.Setup(e.ns, e.r); return err })
	if got := strings.Count(runShell(t, a.ns, "ip -br link show type veth"), "veth"); got != 50 {
		t.Errorf("%d veths, want 50", got)
	}
	atOnce("teardown", func(e endpoint) error { return a.Teardown(e.ns, e.r) })
	if after := runShell(t, a.ns, "ip -br link"); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if files := storedFiles(t, a.Plugin); len(files) > 0 {
		t.Errorf("left %v", files)
	}
}

// failingNamespace fails the call of one number.
type failingNamespace struct {
	hoststate.Namespace
	calls *int
	at    int
}

func (f failingNamespace) Apply(c kernel.Change) error {
	if _, ok := c.(kernel.DeleteFlows); ok {
		return f.Namespace.Apply(c) // its failure is a warning
	}
	*f.calls++
	if *f.calls == f.at {
		return fmt.Errorf("%s: %w", c, errInjected)
	}
	return f.Namespace.Apply(c)
}

var errInjected = fmt.Errorf("injected fault")

// On the real kernel too, a setup that fails at any change leaves nothing.
func TestRealSetupThatFailsAtAnyChangeLeavesNothing(t *testing.T) {
	a, _ := newRealHosts(t)
	open := a.Open
	nsA, rA := realRequest(t, "198.18.0.10", 1)
	state := func() string {
		return runShell(t, a.ns, "ip -br link; ip -br address; ip route") + runShell(t, nsA, "ip -br link")
	}
	before := state()
	for i := 1; ; i++ {
		calls := 0
		a.Open = func(path string) (hoststate.Namespace, error) {
			ns, err := open(path)
			return failingNamespace{ns, &calls, i}, err
		}
		_, err := a.Setup(nsA, rA)
		if err == nil {
			if i < 20 {
				t.Errorf("only %d changes were made to fail", i)
			}
			break
		}
		if after := state(); after != before {
			t.Fatalf("change %d (%v)\nbefore\n%s\nafter\n%s", i, err, before, after)
		}
		if files := storedFiles(t, a.Plugin); len(files) > 0 {
			t.Errorf("change %d: left %v", i, files)
		}
	}
}

// Whatever somebody did to the devices by hand, the next setup mends it.
func TestRealSetupRepairs(t *testing.T) {
	const up = " && ip link set vxlan-vxlan-network up"
	for name, alter := range map[string]string{
		"wrong VNI": "ip link del vxlan-vxlan-network && ip link add vx-eaf72b2d type vxlan id 999 local 198.18.0.10 dev eth0 dstport 4789" +
			" && ip link set vx-eaf72b2d master br-vxlan-network up",
		"FDB entries": "bridge fdb del 00:00:00:00:00:00 dev vx-eaf72b2d dst 198.18.0.11" +
			" && bridge fdb append 00:00:00:00:00:00 dev vx-eaf72b2d dst 198.18.0.99",
		"FDB entries that have more to them": "bridge fdb append 00:00:00:00:00:00 dev vx-eaf72b2d dst 198.18.0.11 port 9999" +
			" && bridge fdb append 00:00:00:00:00:00 dev vx-eaf72b2d dst 198.18.0.11 vni 7",
		"learning":       "ip link set vx-eaf72b2d type vxlan nolearning",
		"MTU":            "ip link set vx-eaf72b2d mtu 900; ip link set br-vx-eaf72b2d mtu 900",
		"down":           "ip link set vx-eaf72b2d down; ip link set br-vx-eaf72b2d down",
		"device deleted": "ip link del vx-eaf72b2d",
		"bridge deleted": "ip link del br-vx-eaf72b2d",
		"no master":      "ip link set vx-eaf72b2d nomaster" + up,
		"addresses":      "ip address flush dev br-vx-eaf72b2d; ip address add 10.0.0.1/16 dev br-vx-eaf72b2d",
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newRealHosts(t)
			nsA, rA := realRequest(t, "198.18.0.10", 1)
			nsB, rB := realRequest(t, "198.18.0.11", 2)
			if _, err := a.Setup(nsA, rA); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Setup(nsB, rB); err != nil {
				t.Fatal(err)
			}
			want := printDevices(t, a.ns)
			runShell(t, a.ns, alter)
			if printDevices(t, a.ns) == want {
				t.Fatal("nothing was altered")
			}
			if _, err := a.Setup(nsA, rA); err != nil {
				t.Fatal(err)
			}
			if got := printDevices(t, a.ns); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			runShell(t, nsA, "ping -c 1 -W 2 10.0.0.3")
			runShell(t, nsA, "ping -c 1 -W 2 fd00:10::3")
		})
	}
}

// The bridge was deleted, or a port taken off it: the next container, another one, brings the first
// one back too. And while the first is off, the second one's end does not take the network down.
func TestRealNextContainerReattachesTheOthers(t *testing.T) {
	for name, alter := range map[string]string{
		"bridge deleted": "ip link del br-vx-eaf72b2d",
		"port freed":     "for l in $(ip -br link show type veth | grep ^veth | cut -d@ -f1); do ip link set $l nomaster down; done",
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newRealHosts(t)
			nsA, rA := realRequest(t, "198.18.0.10", 1)
			nsB, rB := realRequest(t, "198.18.0.11", 2)
			nsNext, rNext := realRequest(t, "198.18.0.10", 3)
			for _, err := range []error{errorOf(a.Setup(nsA, rA)), errorOf(b.Setup(nsB, rB))} {
				if err != nil {
					t.Fatal(err)
				}
			}
			runShell(t, a.ns, alter)
			if _, err := a.Setup(nsNext, rNext); err != nil {
				t.Fatal(err)
			}
			runShell(t, nsA, "ping -c 1 -W 2 10.0.0.3")
			if name == "port freed" {
				runShell(t, a.ns, alter)
			}
			if err := a.Teardown(nsNext, rNext); err != nil {
				t.Fatal(err)
			}
			runShell(t, a.ns, "ip link show br-vx-eaf72b2d")
			if err := a.Teardown(nsA, rA); err != nil {
				t.Fatal(err)
			}
			runShell(t, a.ns, "! ip link show br-vx-eaf72b2d")
		})
	}
}

// printDevices prints the network's devices, less what the kernel chooses.
func printDevices(t *testing.T, ns string) string {
	t.Helper()
	conn, err := rtnl.Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var b strings.Builder
	for _, name := range []string{"br-vx-eaf72b2d", "vx-eaf72b2d"} {
		l, err := conn.Link(name, kernel.FacetAddrs|kernel.FacetFDB)
		if err != nil {
			fmt.Fprintln(&b, err)
			continue
		}
		if l.Kind != kernel.KindBridge {
			l.MAC = kernel.MAC{}
		}
		fmt.Fprintf(&b, "%+v\n", l)
	}
	return b.String()
}

// The device goes with the underlay interface; the next container's setup brings it back when the
// interface is back.
func TestRealDeviceThatVanishedWithItsParentIsRebuilt(t *testing.T) {
	a, b := newRealHosts(t)
	nsA, rA := realRequest(t, "198.18.0.10", 1)
	nsB, rB := realRequest(t, "198.18.0.11", 2)
	for _, err := range []error{errorOf(a.Setup(nsA, rA)), errorOf(b.Setup(nsB, rB))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	runShell(t, a.ns, "ip link del eth0; ! ip link show vx-eaf72b2d")
	joinHosts(t, a, b)
	nsA2, rA2 := realRequest(t, "198.18.0.10", 3)
	nsB2, rB2 := realRequest(t, "198.18.0.11", 4)
	for _, err := range []error{errorOf(a.Setup(nsA2, rA2)), errorOf(b.Setup(nsB2, rB2))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	runShell(t, nsA, "ping -c 1 -W 2 10.0.0.3")
}

func errorOf(_ netavark.Status, err error) error { return err }

// A group instead of a list, on an IPv6 underlay.
func TestRealMulticastOnIPv6(t *testing.T) {
	a, b := newRealHosts(t)
	for i, h := range []realHost{a, b} {
		runShell(t, h.ns, fmt.Sprintf("ip address add fd00:198::%d/64 dev eth0 nodad", 10+i))
		netnstest.WaitForAddrs(t, h.ns)
	}
	var namespaces []string
	for i, h := range []realHost{a, b} {
		local := netip.MustParseAddr(fmt.Sprintf("fd00:198::%d", 10+i))
		config := strings.Replace(testNetwork, `"local_ip": "198.18.0.10", "remote_ips": "198.18.0.11,198.18.0.12"`,
			fmt.Sprintf(`"local_ip": %q, "multicast_group": "ff05::100"`, local), 1)
		_, r := request(config, i+1)
		ns := netnstest.New(t)
		if _, err := h.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		namespaces = append(namespaces, ns)
		if got := runShell(t, ns, "ip link show eth0"); !strings.Contains(got, "mtu 1430") {
			t.Errorf("got %s, want mtu 1430", got)
		}
	}
	runShell(t, namespaces[0], "ping -c 1 -W 2 10.0.0.3")
	runShell(t, namespaces[1], "ping -c 1 -W 2 fd00:10::2")
}
