package plugin

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/kernel/netnstest"
)

// listedNetwork is the same on all hosts.
var listedNetwork = strings.NewReplacer(`"local_ip": "198.18.0.10"`, `"local_ip": "auto"`, `"physical_interface": "eth0"`, `"physical_interface": "auto"`,
	"198.18.0.11,198.18.0.12", "198.18.0.10,198.18.0.11").Replace(testNetwork)

// boot takes the underlay away from a host that has created the network. It returns what brings it
// back, and the network as Podman keeps it.
func boot(t *testing.T, typed string) (k *fakekernel.Kernel, d *Plugin, config string, warnings *[]string, comeUp func()) {
	t.Helper()
	k, d, warnings = newMultihomedHost(t)
	created, err := d.Create([]byte(typed))
	if err != nil {
		t.Fatal(err)
	}
	*warnings = nil
	moveDefaultRoute(k, "eth1")
	var addrs []kernel.Addr
	k.HostNamespace().Edit("eth0", func(l *kernel.Link) { addrs, l.Addrs = l.Addrs, nil })
	return k, d, string(created), warnings, func() {
		k.HostNamespace().Edit("eth0", func(l *kernel.Link) { l.Addrs = addrs })
	}
}

// A container that starts before the underlay's address is there waits for it, however the network
// names it. The default route's interface would be the wrong one.
func TestStartWaitsForTheUnderlay(t *testing.T) {
	for name, typed := range map[string]string{
		"listed address":     listedNetwork,
		"local_ip":           testNetwork,
		"physical_interface": strings.Replace(testNetwork, `"local_ip": "198.18.0.10"`, `"local_ip": "auto"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, d, config, warnings, comeUp := boot(t, typed)
				begin := time.Now()
				open := d.Open
				d.Open = func(path string) (hoststate.Namespace, error) {
					host, err := open(path)
					return bootingHost{host, func() {
						if time.Since(begin) >= 3*time.Second {
							comeUp()
						}
					}}, err
				}
				ns, r := request(config, 1)
				if _, err := d.Setup(ns, r); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(begin); waited < 3*time.Second || waited > 3100*time.Millisecond {
					t.Errorf("waited for %v", waited)
				}
				if got := underlayOf(t, k); got != "eth0 198.18.0.10" || len(*warnings) > 0 {
					t.Errorf("got %s, %q", got, *warnings)
				}
			})
		})
	}
}

// bootingHost is a host that does something each time somebody looks for its addresses.
type bootingHost struct {
	hoststate.Namespace
	boot func()
}

func (h bootingHost) OwnAddrs(addrs []netip.Addr) ([]netip.Addr, error) {
	h.boot()
	return h.Namespace.OwnAddrs(addrs)
}

func TestStartFailsWithoutTheUnderlay(t *testing.T) {
	const timedOut = " (underlay_timeout): bring it up, or start the container after the unit that does"
	for _, tt := range []struct{ name, typed, want string }{
		{"listed address", listedNetwork, `network vxlan-network: option remote_ips "198.18.0.10,198.18.0.11": no interface of this host has one of the addresses, ` +
			"though one had when the network was created (host_listed); not there after 5 s" + timedOut},
		{"local_ip", testNetwork, `network vxlan-network: option local_ip "198.18.0.10": is not an address of eth0, which has none; use one of those, or auto; not there after 5 s` + timedOut},
		{"its own timeout", strings.Replace(testNetwork, `"vni"`, `"underlay_timeout": "20", "vni"`, 1), "not there after 20 s" + timedOut},
		{"no wait", strings.Replace(listedNetwork, `"vni"`, `"underlay_timeout": "0", "vni"`, 1), "not there after 0 s" + timedOut},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, d, config, _, _ := boot(t, tt.typed)
				begin := time.Now()
				ns, r := request(config, 1)
				_, err := d.Setup(ns, r)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got  %v\nwant %s", err, tt.want)
				}
				if got := storedFiles(t, d); len(got) > 0 {
					t.Errorf("left %v", got)
				}
				if strings.Contains(tt.want, " 0 s ") && time.Since(begin) > 0 {
					t.Errorf("waited for %v", time.Since(begin))
				}
			})
		})
	}
}

// What does not come by waiting is an error at once, whatever else is missing.
func TestStartDoesNotWaitForWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d, config, _, _ := boot(t, listedNetwork)
		begin := time.Now()
		ns, r := request(strings.Replace(config, `"100"`, `"x"`, 1), 1)
		if _, err := d.Setup(ns, r); err == nil || time.Since(begin) > 0 {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

// A list may rightly hold only the other hosts. A file that create has not seen works as before.
func TestStartWaitsForNoListedAddressWhereNoneIsDue(t *testing.T) {
	for name, typed := range map[string]string{
		"only others are listed": strings.Replace(listedNetwork, "198.18.0.10,198.18.0.11", "198.18.0.11,198.18.0.12", 1),
		"host_listed=false":      strings.Replace(listedNetwork, `"vni"`, `"host_listed": "false", "vni"`, 1),
		"made by hand":           "",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				typed := typed
				byHand := typed == ""
				if byHand {
					typed = listedNetwork
				}
				k, d, config, _, _ := boot(t, typed)
				if byHand {
					config = listedNetwork
				}
				begin := time.Now()
				ns, r := request(config, 1)
				if _, err := d.Setup(ns, r); err != nil || time.Since(begin) > 0 {
					t.Fatalf("%v after %v", err, time.Since(begin))
				}
				if got := underlayOf(t, k); got != "eth1 198.19.0.10" {
					t.Errorf("got %s", got)
				}
			})
		})
	}
}

// A network file may be copied to another listed host: that one has a listed address of its own.
func TestCopiedNetworkFileWorks(t *testing.T) {
	_, _, config, _, _ := boot(t, listedNetwork)
	k, other := newFakeHost(t)
	k.HostNamespace().Edit("eth0", func(l *kernel.Link) {
		l.Addrs = []kernel.Addr{{Prefix: netip.MustParsePrefix("198.18.0.11/24")}}
	})
	ns, r := request(config, 2)
	if _, err := other.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	if got := underlayOf(t, k); got != "eth0 198.18.0.11" {
		t.Errorf("got %s", got)
	}
}

// Where hosts find each other, a host may have another address since its last boot, and they hear
// of it. So after the wait it goes on, says so, and moves to a listed address that comes later.
func TestGossipGoesOnWithoutListedAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		typed := strings.Replace(listedNetwork, `"vni"`, `"discovery": "gossip", "vni"`, 1)
		k, d, config, warnings, comeUp := boot(t, typed)
		_, _, agent := newGossipHost(t)
		d.Agent = agent
		begin := time.Now()
		_, r := gossipRequest(1, "")
		r.Network = []byte(config)
		if _, err := d.Setup("/ns/1", r); err != nil {
			t.Fatal(err)
		}
		want := "network vxlan-network: no address in remote_ips is this host's after 5 s (underlay_timeout), though one was when the network was created; " +
			"it sends from 198.19.0.10 by eth1 until this host has one"
		if waited := time.Since(begin); waited < 5*time.Second || strings.Join(*warnings, "\n") != want {
			t.Errorf("after %v: %q", waited, *warnings)
		}
		comeUp()
		if _, err := d.Reload(); err != nil {
			t.Fatal(err)
		}
		if got := underlayOf(t, k); got != "eth0 198.18.0.10" {
			t.Errorf("got %s", got)
		}
	})
}

// An IPv6 address that duplicate address detection still checks is not there yet: nothing can be
// sent from it.
func TestRealStartWaitsForTentativeAddress(t *testing.T) {
	a, _ := newRealHosts(t)
	runShell(t, a.ns, "ip -6 address add fd00:1::10/64 dev eth0")
	if got := runShell(t, a.ns, "ip -6 address show dev eth0 tentative"); !strings.Contains(got, "fd00:1::10") {
		t.Fatalf("the address is not tentative, so the test shows nothing: %q", got)
	}
	config := strings.NewReplacer("198.18.0.10", "fd00:1::10", "198.18.0.11,198.18.0.12", "fd00:1::11").Replace(testNetwork)
	_, r := request(config, 1)
	if _, err := a.Setup(netnstest.New(t), r); err != nil {
		t.Fatal(err)
	}
	if got := runShell(t, a.ns, "ip -6 address show dev eth0 tentative"); strings.Contains(got, "fd00:1::10") {
		t.Errorf("the start did not wait: %s", got)
	}
}

// An address that another host has is never accepted.
func TestRealStartFailsWithDuplicateAddress(t *testing.T) {
	a, b := newRealHosts(t)
	runShell(t, b.ns, "ip -6 address add fd00:1::10/64 dev eth0 nodad")
	runShell(t, a.ns, "ip -6 address add fd00:1::10/64 dev eth0; until ip -6 address show dev eth0 | grep -q dadfailed; do sleep 0.05; done")
	config := strings.NewReplacer("198.18.0.10", "fd00:1::10", "198.18.0.11,198.18.0.12", "fd00:1::11", `"vni"`, `"underlay_timeout": "0", "vni"`).Replace(testNetwork)
	_, r := request(config, 1)
	_, err := a.Setup(netnstest.New(t), r)
	if want := "fd00:1::10 of eth0 is still tentative after 0 s (underlay_timeout): another host has the address"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}
