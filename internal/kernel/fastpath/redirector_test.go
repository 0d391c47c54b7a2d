package fastpath_test

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
	"vxlan-driver/internal/kernel/fastpath"
)

// A host has the bridge br0 with the VXLAN device vx0 and the ports of two containers. Two more
// containers are on other hosts.
var (
	port1   = kernel.FastPathPort{Name: "veth1", MAC: kernel.MAC{2, 4: 9, 5: 1}, Alias: "c1"}
	port2   = kernel.FastPathPort{Name: "veth2", MAC: kernel.MAC{2, 4: 9, 5: 2}, Alias: "c2"}
	remote1 = kernel.MAC{2, 5: 1}
	remote2 = kernel.MAC{2, 5: 2}
)

type host struct {
	*testing.T
	kernel *fakekernel.Kernel
	*fakekernel.Namespace
}

func newHost(t *testing.T) host {
	t.Helper()
	k := fakekernel.New()
	h := host{t, k, k.HostNamespace()}
	h.Add(kernel.Link{Name: "br0", Kind: kernel.KindBridge})
	h.Add(kernel.Link{Name: "vx0", Kind: kernel.KindVXLAN, Master: "br0"})
	h.addPort(port1)
	h.addPort(port2)
	return h
}

// addPort gives the bridge a container's port.
func (h host) addPort(p kernel.FastPathPort) {
	h.Add(kernel.Link{Name: p.Name, Kind: kernel.KindVeth, Master: "br0", Alias: p.Alias})
}

// wantPorts is the fast path between containers here and others.
func wantPorts(ports []kernel.FastPathPort, remote ...kernel.MAC) kernel.FastPath {
	return kernel.FastPath{Device: "vx0", Bridge: "br0", Remote: remote, Ports: ports}
}

// wantPartial is the same before all hosts were heard of.
func wantPartial(ports []kernel.FastPathPort, remote ...kernel.MAC) kernel.FastPath {
	want := wantPorts(ports, remote...)
	want.Partial = true
	return want
}

// set sets the fast path and returns the commands that it took.
func (h host) set(want kernel.FastPath) string {
	h.Helper()
	h.kernel.Log = nil
	if err := h.SetFastPath(want); err != nil {
		h.Fatal(err)
	}
	return strings.Join(h.kernel.Log, "\n")
}

// connects wants packets of exactly these ports to pass the fast path, in both directions.
func (h host) connects(ports ...kernel.FastPathPort) {
	h.Helper()
	want := observed(ports)
	if out := h.FastPathOutbound("vx0").Ports; !slices.Equal(out, want) {
		h.Errorf("outbound it has %v, want %v", out, want)
	}
	if in := h.FastPathInbound("vx0").Ports; !slices.Equal(in, want) {
		h.Errorf("inbound it has %v, want %v", in, want)
	}
}

// observed returns ports as the kernel has them.
func observed(ports []kernel.FastPathPort) (all []kernel.FastPathPort) {
	for _, p := range ports {
		all = append(all, kernel.FastPathPort{Name: p.Name, MAC: p.MAC})
	}
	return all
}

const (
	table      = "netdev vxlan-driver-vx0"
	addStatic1 = "bridge fdb replace 02:00:00:00:09:01 dev veth1 master static sticky"
	addStatic2 = "bridge fdb replace 02:00:00:00:09:02 dev veth2 master static sticky"
	redirect1  = "tc filter add dev vx0 ingress protocol ip u32 match ether dst 02:00:00:00:09:01 action mirred egress redirect dev veth1 # and TCP and UDP of ipv6"
	redirect2  = "tc filter add dev vx0 ingress protocol ip u32 match ether dst 02:00:00:00:09:02 action mirred egress redirect dev veth2 # and TCP and UDP of ipv6"
	remove1    = "tc filter delete dev vx0 ingress protocol ip u32 # match ether dst 02:00:00:00:09:01, and TCP and UDP of ipv6\nbridge fdb delete 02:00:00:00:09:01 dev veth1 master"
	remove2    = "tc filter delete dev vx0 ingress protocol ip u32 # match ether dst 02:00:00:00:09:02, and TCP and UDP of ipv6\nbridge fdb delete 02:00:00:00:09:02 dev veth2 master"
)

