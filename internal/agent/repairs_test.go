package agent

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/repairs"
)

// wantRepairs checks what was counted since the last call, and keeps the new counts.
func (r *rig) wantRepairs(when string, before *map[repairs.Kind]uint64, want map[repairs.Kind]uint64) {
	r.t.Helper()
	now := r.repairs.Counts()
	got := make(map[repairs.Kind]uint64)
	for kind, n := range now {
		if d := n - (*before)[kind]; d > 0 {
			got[kind] = d
		}
	}
	if !maps.Equal(got, want) {
		r.t.Errorf("%s: repaired %v, want %v", when, got, want)
	}
	*before = now
}

// alter changes the host's kernel as another program does, which reports it.
func (r *rig) alter(changes ...kernel.Change) {
	r.t.Helper()
	r.mu.Lock()
	for _, c := range changes {
		if err := r.kernel.HostNamespace().Apply(c); err != nil {
			r.t.Fatal(err)
		}
	}
	r.mu.Unlock()
	r.kernelEvents <- struct{}{}
	sleep(2 * time.Second)
}

// What somebody altered is counted once however many changes it takes. With a device go its ports,
// parameters and entries, which are put right one by one. What containers and hosts
// that come and go ask for is not.
func TestRepairsAreCounted(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		counted := make(map[repairs.Kind]uint64)
		r.setup(1)
		r.startIdle()
		r.cluster().setSynced()
		r.cluster().show(otherHost(11, "web"))
		sleep(time.Minute)
		r.setup(2)
		r.mustAdd(2)
		r.cluster().show(otherHost(11, "web", "mail"), otherHost(13))
		sleep(time.Minute)
		r.teardown(2)
		r.storeChanged()
		r.cluster().show(unreachable(otherHost(11, "web")))
		sleep(2 * time.Minute)
		r.wantRepairs("hosts and containers came and went", &counted, nil)
		for _, step := range []struct {
			what string
			done []kernel.Change
			want map[repairs.Kind]uint64
		}{
			{"nothing was altered", nil, nil},
			{"the firewall was flushed", []kernel.Change{kernel.DeleteFirewall{}}, map[repairs.Kind]uint64{"firewall": 1}},
			{"the VXLAN device was deleted", []kernel.Change{kernel.DeleteLink{Name: "vxlan-blue"}}, map[repairs.Kind]uint64{"device": 1}},
			{"the bridge was deleted", []kernel.Change{kernel.DeleteLink{Name: "br-blue"}}, map[repairs.Kind]uint64{"device": 1, "port": 2}},
			{"a network's elements were deleted", []kernel.Change{kernel.DelElements{Elements: []kernel.Element{{Set: kernel.Bridges, Key: kernel.Device("br-blue")}}}},
				map[repairs.Kind]uint64{"firewall": 1}},
			{"an alias was altered", []kernel.Change{kernel.SetAlias{Name: "vxlan-blue", Alias: ""}}, map[repairs.Kind]uint64{"device": 1}},
		} {
			r.alter(step.done...)
			r.wantRepairs(step.what, &counted, step.want)
		}
		// Packets to the new network's port must pass, so the firewall is set anew: here by a turn that does
		// not read its elements, as the one before has read them.
		r.kernelEvents <- struct{}{}
		sleep(verifyInterval / 2)
		const created = `{"name":"new","id":"c3","driver":"vxlan","options":{"remote_ips":"198.18.0.11,198.18.0.12","vxlan_port":"4790"}}`
		if err := os.WriteFile(filepath.Join(r.Host.NetworksDir, "new.json"), []byte(created), 0o600); err != nil {
			t.Fatal(err)
		}
		r.alter()
		r.wantRepairs("a network was created", &counted, nil)
		r.finish()
	})
}

// Entries that somebody deletes or adds are repairs, and those that other hosts' news change are not.
func TestForwardingRepairsAreCounted(t *testing.T) {
	withOthers(t, 5, func(r *rig, hosts []cluster.Host) {
		counted := make(map[repairs.Kind]uint64)
		r.wantRepairs("the hosts were found", &counted, nil)
		r.mu.Lock()
		host, before := r.kernel.HostNamespace(), r.tables()
		var device string
		for _, l := range host.Links() {
			if l.Kind == kernel.KindVXLAN {
				device = l.Name
			}
		}
		for _, c := range []kernel.Change{
			kernel.DelFDB{Name: device, FDB: before.FDB[0]}, kernel.DelFDB{Name: device, FDB: before.Flood[2]},
		} {
			if err := host.Apply(c); err != nil {
				t.Fatal(err)
			}
		}
		r.mu.Unlock()
		r.deletedEntries <- kernel.ForwardingKeys{MACs: []kernel.MAC{before.FDB[0].MAC, {2, 0xee}}, Flood: before.Flood[2:3]}
		sleep(time.Second)
		r.wantRepairs("two entries were deleted", &counted, map[repairs.Kind]uint64{"forwarding": 2})
		sleep(3 * time.Second)
		r.deletedEntries <- kernel.ForwardingKeys{Flood: append(before.Flood[1:2:2], kernel.FDB{Dst: vtep(98)})}
		sleep(time.Second)
		r.wantRepairs("flood entries of other devices were deleted", &counted, nil)
		r.deletedEntries <- kernel.ForwardingKeys{MACs: before.Static[1:2], Addrs: []netip.Addr{before.Neighbours[2].Addr}}
		sleep(time.Second)
		r.wantRepairs("what was deleted is there again", &counted, nil)
		r.mu.Lock()
		if err := host.Apply(kernel.AddFDB{Name: device, FDB: kernel.FDB{MAC: kernel.MAC{2, 7}, Dst: vtep(98)}}); err != nil {
			t.Fatal(err)
		}
		r.mu.Unlock()
		sleep(unreportedInterval + time.Second)
		r.wantRepairs("an entry was added", &counted, map[repairs.Kind]uint64{"forwarding": 1})
		gone := before.FDB[0].MAC
		r.cluster().show(hosts[1:]...)
		sleep(10 * newsDebounce)
		r.deletedEntries <- kernel.ForwardingKeys{MACs: []kernel.MAC{gone}} // by the agent itself
		sleep(time.Second)
		r.cluster().show(hosts...)
		sleep(unreportedInterval + time.Second)
		r.wantRepairs("a host left and came back", &counted, nil)
	})
}
