package reconcile

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/plan"
)

var (
	hostB, hostC = netip.MustParseAddr("198.18.0.11"), netip.MustParseAddr("198.18.0.12")
	mac1, mac2   = kernel.MAC{2, 5: 1}, kernel.MAC{2, 5: 2}
	addr1, addr2 = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00:10::2")
)

// staticPlan is a plan with those tables.
func staticPlan(t kernel.ForwardingTables) plan.Forwarding {
	return plan.Forwarding{
		Device: kernel.Link{Name: "vx0", Kind: kernel.KindVXLAN, Alias: "mark", Master: "br0"},
		Port:   kernel.PortFlags{Learning: kernel.Some(false), Suppress: kernel.Some(true)},
		Tables: t,
	}
}

// oneContainer container on host B.
func oneContainer() kernel.ForwardingTables {
	return kernel.ForwardingTables{FDB: []kernel.FDB{{MAC: mac1, Dst: hostB}}, Static: []kernel.MAC{mac1}, Neighbours: []kernel.Neighbour{{Addr: addr1, MAC: mac1}}}
}

// twoContainers are one and another on host C.
func twoContainers() kernel.ForwardingTables {
	t := oneContainer()
	t.FDB = append(t.FDB, kernel.FDB{MAC: mac2, Dst: hostC})
	t.Static = append(t.Static, mac2)
	t.Neighbours = append(t.Neighbours, kernel.Neighbour{Addr: addr2, MAC: mac2})
	return t
}

// applyForwarding runs once and returns the commands.
func applyForwarding(t *testing.T, k *fakekernel.Kernel, want plan.Forwarding) string {
	t.Helper()
	k.Log = nil
	if err := ensureTables(k.HostNamespace(), want); err != nil {
		t.Fatal(err)
	}
	return strings.Join(k.Log, "\n")
}

// The commands of each step, after each of which another run does nothing.
func TestForwardingCommands(t *testing.T) {
	k, _ := newHostWithNetwork(t)
	moved := twoContainers()
	moved.FDB[0].Dst = hostC
	moved.Neighbours[1].MAC = mac1
	for _, step := range []struct {
		name string
		want plan.Forwarding
		log  string
	}{
		{"first", staticPlan(twoContainers()), `bridge fdb replace 02:00:00:00:00:01 dev vx0 dst 198.18.0.11 self permanent
bridge fdb replace 02:00:00:00:00:02 dev vx0 dst 198.18.0.12 self permanent
bridge fdb replace 02:00:00:00:00:01 dev vx0 master static sticky
bridge fdb replace 02:00:00:00:00:02 dev vx0 master static sticky
ip neigh replace 10.0.0.1 lladdr 02:00:00:00:00:01 dev br0 nud permanent
ip neigh replace fd00:10::2 lladdr 02:00:00:00:00:02 dev br0 nud permanent
bridge link set dev vx0 learning off neigh_suppress on`},
		{"moved", staticPlan(moved), `bridge fdb replace 02:00:00:00:00:01 dev vx0 dst 198.18.0.12 self permanent
ip neigh replace fd00:10::2 lladdr 02:00:00:00:00:01 dev br0 nud permanent`},
		{"gone", staticPlan(oneContainer()), `bridge fdb replace 02:00:00:00:00:01 dev vx0 dst 198.18.0.11 self permanent
ip neigh delete fd00:10::2 dev br0
bridge fdb delete 02:00:00:00:00:02 dev vx0 master
bridge fdb delete 02:00:00:00:00:02 dev vx0 dst 198.18.0.12 self`},
		{"another one", staticPlan(kernel.ForwardingTables{FDB: twoContainers().FDB[1:], Static: twoContainers().Static[1:], Neighbours: twoContainers().Neighbours[1:]}),
			`bridge fdb replace 02:00:00:00:00:02 dev vx0 dst 198.18.0.12 self permanent
bridge fdb replace 02:00:00:00:00:02 dev vx0 master static sticky
ip neigh replace fd00:10::2 lladdr 02:00:00:00:00:02 dev br0 nud permanent
ip neigh delete 10.0.0.1 dev br0
bridge fdb delete 02:00:00:00:00:01 dev vx0 master
bridge fdb delete 02:00:00:00:00:01 dev vx0 dst 198.18.0.11 self`},
		{"none", staticPlan(kernel.ForwardingTables{}), `ip neigh delete fd00:10::2 dev br0
bridge fdb delete 02:00:00:00:00:02 dev vx0 master
bridge fdb delete 02:00:00:00:00:02 dev vx0 dst 198.18.0.12 self`},
	} {
		if got := applyForwarding(t, k, step.want); got != step.log {
			t.Errorf("%s: got\n%s\nwant\n%s", step.name, got, step.log)
		}
		if again := applyForwarding(t, k, step.want); again != "" {
			t.Errorf("%s: a second run did\n%s", step.name, again)
		}
	}
	if l := k.HostNamespace().Links()[2]; !slices.Equal(l.FDB, []kernel.FDB{{Dst: hostB}}) {
		t.Errorf("flood entries are now %v", l.FDB)
	}
}

