package reconcile

import (
	"errors"
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
	port1, port2 = kernel.ShortcutPort{Name: "veth1", MAC: kernel.MAC{2, 4: 9, 5: 1}}, kernel.ShortcutPort{Name: "veth2", MAC: kernel.MAC{2, 4: 9, 5: 2}}
	both         = []kernel.ShortcutPort{port1, port2}
)

// past is a plan with that shortcut.
func past(ports []kernel.ShortcutPort, remote ...kernel.MAC) plan.Forwarding {
	f := exact(kernel.Tables{})
	f.Shortcut = kernel.Shortcut{Device: "vx0", Remote: remote, Ports: ports}
	return f
}

// withPorts is a host with a network's devices and the ports of two containers.
func withPorts(t *testing.T) (*fakekernel.Kernel, plan.State) {
	t.Helper()
	k, s := made(t)
	for _, p := range both {
		k.Host().Add(kernel.Link{Name: p.Name, Kind: kernel.Veth, Master: "br0"})
	}
	return k, s
}

// shorten runs once and returns the commands.
func shorten(t *testing.T, k *fakekernel.Kernel, want plan.Forwarding) string {
	t.Helper()
	k.Log = nil
	if err := Shortcut(k.Host(), want); err != nil {
		t.Fatal(err)
	}
	return strings.Join(k.Log, "\n")
}

// The commands of each step, after each of which another run does nothing.
func TestShortcutCommands(t *testing.T) {
	const local1, local2 = "bridge fdb replace 02:00:00:00:09:01 dev veth1 master static", "bridge fdb replace 02:00:00:00:09:02 dev veth2 master static"
	partial := past(both[1:], mac2)
	partial.Partial = true
	unknown := past(both[1:])
	unknown.Partial = true
	k, _ := withPorts(t)
	for _, step := range []struct {
		name string
		want plan.Forwarding
		log  string
	}{
		{"nobody elsewhere", past(both), ""},
		{"nobody here", past(nil, mac1), ""},
		{"first", past(both[:1], mac1), local1 + "\nnft load table netdev vxlan-driver-vx0 { remote 02:00:00:00:00:01; ports 02:00:00:00:09:01 : veth1 }"},
		{"more of both", past(both, mac1, mac2), local2 + `
nft add element netdev vxlan-driver-vx0 remote { 02:00:00:00:00:02 }
nft add ports of netdev vxlan-driver-vx0 { 02:00:00:00:09:02 : veth2 }`},
		{"less of both", past(both[1:], mac1), `nft delete element netdev vxlan-driver-vx0 remote { 02:00:00:00:00:02 }
nft delete ports of netdev vxlan-driver-vx0 { 02:00:00:00:09:01 : veth1 }`},
		{"not all heard of yet", partial, `nft add element netdev vxlan-driver-vx0 remote { 02:00:00:00:00:02 }`},
		{"nobody heard of yet", unknown, ""},
		{"none", past(nil), "nft delete table netdev vxlan-driver-vx0"},
	} {
		if got := shorten(t, k, step.want); got != step.log {
			t.Errorf("%s: got\n%s\nwant\n%s", step.name, got, step.log)
		}
		if again := shorten(t, k, step.want); again != "" {
			t.Errorf("%s: a second run did\n%s", step.name, again)
		}
	}
}

// What leads to a device that is gone drops packets, so it goes with the device, and before a container comes
// whose MAC it knows.
func TestNothingLeadsToWhatIsGone(t *testing.T) {
	k, devices := withPorts(t)
	shorten(t, k, past(both, mac1))

	// The container comes anew, with a port of the same name.
	k.Host().Remove("veth1")
	k.Log = nil
	e := plan.Endpoint{Port: kernel.Link{Name: "veth1"}, Container: kernel.Link{MAC: port1.MAC}}
	if err := Arrive(k.Host(), "vx0", e); err != nil {
		t.Fatal(err)
	}
	if s, _, _ := k.Host().Shortcut("vx0"); len(s.Ports) != 2 || s.Ports[0] != (kernel.ShortcutPort{}) || s.Ports[1] != port2 {
		t.Errorf("what was for its old port is %v", s.Ports)
	}
	k.Host().Add(kernel.Link{Name: "veth1", Kind: kernel.Veth, Master: "br0"})
	shorten(t, k, past(both, mac1))

	// A container comes that another host had.
	e = plan.Endpoint{Port: kernel.Link{Name: "veth3"}, Container: kernel.Link{MAC: mac1}}
	if err := Arrive(k.Host(), "vx0", e); err != nil {
		t.Fatal(err)
	}
	if s, _, _ := k.Host().Shortcut("vx0"); slices.Contains(s.Remote, mac1) {
		t.Error("a MAC that is here now is taken for another host's")
	}

	// The VXLAN device is made anew.
	devices.Device.Tunnel.VNI++
	if err := Network(k.Host(), devices); err != nil {
		t.Fatal(err)
	}
	if s, there, _ := k.Host().Shortcut("vx0"); there {
		t.Errorf("of the old device there is %+v", s)
	}
}

// Whatever is there, one run makes it what it should be, also after a run in which any call failed.
func TestShortcutLeadsFromAnythingToWhatIsWanted(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	random := func() plan.Forwarding {
		f := past(nil)
		for _, p := range both {
			if rnd.IntN(3) > 0 {
				f.Shortcut.Ports = append(f.Shortcut.Ports, p)
			}
		}
		for i := range 4 {
			if rnd.IntN(2) > 0 {
				f.Shortcut.Remote = append(f.Shortcut.Remote, kernel.MAC{2, 5: byte(i)})
			}
		}
		return f
	}
	for range 500 {
		k, _ := withPorts(t)
		shorten(t, k, random())
		switch rnd.IntN(4) {
		case 0:
			k.Host().Remove("veth1")
			k.Host().Add(kernel.Link{Name: "veth1", Kind: kernel.Veth, Master: "br0"})
		case 1:
			_ = k.Host().Apply(kernel.LeaveShortcut{Device: "vx0", MAC: port2.MAC})
		}
		want := random()
		k.FailAt = k.Calls + 1 + rnd.IntN(6)
		if err := Shortcut(k.Host(), want); err != nil && !errors.Is(err, fakekernel.ErrInjected) {
			t.Fatal(err)
		}
		k.FailAt = 0
		shorten(t, k, want)
		have, there, err := k.Host().Shortcut("vx0")
		if err != nil || there != (len(want.Shortcut.Ports) > 0 && len(want.Shortcut.Remote) > 0) {
			t.Fatalf("there: %v, %v", there, err)
		}
		if there && !reflect.DeepEqual(sorted(have), sorted(want.Shortcut)) {
			t.Fatalf("got %+v, want %+v", have, want.Shortcut)
		}
	}
}

func sorted(s kernel.Shortcut) kernel.Shortcut {
	s = s.Clone()
	slices.SortFunc(s.Remote, func(a, b kernel.MAC) int { return strings.Compare(a.String(), b.String()) })
	slices.SortFunc(s.Ports, func(a, b kernel.ShortcutPort) int { return strings.Compare(a.Name, b.Name) })
	return s
}
