package agent

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/store"
)

// News of another host that are not about a network do not have its tables read.
func TestNewsOfOtherNetworksReadNoForwardingTables(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.showQuietly(otherHost(11), otherHost(12))
		}
		r.start()
		sleep(2 * gracePeriod)
		callsFor := func(hosts ...cluster.Host) int {
			before := r.kernel.Calls
			r.cluster().show(hosts...)
			sleep(10 * newsDebounce)
			return r.kernel.Calls - before
		}
		host := otherHost(12)
		host.Memberships = append(host.Memberships, cluster.Membership{Network: cluster.NetworkKey{VNI: 200, Port: 4789}, VTEP: vtep(12)})
		elsewhere := callsFor(otherHost(11), host)
		host.Memberships[0].Endpoints = []cluster.Endpoint{{ContainerID: "c9", MAC: kernel.MAC{2, 9}, Names: []string{"web"}}}
		if here := callsFor(otherHost(11), host); elsewhere >= here {
			t.Errorf("%d calls for news of another network, %d for those of this one", elsewhere, here)
		}
		r.finish()
	})
}

// manyOthers are hosts with two containers each.
func manyOthers(count byte) (hosts []cluster.Host) {
	for i := range count {
		h := otherHost(30 + i)
		h.ID = cluster.HostID{i}
		for c := range byte(2) {
			h.Memberships[0].Endpoints = append(h.Memberships[0].Endpoints, cluster.Endpoint{
				ContainerID: fmt.Sprint(c), Names: []string{fmt.Sprintf("c%d-%d", i, c)}, MAC: kernel.MAC{2, 1, i, c},
				Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, 20 + 2*i + c})},
			})
		}
		hosts = append(hosts, h)
	}
	return hosts
}

// withOthers is an agent that has followed so many other hosts.
func withOthers(t *testing.T, count byte, test func(*rig, []cluster.Host)) {
	withGossipAgent(t, func(t *testing.T, r *rig) {
		hosts := manyOthers(count)
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.showQuietly(hosts...)
		}
		if _, err := r.plugin.Setup(gossipAttachRequest(1, `, "static_ips": ["10.0.0.250"]`)); err != nil {
			t.Fatal(err)
		}
		r.storeChanged()
		sleep(2 * gracePeriod)
		r.mu.Lock()
		tables := r.tables()
		r.mu.Unlock()
		if len(tables.FDB) < 2*int(count) || len(tables.Neighbours) < 2*int(count) {
			t.Fatalf("beside %d hosts it has %+v", count, tables)
		}
		test(r, hosts)
	})
}

// tables are the forwarding tables of the rig's network.
func (r *rig) tables() kernel.ForwardingTables {
	host := r.kernel.HostNamespace()
	for _, l := range host.Links() {
		if l.Kind == kernel.KindVXLAN {
			t, err := host.ForwardingTables(l.Master, l.Name, nil)
			if err != nil {
				r.t.Fatal(err)
			}
			return t
		}
	}
	r.t.Fatal("there is no VXLAN device")
	return kernel.ForwardingTables{}
}

// What one host says takes as many system calls beside 80 hosts as beside 10, and no list of all. What it has is
// set without a look at what is there.
func TestNewsCostsWhatHasChanged(t *testing.T) {
	cost := func(count byte) (calls, dumps, looks int) {
		withOthers(t, count, func(r *rig, hosts []cluster.Host) {
			r.mu.Lock()
			calls, dumps, looks = r.kernel.Calls, r.kernel.Dumps, r.kernel.Looks
			r.mu.Unlock()
			m := &hosts[3].Memberships[0]
			m.Endpoints = append(slices.Clone(m.Endpoints), cluster.Endpoint{
				ContainerID: "new", Names: []string{"new"}, MAC: kernel.MAC{2, 9}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.240")},
			})
			r.cluster().show(hosts...)
			sleep(10 * newsDebounce)
			r.mu.Lock()
			defer r.mu.Unlock()
			calls, dumps, looks = r.kernel.Calls-calls, r.kernel.Dumps-dumps, r.kernel.Looks-looks
			tables := r.tables()
			if !slices.Contains(tables.Static, kernel.MAC{2, 9}) || !slices.Contains(tables.Neighbours, kernel.Neighbour{Addr: netip.MustParseAddr("10.0.0.240"), MAC: kernel.MAC{2, 9}}) {
				t.Errorf("the new container is not in %+v", tables)
			}
		})
		return calls, dumps, looks
	}
	few, _, _ := cost(10)
	many, dumps, looks := cost(80)
	const own = 2 // looks: the MAC and the address of this host's container, of which the record was read anew
	if many > few || dumps > 0 || looks > own {
		t.Errorf("%d calls beside 10 hosts, %d beside 80, of which %d list all entries and %d ask for one", few, many, dumps,
			looks)
	}
}