// Only what differs is changed: the commands of each step, after which a second run does nothing.
func TestFastPathCommands(t *testing.T) {
	none, first, second, both := []kernel.FastPathPort(nil), []kernel.FastPathPort{port1}, []kernel.FastPathPort{port2}, []kernel.FastPathPort{port1, port2}
	h := newHost(t)
	for _, step := range []struct {
		name     string
		want     kernel.FastPath
		commands []string
	}{
		{"no container on another host", wantPorts(both), nil},
		{"no container here", wantPorts(none, remote1), nil},
		{"one container on each side", wantPorts(first, remote1), []string{
			addStatic1,
			"nft load table " + table + " { remote 02:00:00:00:00:01; ports veth1 }",
			"tc qdisc add dev vx0 clsact; " + redirect1}},
		{"a second one on each side", wantPorts(both, remote1, remote2), []string{
			addStatic2,
			"nft add element " + table + " remote { 02:00:00:00:00:02 }; nft add chain " + table + " port-020000000902 # veth2",
			redirect2}},
		{"one less on each side", wantPorts(second, remote1), []string{
			"nft delete element " + table + " remote { 02:00:00:00:00:02 }; nft delete chain " + table + " port-020000000901 # veth1",
			remove1}},
		{"partial: another remote one, and the first stays", wantPartial(second, remote2), []string{
			"nft add element " + table + " remote { 02:00:00:00:00:02 }"}},
		{"partial: no remote one was heard of", wantPartial(second), nil},
		{"the container that was here is on another host", wantPorts(second, remote2, port1.MAC), []string{
			"nft delete element " + table + " remote { 02:00:00:00:00:01 }; nft add element " + table + " remote { 02:00:00:00:09:01 }"}},
		{"partial: it is here again, and so no remote one", wantPartial(both), []string{
			addStatic1,
			"nft delete element " + table + " remote { 02:00:00:00:09:01 }; nft add chain " + table + " port-020000000901 # veth1",
			redirect1}},
		{"none", wantPorts(none), []string{"nft delete table " + table, remove2, remove1}},
	} {
		if got, want := h.set(step.want), strings.Join(step.commands, "\n"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", step.name, got, want)
		}
		if again := h.set(step.want); again != "" {
			t.Errorf("%s: a second run did\n%s", step.name, again)
		}
	}
}

// A link that has the name of a lost container's port is another container's: on another bridge, or
// by its alias. Whether ports are asked for one by one or are listed makes no difference.
func TestFastPathSkipsPortThatIsAnothers(t *testing.T) {
	for what, other := range map[string]kernel.Link{
		"on another bridge": {Name: "veth1", Kind: kernel.KindVeth, Master: "br1", Alias: "c1"},
		"another alias":     {Name: "veth1", Kind: kernel.KindVeth, Master: "br0", Alias: "c3"},
	} {
		for _, more := range []int{0, 20} {
			t.Run(fmt.Sprintf("%s, %d more ports", what, more), func(t *testing.T) {
				h := newHost(t)
				others := append([]kernel.FastPathPort{port2}, h.addPorts(more)...)
				want := wantPorts(append([]kernel.FastPathPort{port1}, others...), remote1)
				h.set(want)
				h.Remove("veth1")
				h.Namespace.Add(other)
				commands := h.set(want)
				h.connects(others...)
				if strings.Contains(commands, "fdb replace") {
					t.Errorf("the bridge was told of it:\n%s", commands)
				}
			})
		}
	}
}

// addPorts gives the bridge the ports of so many more containers.
func (h host) addPorts(n int) (ports []kernel.FastPathPort) {
	for i := range n {
		p := kernel.FastPathPort{
			Name: fmt.Sprintf("veth%02d", 10+i), MAC: kernel.MAC{2, 4: 9, 5: byte(10 + i)}, Alias: fmt.Sprint("c", 10+i),
		}
		h.addPort(p)
		ports = append(ports, p)
	}
	return ports
}

// linkCounter counts the links that are asked for one by one.
type linkCounter struct {
	fakekernel.FastPathKernel
	asked int
}

func (k *linkCounter) Link(name string, f kernel.Facets) (kernel.Link, error) {
	k.asked++
	return k.FastPathKernel.Link(name, f)
}

// Many ports are looked at by one request: a turn of the agent holds the store's lock meanwhile. Only one
// that is not the bridge's is asked for by its name.
func TestFastPathListsManyPorts(t *testing.T) {
	h := newHost(t)
	gone := kernel.FastPathPort{Name: "veth9", MAC: kernel.MAC{2, 4: 9, 5: 9}, Alias: "c9"}
	ports := h.addPorts(20)
	k := &linkCounter{FastPathKernel: fakekernel.FastPathKernel{Namespace: h.Namespace}}
	got, err := fastpath.New(k).AttachedPorts(wantPorts(append(ports, gone), remote1))
	if err != nil || len(got) != len(ports) || k.asked != 1 {
		t.Errorf("%d of %d ports, %d asked for one by one: %v", len(got), len(ports), k.asked, err)
	}
}

