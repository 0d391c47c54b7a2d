package reconcile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/plan"
)

var (
	port1, port2 = kernel.FastPathPort{Name: "veth1", MAC: kernel.MAC{2, 4: 9, 5: 1}}, kernel.FastPathPort{Name: "veth2", MAC: kernel.MAC{2, 4: 9, 5: 2}}
	both         = []kernel.FastPathPort{port1, port2}
)

// past is a plan with that shortcut.
func past(ports []kernel.FastPathPort, remote ...kernel.MAC) plan.Forwarding {
	f := exact(kernel.ForwardingTables{})
	f.FastPath = kernel.FastPath{Device: "vx0", Remote: remote, Ports: ports}
	f.Aliases = map[kernel.MAC]string{port1.MAC: "c1", port2.MAC: "c2"}
	return f
}

// withPorts is a host with a network's devices and the ports of two containers.
func withPorts(t *testing.T) (*fakekernel.Kernel, *plan.Devices) {
	t.Helper()
	k, s := newHostWithNetwork(t)
	for i, p := range both {
		k.HostNamespace().Add(kernel.Link{Name: p.Name, Kind: kernel.KindVeth, Master: "br0", Alias: fmt.Sprintf("c%d", i+1)})
	}
	return k, s
}

// shorten runs once and returns the commands.
func shorten(t *testing.T, k *fakekernel.Kernel, want plan.Forwarding) string {
	t.Helper()
	k.Log = nil
	if err := setFastPath(k.HostNamespace(), want); err != nil {
		t.Fatal(err)
	}
	return strings.Join(k.Log, "\n")
}

// The commands of each step, after each of which another run does nothing.
func TestShortcutCommands(t *testing.T) {
	const (
		local1, local2 = "bridge fdb replace 02:00:00:00:09:01 dev veth1 master static sticky", "bridge fdb replace 02:00:00:00:09:02 dev veth2 master static sticky"
		to1, to2       = "tc filter add dev vx0 ingress protocol ip u32 match ether dst 02:00:00:00:09:01 action mirred egress redirect dev veth1 # and TCP and UDP of ipv6", "tc filter add dev vx0 ingress protocol ip u32 match ether dst 02:00:00:00:09:02 action mirred egress redirect dev veth2 # and TCP and UDP of ipv6"
		noTo1          = "tc filter delete dev vx0 ingress protocol ip u32 # match ether dst 02:00:00:00:09:01, and TCP and UDP of ipv6\nbridge fdb delete 02:00:00:00:09:01 dev veth1 master"
		noTo2          = "tc filter delete dev vx0 ingress protocol ip u32 # match ether dst 02:00:00:00:09:02, and TCP and UDP of ipv6\nbridge fdb delete 02:00:00:00:09:02 dev veth2 master"
		table          = "netdev vxlan-driver-vx0"
	)
	partial := past(both[1:], mac2)
	partial.Partial = true
	unknown := past(both[1:])
	unknown.Partial = true
	// Not all heard of yet, but that the first port's MAC is here.
	here := past(both)
	here.Partial = true
	k, _ := withPorts(t)
	for _, step := range []struct {
		name string
		want plan.Forwarding
		log  []string
	}{
		{"nobody elsewhere", past(both), nil},
		{"nobody here", past(nil, mac1), nil},
		{"first", past(both[:1], mac1), []string{local1, "nft load table " + table + " { remote 02:00:00:00:00:01; ports veth1 }", "tc qdisc add dev vx0 clsact; " + to1}},
		{"more of both", past(both, mac1, mac2), []string{local2,
			"nft add element " + table + " remote { 02:00:00:00:00:02 }; nft add chain " + table + " port-020000000902 # veth2", to2}},
		{"less of both", past(both[1:], mac1), []string{
			"nft delete element " + table + " remote { 02:00:00:00:00:02 }; nft delete chain " + table + " port-020000000901 # veth1", noTo1}},
		{"not all heard of yet", partial, []string{"nft add element " + table + " remote { 02:00:00:00:00:02 }"}},
		{"nobody heard of yet", unknown, nil},
		{"one that was elsewhere", past(both[1:], mac2, port1.MAC), []string{
			"nft delete element " + table + " remote { 02:00:00:00:00:01 }; nft add element " + table + " remote { 02:00:00:00:09:01 }"}},
		{"is here", here, []string{local1,
			"nft delete element " + table + " remote { 02:00:00:00:09:01 }; nft add chain " + table + " port-020000000901 # veth1", to1}},
		{"none", past(nil), []string{"nft delete table " + table, noTo2, noTo1}},
	} {
		if got := shorten(t, k, step.want); got != strings.Join(step.log, "\n") {
			t.Errorf("%s: got\n%s\nwant\n%s", step.name, got, strings.Join(step.log, "\n"))
		}
		if again := shorten(t, k, step.want); again != "" {
			t.Errorf("%s: a second run did\n%s", step.name, again)
		}
	}
}