// Between two turns the last container of a network may be stopped. Its devices go with it.
func TestNetworkWithoutDevicesIsNotFollowed(t *testing.T) {
	withOthers(t, 5, func(r *rig, _ []cluster.Host) {
		s, err := r.Host.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		networks, err := s.Networks()
		if err != nil || len(networks) != 1 {
			t.Fatal(networks, err)
		}
		host := r.kernel.HostNamespace()
		for _, l := range host.Links() {
			if l.Kind == kernel.KindVXLAN || l.Kind == kernel.KindBridge {
				host.Remove(l.Name)
			}
		}
		if err := s.Forward(networks[0], plan.Known{WishFastPath: plan.WishFastPath}); err != nil {
			t.Error(err)
		}
		if keys, err := r.Host.DriftedEntries(networks[0], plan.Known{WishFastPath: plan.WishFastPath}); err != nil || !reflect.DeepEqual(keys, kernel.ForwardingKeys{}) {
			t.Errorf("%+v, %v", keys, err)
		}
	})
}

// Whatever somebody deletes or alters is put right after the kernel's event.
func TestAlteredForwardingIsRepaired(t *testing.T) {
	withOthers(t, 5, func(r *rig, hosts []cluster.Host) {
		host := r.kernel.HostNamespace()
		var device, bridge string
		for _, l := range host.Links() {
			if l.Kind == kernel.KindVXLAN {
				device, bridge = l.Name, l.Master
			}
		}
		before := r.tables()
		for what, c := range map[string]kernel.Change{
			"an entry of the device": kernel.DelFDB{Name: device, FDB: before.FDB[0]},
			"another host":           kernel.AddFDB{Name: device, FDB: kernel.FDB{MAC: before.FDB[1].MAC, Dst: vtep(99)}},
			"an entry of the bridge": kernel.DelStatic{Name: device, MAC: before.Static[2]},
			"a neighbour":            kernel.DelNeighbour{Name: bridge, Neighbour: before.Neighbours[3]},
			"a stranger":             kernel.AddNeighbour{Name: bridge, Neighbour: kernel.Neighbour{Addr: netip.MustParseAddr("10.0.0.199"), MAC: kernel.MAC{2, 8}}},
			"a flood entry":          kernel.DelFDB{Name: device, FDB: before.Flood[1]},
			"one flood entry more":   kernel.AddFDB{Name: device, FDB: kernel.FDB{Dst: vtep(98)}},
			"an odd flood entry":     kernel.AddFDB{Name: device, FDB: kernel.FDB{Dst: vtep(97), Port: 4790}},
		} {
			r.mu.Lock()
			if err := host.Apply(c); err != nil {
				t.Fatal(err)
			}
			r.mu.Unlock()
			r.kernelEvents <- struct{}{}
			sleep(2 * time.Second)
			r.mu.Lock()
			if got := r.tables(); !sameTables(got, before) {
				t.Errorf("%s: the tables are\n%+v\nand were\n%+v", what, got, before)
			}
			r.mu.Unlock()
		}
	})
}

