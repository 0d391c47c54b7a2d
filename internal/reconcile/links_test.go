package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// randomLink returns one of a few values of each thing that can differ, so that having and wanting
// meet in every combination.
func randomLink(rnd *rand.Rand, name string) kernel.Link {
	l := kernel.Link{
		Name: name, Kind: kernel.KindVXLAN, Alias: "mark", Up: true, NoLinkLocal: true, Master: "br0",
		MTU: []int{900, 1400, 1450}[rnd.IntN(3)], MAC: kernel.MAC{2, 5: byte(rnd.IntN(2))},
		Tunnel: kernel.Tunnel{VNI: 1, Port: 4789, Local: netip.MustParseAddr("198.18.0.10"), Dev: "eth0"},
	}
	l.Tunnel.Learning = rnd.IntN(2) == 0
	if rnd.IntN(2) == 0 {
		l.AltNames = []string{"vxlan-a-long-name"}
	}
	for i := range 4 {
		if rnd.IntN(2) == 0 {
			l.FDB = append(l.FDB, kernel.FDB{Dst: netip.AddrFrom4([4]byte{198, 18, 0, byte(i)})})
		}
		if rnd.IntN(2) == 0 {
			l.Addrs = append(l.Addrs, kernel.Addr{Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 15: byte(i)}), 60+rnd.IntN(2))})
		}
	}
	return l
}

// Whatever a link is, the changes lead to what it should be, and then there are none left to make.
func TestDiffLeadsFromAnythingToWhatIsWanted(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		have, want := randomLink(rnd, "vx0"), randomLink(rnd, "vx0")
		have.AltNames = slices.DeleteFunc(have.AltNames, func(string) bool { return len(want.AltNames) == 0 }) // names are not taken away
		if rnd.IntN(2) == 0 {
			have.Up, have.NoLinkLocal, have.Master = false, false, ""
		}
		k := fakekernel.New()
		k.HostNamespace().Add(kernel.Link{Name: "br0", Kind: kernel.KindBridge})
		k.HostNamespace().Add(have)
		changes := diffLink(want, have, ours)
		for _, c := range changes {
			if err := k.HostNamespace().Apply(c); err != nil {
				t.Fatalf("from %+v\nto %+v: %v", have, want, err)
			}
		}
		got := k.HostNamespace().Links()[1]
		if !sameLink(got, want) {
			t.Fatalf("from %+v\nto   %+v\nled to %+v\nby %v", have, want, got, changes)
		}
		if left := diffLink(want, got, ours); len(left) > 0 {
			t.Fatalf("there are changes left: %v", left)
		}
	}
}

// sameLink compares links whose lists have no order.
func sameLink(a, b kernel.Link) bool {
	for _, l := range []*kernel.Link{&a, &b} {
		l.FDB = slices.SortedFunc(slices.Values(l.FDB), func(x, y kernel.FDB) int { return compareText(x, y) })
		l.Addrs = slices.SortedFunc(slices.Values(l.Addrs), func(x, y kernel.Addr) int { return compareText(x, y) })
		l.AltNames = slices.Sorted(slices.Values(l.AltNames))
	}
	return reflect.DeepEqual(a, b)
}