// What somebody altered is put right.
func TestFastPathDriftIsRepaired(t *testing.T) {
	h := newHost(t)
	want := wantPorts([]kernel.FastPathPort{port1, port2}, remote1)
	h.set(want)
	for what, alter := range map[string]func() error{
		"the table is deleted": func() error {
			return fakekernel.FastPathKernel{Namespace: h.Namespace}.Apply(fastpath.DeleteTable{Device: "vx0"})
		},
		"a port's filters are deleted": func() error {
			return fakekernel.FastPathKernel{Namespace: h.Namespace}.Apply(fastpath.DeleteFilters{Device: "vx0", MAC: port2.MAC})
		},
		"a port leaves the bridge and comes back": func() error {
			return errors.Join(h.Apply(kernel.SetMaster{Name: "veth1"}), h.Apply(kernel.SetMaster{Name: "veth1", Master: "br0"}))
		},
	} {
		t.Run(what, func(t *testing.T) {
			if err := alter(); err != nil {
				t.Fatal(err)
			}
			if commands := h.set(want); commands == "" {
				t.Error("nothing was done")
			}
			h.connects(port1, port2)
			if ports := h.BridgeStaticPorts("br0"); len(ports) != 2 {
				t.Errorf("the bridge was told of %v", ports)
			}
		})
	}
}

// Packets of an evicted MAC pass the bridge again, whether it is a container here or on another
// host; so do those of a port that stays, and whose MAC the bridge then has to learn.
func TestEvictedMACsPassTheBridge(t *testing.T) {
	h := newHost(t)
	h.set(wantPorts([]kernel.FastPathPort{port1, port2}, remote1, remote2))
	err := errors.Join(h.EvictFastPath("vx0", port1.MAC), h.EvictFastPath("vx0", remote1), h.EvictFastPath("vx0", kernel.MAC{}))
	if err != nil {
		t.Fatal(err)
	}
	h.connects(port2)
	if remote := h.FastPathOutbound("vx0").Remote; !slices.Equal(remote, []kernel.MAC{remote2}) {
		t.Errorf("remote MACs: %v", remote)
	}
	if err := h.EvictFastPathPort("vx0", port2); err != nil {
		t.Fatal(err)
	}
	h.connects()
	if port, told := h.BridgeStaticPorts("br0")[port2.MAC]; told {
		t.Errorf("the bridge still expects %s at %s", port2.MAC, port)
	}
}

// Whatever is there, one run makes it what is wanted, also after a run in which a call failed.
func TestFastPathConvergesFromAnyState(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for range 500 {
		h := newHost(t)
		h.set(randomFastPath(rnd))
		switch rnd.IntN(4) {
		case 0:
			h.Remove("veth1")
			h.addPort(port1)
		case 1:
			_ = h.EvictFastPath("vx0", port2.MAC)
		}
		want := randomFastPath(rnd)
		h.kernel.FailAt = h.kernel.Calls + 1 + rnd.IntN(12)
		if err := h.SetFastPath(want); err != nil && !errors.Is(err, fakekernel.ErrInjected) {
			t.Fatal(err)
		}
		h.kernel.FailAt = 0
		h.set(want)
		h.has(want)
		if t.Failed() {
			t.FailNow()
		}
	}
}

func randomFastPath(rnd *rand.Rand) kernel.FastPath {
	want := wantPorts(nil)
	for _, p := range []kernel.FastPathPort{port1, port2} {
		if rnd.IntN(3) > 0 {
			want.Ports = append(want.Ports, p)
		}
	}
	for i := range 4 {
		if rnd.IntN(2) > 0 {
			want.Remote = append(want.Remote, kernel.MAC{2, 5: byte(i)})
		}
	}
	return want
}

// has wants the kernel to have the fast path and nothing else, in any order.
func (h host) has(want kernel.FastPath) {
	h.Helper()
	if want.IsEmpty() {
		want.Ports, want.Remote = nil, nil
	}
	have := h.FastPathOutbound("vx0")
	if have.Exists == want.IsEmpty() {
		h.Errorf("the table exists: %v", have.Exists)
	}
	byMAC := func(a, b kernel.MAC) int { return strings.Compare(a.String(), b.String()) }
	byName := func(a, b kernel.FastPathPort) int { return strings.Compare(a.Name, b.Name) }
	ports := slices.SortedFunc(slices.Values(observed(want.Ports)), byName)
	if got := slices.SortedFunc(slices.Values(have.Ports), byName); !reflect.DeepEqual(got, ports) {
		h.Errorf("outbound it has %v, want %v", got, ports)
	}
	if got := slices.SortedFunc(slices.Values(h.FastPathInbound("vx0").Ports), byName); !slices.Equal(got, ports) {
		h.Errorf("inbound it has %v, want %v", got, ports)
	}
	remote := slices.SortedFunc(slices.Values(want.Remote), byMAC)
	if got := slices.SortedFunc(slices.Values(have.Remote), byMAC); !slices.Equal(got, remote) {
		h.Errorf("remote MACs are %v, want %v", got, remote)
	}
}

// Who sends is for the bridge to check.
func TestNothingWithPortSecurity(t *testing.T) {
	h := newHost(t)
	want := wantPorts([]kernel.FastPathPort{port1}, remote1)
	h.set(want)
	want.PortSecurity = true
	h.set(want)
	if have := h.FastPathOutbound("vx0"); have.Exists {
		t.Errorf("got %+v", have)
	}
}