// shortcutOf is what there is both ways.
func shortcutOf(t *testing.T, k *fakekernel.Kernel) (out, in kernel.FastPath) {
	t.Helper()
	out, _, err := k.HostNamespace().FastPath("vx0")
	in.Ports, _, _ = k.HostNamespace().Redirects("vx0")
	if err != nil {
		t.Fatal(err)
	}
	return out, in
}

// What leads to a device that is gone drops packets, so it goes with the device, and before a container comes
// whose MAC it knows.
func TestNothingLeadsToWhatIsGone(t *testing.T) {
	k, devices := withPorts(t)
	arrives := func(port string, m kernel.MAC) {
		t.Helper()
		if err := evictRemote(k.HostNamespace(), port, plan.FastPathMember{Device: "vx0", MAC: m}); err != nil {
			t.Fatal(err)
		}
	}
	shorten(t, k, past(both, mac1))
	// The container comes anew, with a port of the same name.
	k.HostNamespace().Remove("veth1")
	arrives("veth1", port1.MAC)
	if out, in := shortcutOf(t, k); !slices.Equal(out.Ports, both[1:]) || !slices.Equal(in.Ports, both[1:]) {
		t.Errorf("what was for its old port: out %v, in %v", out.Ports, in.Ports)
	}
	k.HostNamespace().Add(kernel.Link{Name: "veth1", Kind: kernel.KindVeth, Master: "br0", Alias: "c1"})
	shorten(t, k, past(both, mac1))

	// A container comes that another host had.
	arrives("veth3", mac1)
	if out, _ := shortcutOf(t, k); slices.Contains(out.Remote, mac1) {
		t.Error("a MAC that is here now is taken for another host's")
	}

	// The KindVXLAN device is made anew.
	devices.VXLAN.Tunnel.VNI++
	if err := ensureDevices(k.HostNamespace(), devices); err != nil {
		t.Fatal(err)
	}
	if s, there, _ := k.HostNamespace().FastPath("vx0"); there {
		t.Errorf("of the old device there is %+v", s)
	}
}

// A container in another namespace than before has another veth, also where the first is still there.
func TestAPortThatIsReplacedIsLeft(t *testing.T) {
	k := fakekernel.New("/ns/1", "/ns/2")
	k.HostNamespace().Add(kernel.Link{Name: "eth0", Up: true})
	_, s := newHostWithNetwork(t)
	if err := ensureDevices(k.HostNamespace(), s); err != nil {
		t.Fatal(err)
	}
	for _, ns := range []string{"/ns/1", "/ns/2"} {
		container, err := k.Open(ns)
		if err != nil {
			t.Fatal(err)
		}
		e := plan.Veth{Device: "vx0", Namespace: ns,
			Port:      kernel.Link{Name: "veth1", Kind: kernel.KindVeth, Alias: "c1", Master: "br0", Up: true, Peer: kernel.Peer{Name: "eth0", Namespace: ns, MAC: port1.MAC}},
			Container: kernel.Link{Name: "eth0", Kind: kernel.KindVeth, Alias: "net", MAC: port1.MAC, Up: true}}
		if _, err := ensureVeth(Namespaces{k.HostNamespace(), container}, e); err != nil {
			t.Fatal(err)
		}
		if out, in := shortcutOf(t, k); len(out.Ports)+len(in.Ports) > 0 {
			t.Errorf("after the setup in %s: out %v, in %v", ns, out.Ports, in.Ports)
		}
		shorten(t, k, past(both[:1], mac1))
	}
}