// Whatever somebody did, the next run puts it right, and nothing else.
func TestForwardingRepairs(t *testing.T) {
	k, _ := newHostWithNetwork(t)
	applyForwarding(t, k, staticPlan(twoContainers()))
	for _, tt := range []struct {
		name  string
		alter []kernel.Change
		want  string
	}{
		{"an entry of the device", []kernel.Change{kernel.DelFDB{Name: "vx0", FDB: oneContainer().FDB[0]}}, "bridge fdb replace 02:00:00:00:00:01 dev vx0 dst 198.18.0.11 self permanent"},
		{"an entry of the bridge", []kernel.Change{kernel.DelStatic{Name: "vx0", MAC: mac1}}, "bridge fdb replace 02:00:00:00:00:01 dev vx0 master static sticky"},
		{"a neighbour", []kernel.Change{kernel.DelNeighbour{Name: "br0", Neighbour: oneContainer().Neighbours[0]}}, "ip neigh replace 10.0.0.1 lladdr 02:00:00:00:00:01 dev br0 nud permanent"},
		{"a stranger", []kernel.Change{kernel.AddNeighbour{Name: "br0", Neighbour: kernel.Neighbour{Addr: netip.MustParseAddr("10.0.0.66"), MAC: mac1}}}, "ip neigh delete 10.0.0.66 dev br0"},
		{"off the bridge", []kernel.Change{kernel.SetMaster{Name: "vx0"}, kernel.SetMaster{Name: "vx0", Master: "br0"}}, `bridge fdb replace 02:00:00:00:00:01 dev vx0 master static sticky
bridge fdb replace 02:00:00:00:00:02 dev vx0 master static sticky
bridge link set dev vx0 learning off neigh_suppress on`},
	} {
		for _, c := range tt.alter {
			if err := k.HostNamespace().Apply(c); err != nil {
				t.Fatal(err)
			}
		}
		if got := applyForwarding(t, k, staticPlan(twoContainers())); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

// Each call fails in turn: the error comes back, and what can be done is.
func TestForwardingGoesOnAfterAnError(t *testing.T) {
	for at := 1; at <= 5; at++ { // link, tables, entries, flags, port
		k, _ := newHostWithNetwork(t)
		k.FailAt = k.Calls + at
		if err := ensureTables(k.HostNamespace(), staticPlan(twoContainers())); !errors.Is(err, fakekernel.ErrInjected) {
			t.Fatalf("call %d: %v", at, err)
		}
		have, err := k.HostNamespace().ForwardingTables("br0", "vx0", nil)
		have.Flood = nil // the device's
		if at >= 4 && (err != nil || !reflect.DeepEqual(have, twoContainers())) {
			t.Errorf("the port failed, and the entries are %v, %v", have, err)
		}
		if flags, err := k.HostNamespace().PortFlags("vx0"); at == 3 && (err != nil || flags != staticPlan(kernel.ForwardingTables{}).Port) {
			t.Errorf("the entries failed, and the port is %v", flags)
		}
		applyForwarding(t, k, staticPlan(twoContainers()))
	}
}

// A device of that name that another made is left alone; one that is not there is an error.
func TestForwardingLeavesOthersDevices(t *testing.T) {
	k, _ := newHostWithNetwork(t)
	k.HostNamespace().Edit("vx0", func(l *kernel.Link) { l.Alias = "somebody's" })
	k.Log = nil
	if err := ensureTables(k.HostNamespace(), staticPlan(twoContainers())); err == nil || !strings.Contains(err.Error(), "which this network did not make") || len(k.Log) > 0 {
		t.Errorf("%v, %v", err, k.Log)
	}
	k.HostNamespace().Remove("vx0")
	if err := ensureTables(k.HostNamespace(), staticPlan(twoContainers())); !errors.Is(err, kernel.ErrNotFound) {
		t.Error(err)
	}
}

// Whatever the tables are, one run makes them what they should be, a second does nothing, and no
// entry that stays is deleted meanwhile.
func TestForwardingLeadsFromAnythingToWhatIsWanted(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	random := func() (t kernel.ForwardingTables) {
		for i := range 6 {
			m := kernel.MAC{2, 5: byte(i)}
			if rnd.IntN(2) == 0 {
				t.FDB = append(t.FDB, kernel.FDB{MAC: m, Dst: []netip.Addr{hostB, hostC}[rnd.IntN(2)]})
			}
			if rnd.IntN(2) == 0 {
				t.Static = append(t.Static, m)
			}
			if rnd.IntN(2) == 0 {
				t.Neighbours = append(t.Neighbours, kernel.Neighbour{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), MAC: kernel.MAC{2, 5: byte(rnd.IntN(2))}})
			}
		}
		return t
	}
	for range 500 {
		k, _ := newHostWithNetwork(t)
		applyForwarding(t, k, staticPlan(random()))
		want := random()
		log := applyForwarding(t, k, staticPlan(want))
		have, err := k.HostNamespace().ForwardingTables("br0", "vx0", nil)
		have.Flood = nil // the device's
		if err != nil || countEntries(diffTables(want, have).Add) > 0 || countEntries(have) != countEntries(want) {
			t.Fatalf("wanted %v, got %v by\n%s", want, have, log)
		}
		for _, m := range want.Static {
			if strings.Contains(log, "delete "+m.String()+" dev vx0 master") {
				t.Fatalf("%s is wanted and was deleted:\n%s", m, log)
			}
		}
	}
}