func compareText(x, y any) int {
	a, b := fmt.Sprint(x), fmt.Sprint(y)
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// In the FDB, what is missing comes before what is too much: a repair does not cut the hosts that
// work.
func TestDiffAddsBeforeItRemoves(t *testing.T) {
	a, b := kernel.FDB{Dst: netip.MustParseAddr("198.18.0.1")}, kernel.FDB{Dst: netip.MustParseAddr("198.18.0.2")}
	got := fmt.Sprint(diffLink(kernel.Link{Name: "vx0", FDB: []kernel.FDB{a}}, kernel.Link{Name: "vx0", FDB: []kernel.FDB{b}}, ours))
	want := "[bridge fdb append 00:00:00:00:00:00 dev vx0 dst 198.18.0.1 self permanent bridge fdb delete 00:00:00:00:00:00 dev vx0 dst 198.18.0.2 self]"
	if got != want {
		t.Errorf("got %s", got)
	}
}

// Whoever deletes an address is interrupted while another one is there twice.
func TestDiffRemovesWrongLength(t *testing.T) {
	right, wrong := kernel.Addr{Prefix: netip.MustParsePrefix("10.0.0.1/24")}, kernel.Addr{Prefix: netip.MustParsePrefix("10.0.0.1/32")}
	want := kernel.Link{Name: "br0", Addrs: []kernel.Addr{right}}
	for _, have := range [][]kernel.Addr{{right, wrong}, {wrong, right}, {wrong}} {
		k := fakekernel.New()
		k.HostNamespace().Add(kernel.Link{Name: "br0", Addrs: have})
		for _, c := range diffLink(want, kernel.Link{Name: "br0", Addrs: have}, ours) {
			if err := k.HostNamespace().Apply(c); err != nil {
				t.Errorf("from %v: %v", have, err)
			}
		}
		if got := k.HostNamespace().Links()[0].Addrs; !slices.Equal(got, want.Addrs) {
			t.Errorf("from %v: %v are left", have, got)
		}
	}
}

// The kernel refuses two scopes in a subnet, so all of another one go first. Other subnets are somebody's.
func TestDiffReplacesAddressesOfAnotherScope(t *testing.T) {
	prefix := netip.MustParsePrefix
	wanted := []kernel.Addr{{Prefix: prefix("10.0.0.254/24")}, {Prefix: prefix("10.0.0.1/24")}}
	want := kernel.Link{Name: "br0", Addrs: wanted}
	have := kernel.Link{Name: "br0", Narrow: []netip.Prefix{
		prefix("10.0.0.254/24"), prefix("10.0.0.7/24"), prefix("169.254.3.4/16"),
	}}
	const changes = "[ip address delete 10.0.0.254/24 dev br0 ip address delete 10.0.0.7/24 dev br0 " +
		"ip address add 10.0.0.254/24 dev br0 ip address add 10.0.0.1/24 dev br0]"
	if got := fmt.Sprint(diffLink(want, have, ours)); got != changes {
		t.Errorf("got %s", got)
	}
}

// Entries of a MAC are the forwarding's.
func TestDiffLeavesEntriesOfMACsAlone(t *testing.T) {
	have := []kernel.FDB{{Dst: netip.MustParseAddr("198.18.0.1")}, {MAC: kernel.MAC{2}, Dst: netip.MustParseAddr("198.18.0.1")}}
	if got := diffLink(kernel.Link{Name: "vx0", FDB: have[:1]}, kernel.Link{Name: "vx0", FDB: have}, ours); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}

// Learning is altered on the device that is there.
func TestLearningIsSetInPlace(t *testing.T) {
	k, s := newHostWithNetwork(t)
	s.VXLAN.Tunnel.Learning = true
	k.Log = nil
	if _, err := ensureDevices(k.HostNamespace(), s); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(k.Log, "\n"); got != "ip link set vx0 type vxlan learning" {
		t.Errorf("got %s", got)
	}
}

// Flood entries that are not looked at stay as they are, but a new device has them.
func TestFloodEntriesAreSkipped(t *testing.T) {
	k, s := newHostWithNetwork(t)
	s.SkipFlood = true
	k.Log = nil
	k.HostNamespace().Edit("vx0", func(l *kernel.Link) { l.FDB = nil })
	if _, err := ensureDevices(k.HostNamespace(), s); err != nil || len(k.Log) > 0 {
		t.Errorf("%v, %v", err, k.Log)
	}
	k.HostNamespace().Remove("vx0")
	if _, err := ensureDevices(k.HostNamespace(), s); err != nil {
		t.Fatal(err)
	}
	if got := k.Log[len(k.Log)-1]; got != "bridge fdb append 00:00:00:00:00:00 dev vx0 dst 198.18.0.11 self permanent" {
		t.Errorf("got %v", k.Log)
	}
}

// newHostWithNetwork returns a kernel that has the devices of a network.
func newHostWithNetwork(t *testing.T) (*fakekernel.Kernel, *plan.Devices) {
	t.Helper()
	k := fakekernel.New()
	k.HostNamespace().Add(kernel.Link{Name: "eth0", Up: true})
	s := &plan.Devices{
		Bridge: kernel.Link{Name: "br0", Kind: kernel.KindBridge, Alias: "mark"},
		VXLAN: kernel.Link{Name: "vx0", Kind: kernel.KindVXLAN, Alias: "mark", Master: "br0", Tunnel: kernel.Tunnel{VNI: 1, Dev: "eth0"},
			FDB: []kernel.FDB{{Dst: netip.MustParseAddr("198.18.0.11")}}},
	}
	if _, err := ensureDevices(k.HostNamespace(), s); err != nil {
		t.Fatal(err)
	}
	return k, s
}

// A change that fails does not keep the others from being made, and all the errors come back.
func TestDevicesGoOnAfterAnError(t *testing.T) {
	id := network.Identity{Bridge: network.DeviceName{Name: "br0"}, Device: network.DeviceName{Name: "vx0"}}
	s := &plan.Devices{
		Bridge: kernel.Link{Name: id.Bridge.Name, Kind: kernel.KindBridge, Alias: "a", MTU: 1450, Up: true, Addrs: []kernel.Addr{
			{Prefix: netip.MustParsePrefix("10.0.0.1/24")}, {Prefix: netip.MustParsePrefix("10.1.0.1/24")},
		}},
		VXLAN: kernel.Link{Name: id.Device.Name, Kind: kernel.KindVXLAN, Alias: "a", Tunnel: kernel.Tunnel{Dev: "eth0"}},
	}
	k := fakekernel.New()
	k.FailAt = 5 // read, look for a renamed one, create, alias, first address
	if _, err := ensureDevices(k.HostNamespace(), s); !errors.Is(err, fakekernel.ErrInjected) {
		t.Errorf("got %v", err)
	}
	l := k.HostNamespace().Links()[0]
	if !l.Up || len(l.Addrs) != 1 || l.Addrs[0].Prefix.String() != "10.1.0.1/24" {
		t.Errorf("got %+v", l)
	}
}

// readOnly is a host whose parameters cannot be set, and have a value.
type readOnly struct {
	*fakekernel.Namespace
	value string // "": there are none
}

func (ns readOnly) Apply(c kernel.Change) error {
	if _, ok := c.(kernel.SetSysctls); ok {
		if ns.value == "" {
			return fs.ErrNotExist
		}
		return unix.EROFS
	}
	return ns.Namespace.Apply(c)
}

func (ns readOnly) Sysctl(string) (string, error) {
	if ns.value == "" {
		return "", fs.ErrNotExist
	}
	return ns.value, nil
}

// Where /proc/sys is read-only what is right already need not be set, also of a link that is new.
func TestParametersThatCannotBeSet(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  error
	}{{"1", nil}, {"", nil}, {"0", unix.EROFS}} {
		k := fakekernel.New()
		l := kernel.Link{Name: "br0", Kind: kernel.KindBridge, Alias: "mark", Sysctls: []kernel.Sysctl{{Key: "net/ipv4/conf/br0/x", Value: "1"}}}
		if err := createLink(readOnly{k.HostNamespace(), tt.value}, l, ours); !errors.Is(err, tt.want) {
			t.Errorf("it is %q: got %v, want %v", tt.value, err, tt.want)
		}
	}
}