// A port that has the name of one that was lost is not that one.
func TestShortcutOfAPortThatAnotherHasNow(t *testing.T) {
	for _, taken := range []kernel.Link{
		{Name: "veth1", Kind: kernel.KindVeth, Master: "br1", Alias: "c1"},
		{Name: "veth1", Kind: kernel.KindVeth, Master: "br0", Alias: "c3"},
	} {
		k, _ := withPorts(t)
		shorten(t, k, past(both, mac1))
		k.HostNamespace().Remove("veth1")
		k.HostNamespace().Add(taken)
		log := shorten(t, k, past(both, mac1))
		if out, in := shortcutOf(t, k); !slices.Equal(out.Ports, both[1:]) || !slices.Equal(in.Ports, both[1:]) || strings.Contains(log, "fdb replace") {
			t.Errorf("out %v, in %v, by\n%s", out.Ports, in.Ports, log)
		}
	}
}

// What somebody altered is put right.
func TestShortcutRepairs(t *testing.T) {
	k, _ := withPorts(t)
	shorten(t, k, past(both, mac1))
	for name, alter := range map[string]func(){
		"the table":  func() { _ = k.HostNamespace().Apply(kernel.DelFastPath{Device: "vx0"}) },
		"a redirect": func() { _ = k.HostNamespace().Apply(kernel.DelRedirect{Device: "vx0", MAC: port2.MAC}) },
		"off the bridge": func() {
			_ = k.HostNamespace().Apply(kernel.SetMaster{Name: "veth1"})
			_ = k.HostNamespace().Apply(kernel.SetMaster{Name: "veth1", Master: "br0"})
		},
	} {
		alter()
		if log := shorten(t, k, past(both, mac1)); log == "" {
			t.Errorf("%s: nothing was done", name)
		}
		if out, in := shortcutOf(t, k); !slices.Equal(out.Ports, both) || !slices.Equal(in.Ports, both) {
			t.Errorf("%s: out %v, in %v", name, out.Ports, in.Ports)
		}
		if locals, _ := k.HostNamespace().StickyEntries("br0", []kernel.MAC{port1.MAC, port2.MAC}); len(locals) != 2 {
			t.Errorf("%s: the bridge knows %v", name, locals)
		}
	}
}

// Whatever is there, one run makes it what it should be, also after a run in which any call failed.
func TestShortcutLeadsFromAnythingToWhatIsWanted(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	random := func() plan.Forwarding {
		f := past(nil)
		for _, p := range both {
			if rnd.IntN(3) > 0 {
				f.FastPath.Ports = append(f.FastPath.Ports, p)
			}
		}
		for i := range 4 {
			if rnd.IntN(2) > 0 {
				f.FastPath.Remote = append(f.FastPath.Remote, kernel.MAC{2, 5: byte(i)})
			}
		}
		return f
	}
	for range 500 {
		k, _ := withPorts(t)
		shorten(t, k, random())
		switch rnd.IntN(4) {
		case 0:
			k.HostNamespace().Remove("veth1")
			k.HostNamespace().Add(kernel.Link{Name: "veth1", Kind: kernel.KindVeth, Master: "br0", Alias: "c1"})
		case 1:
			_ = evictFastPath(k.HostNamespace(), plan.FastPathMember{Device: "vx0", MAC: port2.MAC})
		}
		want := random()
		k.FailAt = k.Calls + 1 + rnd.IntN(12)
		if err := setFastPath(k.HostNamespace(), want); err != nil && !errors.Is(err, fakekernel.ErrInjected) {
			t.Fatal(err)
		}
		k.FailAt = 0
		shorten(t, k, want)
		have, there, err := k.HostNamespace().FastPath("vx0")
		if err != nil || there != (len(want.FastPath.Ports) > 0 && len(want.FastPath.Remote) > 0) {
			t.Fatalf("there: %v, %v", there, err)
		}
		if !there {
			want.FastPath = kernel.FastPath{}
		}
		if !reflect.DeepEqual(sorted(have), sorted(want.FastPath)) {
			t.Fatalf("got %+v, want %+v", have, want.FastPath)
		}
		if _, in := shortcutOf(t, k); !slices.Equal(sorted(in).Ports, sorted(want.FastPath).Ports) {
			t.Fatalf("got %v, want %v", in.Ports, want.FastPath.Ports)
		}
	}
}

func sorted(s kernel.FastPath) kernel.FastPath {
	s.Remote, s.Ports = slices.Clone(s.Remote), slices.Clone(s.Ports)
	slices.SortFunc(s.Remote, func(a, b kernel.MAC) int { return strings.Compare(a.String(), b.String()) })
	slices.SortFunc(s.Ports, func(a, b kernel.FastPathPort) int { return strings.Compare(a.Name, b.Name) })
	return s
}