// An entry that was deleted is looked at. All are listed only where it was a flood entry.
func TestDeletedEntriesAreLookedAt(t *testing.T) {
	withOthers(t, 5, func(r *rig, hosts []cluster.Host) {
		host := r.kernel.HostNamespace()
		before, dumps := r.tables(), r.kernel.Dumps+2 // those of this test
		const lists = 1
		var device, bridge string
		for _, l := range host.Links() {
			if l.Kind == kernel.KindVXLAN {
				device, bridge = l.Name, l.Master
			}
		}
		neighbour := before.Neighbours[3]
		r.mu.Lock()
		for _, c := range []kernel.Change{
			kernel.DelFDB{Name: device, FDB: before.FDB[0]}, kernel.DelStatic{Name: device, MAC: before.Static[1]},
			kernel.DelFDB{Name: device, FDB: before.Flood[2]}, kernel.DelNeighbour{Name: bridge, Neighbour: neighbour},
		} {
			if err := host.Apply(c); err != nil {
				t.Fatal(err)
			}
		}
		r.mu.Unlock()
		r.deletedEntries <- kernel.ForwardingKeys{
			MACs: []kernel.MAC{before.FDB[0].MAC, before.Static[1], {2, 0xee}}, Addrs: []netip.Addr{neighbour.Addr}, Flood: before.Flood[2:3],
		}
		sleep(time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		if got := r.tables(); !sameTables(got, before) {
			t.Errorf("the tables are\n%+v\nand were\n%+v", got, before)
		}
		if r.kernel.Dumps != dumps+lists {
			t.Errorf("all entries were listed %d times", r.kernel.Dumps-dumps)
		}
	})
}

// Ports that have not changed are not named. Where somebody has deleted the table, the next news find
// that they are needed all the same.
func TestNewsMakeTheFastPathAnew(t *testing.T) {
	withOthers(t, 1, func(r *rig, hosts []cluster.Host) {
		r.mu.Lock()
		r.Host.Records = new(store.Cache) // as vxland has: a record that was not replaced is the same
		r.mu.Unlock()
		sleep(unreportedInterval)
		var device string
		for _, l := range r.kernel.HostNamespace().Links() {
			if l.Kind == kernel.KindVXLAN {
				device = l.Name
			}
		}
		r.mu.Lock()
		before := len(r.kernel.HostNamespace().FastPathOutbound(device).Ports)
		if err := r.kernel.HostNamespace().RemoveFastPath(device); err != nil {
			t.Error(err)
		}
		r.mu.Unlock()
		hosts[0].Memberships[0].Endpoints = hosts[0].Memberships[0].Endpoints[:1]
		r.cluster().show(hosts...)
		sleep(2 * storeDebounce)
		r.mu.Lock()
		defer r.mu.Unlock()
		if again := len(r.kernel.HostNamespace().FastPathOutbound(device).Ports); before != 1 || again != 1 {
			t.Errorf("the fast path had %d ports, and has %d", before, again)
		}
	})
}

// The kernel's events are of deletions only. What somebody adds is gone within a
// minute, where few entries are.
func TestAddedForwardingIsRemovedWithoutAnEvent(t *testing.T) {
	withOthers(t, 5, func(r *rig, hosts []cluster.Host) {
		host := r.kernel.HostNamespace()
		before := r.tables()
		var device string
		for _, l := range host.Links() {
			if l.Kind == kernel.KindVXLAN {
				device = l.Name
			}
		}
		r.mu.Lock()
		for _, e := range []kernel.FDB{{Dst: vtep(98)}, {Dst: vtep(97), Port: 4790}, {MAC: kernel.MAC{2, 7}, Dst: vtep(98)}} {
			if err := host.Apply(kernel.AddFDB{Name: device, FDB: e}); err != nil {
				t.Fatal(err)
			}
		}
		r.mu.Unlock()
		sleep(unreportedInterval + time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		if got := r.tables(); !sameTables(got, before) {
			t.Errorf("the tables are\n%+v\nand were\n%+v", got, before)
		}
	})
}

// sameTables compares in any order.
func sameTables(a, b kernel.ForwardingTables) bool {
	for _, t := range []*kernel.ForwardingTables{&a, &b} {
		slices.SortFunc(t.FDB, func(x, y kernel.FDB) int { return strings.Compare(x.MAC.String(), y.MAC.String()) })
		slices.SortFunc(t.Static, func(x, y kernel.MAC) int { return strings.Compare(x.String(), y.String()) })
		slices.SortFunc(t.Neighbours, func(x, y kernel.Neighbour) int { return x.Addr.Compare(y.Addr) })
		slices.SortFunc(t.Flood, func(x, y kernel.FDB) int { return x.Dst.Compare(y.Dst) })
	}
	return reflect.DeepEqual(a, b)
}

// slowNamespace is the host's on a machine that takes pieceTime for each piece of entries.
type slowNamespace struct {
	hoststate.Namespace
	began time.Time
	holds *[]time.Duration // for which it was open
}

const pieceTime = 2 * time.Millisecond

func (n *slowNamespace) ForwardingTables(bridge, device string, only *kernel.ForwardingKeys) (kernel.ForwardingTables, error) {
	time.Sleep(pieceTime)
	return n.Namespace.ForwardingTables(bridge, device, only)
}

func (n *slowNamespace) Close() {
	*n.holds = append(*n.holds, time.Since(n.began))
	n.Namespace.Close()
}

// However many entries there are to look at, and however long each takes, containers that start do
// not wait long for the lock.
func TestManyEntriesAreSetInShortSessions(t *testing.T) {
	withOthers(t, 80, func(r *rig, hosts []cluster.Host) {
		var holds []time.Duration
		open := r.Host.Open
		r.Host.Open = func(path string) (hoststate.Namespace, error) {
			ns, err := open(path)
			return &slowNamespace{ns, time.Now(), &holds}, err
		}
		var keys kernel.ForwardingKeys
		for _, h := range hosts {
			for _, e := range h.Memberships[0].Endpoints {
				keys.MACs, keys.Addrs = append(keys.MACs, e.MAC), append(keys.Addrs, e.Addrs...)
			}
		}
		r.deletedEntries <- keys
		sleep(time.Second)
		pieces := (len(keys.MACs) + len(keys.Addrs)) / hoststate.EntriesAtOnce
		if most := slices.Max(holds); most > 2*pieceTime || len(holds) >= pieces || len(holds) < 2 {
			t.Errorf("%d pieces in %d sessions, the longest of %v", pieces, len(holds), most)
		}
	})
}

// Where a list takes long, time alone causes one less often, but never less than every five minutes.
func TestLongListsAreRare(t *testing.T) {
	tests := []struct {
		took, ago time.Duration
		want      bool
	}{
		{0, time.Minute, true},
		{200 * time.Millisecond, time.Minute, true},
		{time.Second, time.Minute, false},
		{time.Second, 4 * time.Minute, true},
		{10 * time.Second, 4 * time.Minute, false},
		{10 * time.Second, 5 * time.Minute, true},
	}
	for _, tt := range tests {
		n := &forwardedNetwork{listTime: tt.took, listed: time.Now().Add(-tt.ago)}
		f := forwarder{networks: map[string]*forwardedNetwork{"": n}}
		if f.CheckUnreported(); n.checkAll != tt.want || n.checkPorts != tt.want {
			t.Errorf("a list that took %v, %v ago: another one: %v, of ports: %v", tt.took, tt.ago, n.checkAll, n.checkPorts)
		}
	}
}

// Each session waits for the lock, behind all containers that start. So a turn needs as many for
// three networks as for one.
func TestTurnWaitsForTheLockAsOftenForMoreNetworks(t *testing.T) {
	sessions := func(networks int) (opened int) {
		withAgent(t, func(t *testing.T, r *rig) {
			var count atomic.Int32
			open := r.Host.Open
			r.Host.Open = func(path string) (hoststate.Namespace, error) {
				count.Add(1)
				return open(path)
			}
			for i := range networks {
				namespace, q := attachRequest(i + 1)
				q.Network = json.RawMessage(strings.NewReplacer(`"blue"`, fmt.Sprintf(`"blue%d"`, i), `"7c7b"`, fmt.Sprintf(`"7c7b%d"`, i),
					"br-blue", fmt.Sprintf("br-blue%d", i), `"vni": "100"`, fmt.Sprintf(`"vni": "%d"`, 100+i), "10.0.0.", fmt.Sprintf("10.0.%d.", i)).Replace(testNetwork))
				q.Options = json.RawMessage(fmt.Sprintf(`{"interface_name": "eth0", "static_ips": ["10.0.%d.9"]}`, i))
				if _, err := r.plugin.Setup(namespace, q); err != nil {
					t.Fatal(err)
				}
			}
			r.startIdle()
			sleep(2 * verifyInterval)
			count.Store(0)
			r.kernelEvents <- struct{}{}
			sleep(maxRepairDelay)
			opened = int(count.Load())
			for _, n := range r.forwarder.networks {
				if n.isPending() || n.checkAll {
					t.Errorf("%s was not looked at", n.local.Name)
				}
			}
			r.finish()
		})
		return opened
	}
	one, three := sessions(1), sessions(3)
	// The lists of all entries take no lock, but a namespace each.
	if one < 3 || three != one+2 {
		t.Errorf("namespaces were opened %d times for one network, and %d times for three", one, three)
	}
}