// A host that begins to forward keeps its own default route.
func TestForwardingKeepsAdvertisedRoutes(t *testing.T) {
	forward := kernel.Sysctl{Key: "net/ipv6/conf/all/forwarding", Value: "1"}
	const key = "net/ipv6/conf/eth0/accept_ra"
	for _, tt := range []struct {
		name        string
		advertised  []string
		acceptRA    string
		forwards    bool
		want        string
		wantChanges int
	}{
		{"a route from an advertisement", []string{"eth0"}, "1", false, "2", 2},
		{"another program takes advertisements", []string{"eth0"}, "0", false, "0", 1},
		{"the administrator has seen to it", []string{"eth0"}, "2", false, "2", 1},
		{"no such route", nil, "1", false, "1", 1},
		{"the host forwards already", []string{"eth0"}, "1", true, "1", 0},
		{"the interface has gone", []string{"eth9"}, "1", false, "1", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := fakekernel.New()
			host := k.HostNamespace()
			host.Add(kernel.Link{Name: "eth0", Up: true})
			host.Advertised = tt.advertised
			set := []kernel.Sysctl{{Key: key, Value: tt.acceptRA}}
			if tt.forwards {
				set = append(set, forward)
			}
			if err := host.Apply(kernel.SetSysctls{Sysctls: set}); err != nil {
				t.Fatal(err)
			}
			k.Log = nil
			if err := setGlobalSysctls(host, []kernel.Sysctl{forward}); err != nil {
				t.Fatal(err)
			}
			if got, err := host.Sysctl(key); err != nil || got != tt.want || len(k.Log) != tt.wantChanges {
				t.Errorf("accept_ra is %s, %v after %q", got, err, k.Log)
			}
			if tt.wantChanges == 2 && k.Log[1] != (kernel.SetSysctls{Sysctls: []kernel.Sysctl{forward}}).String() {
				t.Errorf("the routes are gone before they are kept: %q", k.Log)
			}
		})
	}
}
