package agent

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/kernel/wireguard"
)

// told is a host as it told of its keys with a version.
func told(h cluster.Host, version uint64) cluster.Host {
	h.Memberships[0].KeysVersion = version
	return h
}

// withMovingKeys runs a test with an agent on an encrypted network, from where the hosts move to etcd. Two other hosts
// are there, of which one has a container.
func withMovingKeys(t *testing.T, from string, test func(*testing.T, *rig, *linkedDevices)) {
	withEncryption(t, func(t *testing.T, r *rig, devices *linkedDevices) {
		r.plugin.Agent = assigningPluginSide{r: r}
		r.ServerPlane = cluster.Kind{Name: "etcd", Carries: gossip.Carries, HasServers: true, New: r.newCluster}
		r.prepareCluster = func(c *fakeCluster) { time.AfterFunc(ready, func() { c.setSynced() }) }
		r.start()
		namespace, q := attachRequest(1)
		q.Network = json.RawMessage(strings.Replace(encryptedTestNetwork, `"options": {`,
			`"options": {"discovery": "`+from+`", `, 1))
		if _, err := r.plugin.Setup(namespace, q); err != nil {
			t.Fatal(err)
		}
		r.mustAdd(1)
		r.cluster().show(told(encryptedHost(11, []uint64{1}, "web"), 5), told(encryptedHost(12, []uint64{1}), 5))
		sleep(2 * gracePeriod)
		test(t, r, devices)
		r.finish()
	})
}

// The hosts of an encrypted network replace their keys while they move to etcd. One plane may be behind: a host's keys
// are those that it told of last, and no peer is given up by what it said before. Nothing leads past the devices.
func TestKeysRotateWhileTheNetworkMoves(t *testing.T) {
	for _, from := range []string{"gossip", "static"} {
		withMovingKeys(t, from, func(t *testing.T, r *rig, devices *linkedDevices) {
			want := func(when, device, peers string) {
				t.Helper()
				sleep(2 * time.Second)
				if got := devices.peersOf(device); got != peers {
					t.Errorf("from %s, %s: peers of %s: %s, want %s", from, when, device, got, peers)
				}
				got := strings.Split(r.fdb(), "\n")
				if len(got) < 3 || slices.ContainsFunc(got, func(e string) bool { return !strings.Contains(e, " via wg") }) {
					t.Errorf("from %s, %s: entries\n%s", from, when, strings.Join(got, "\n"))
				}
			}
			const earlier = "11/1 [10.0.0.122/32 198.18.0.11/32]; 12/1 [198.18.0.12/32]"
			want("at first", "wg0-blue", earlier)
			r.setOptions(map[string]string{"discovery": "etcd", "discovery_also": from})
			want("on both planes", "wg0-blue", earlier)
			devices.Changes()

			r.servers().show(told(encryptedHost(11, []uint64{1, 2}, "web"), 6)) // which gossip does not know yet
			want("one rotates", "wg0-blue", earlier)
			want("one rotates", "wg1-blue", "11/2 [10.0.0.122/32 198.18.0.11/32]")
			r.cluster().show(told(encryptedHost(11, []uint64{1, 2}, "web"), 6), told(encryptedHost(12, []uint64{1, 2}), 7))
			want("another one follows", "wg1-blue", "11/2 [10.0.0.122/32 198.18.0.11/32]; 12/2 [198.18.0.12/32]")
			r.servers().show(told(encryptedHost(11, []uint64{1, 2}, "web"), 6), told(encryptedHost(12, []uint64{1}), 5))
			want("etcd is behind", "wg1-blue", "11/2 [10.0.0.122/32 198.18.0.11/32]; 12/2 [198.18.0.12/32]")
			r.wantMove("etcd is behind", "from "+from+" to etcd, here [], missing [m (198.18.0.12)]")
			keys, version := r.encryption.VersionedKeys("7c7b")
			for name, c := range map[string]*fakeCluster{from: r.cluster(), "etcd": r.servers()} {
				own := c.seen().own
				if len(own) != 1 || len(keys) != 2 || !slices.Equal(own[0].Keys, keys) || own[0].KeysVersion != version {
					t.Errorf("%s has of this host %+v, want %+v of version %d", name, own, keys, version)
				}
			}

			for _, n := range []byte{11, 12} {
				devices.Handshake("wg1-blue", wireguard.Key{n, 2}, time.Now())
			}
			sleep(6 * time.Second)
			if got := r.fdb(); strings.Contains(got, "wg0") {
				t.Errorf("from %s: all have answered: entries\n%s", from, got)
			}
			r.servers().show(told(encryptedHost(11, []uint64{2}, "web"), 9), told(encryptedHost(12, []uint64{2}), 9))
			want("etcd is ahead", "wg1-blue", "11/2 [10.0.0.122/32 198.18.0.11/32]; 12/2 [198.18.0.12/32]")
			sleep(10 * time.Second)
			if keys := r.encryption.TunnelKeys("7c7b"); len(keys) != 1 || keys[0].Generation != 2 {
				t.Errorf("from %s: the rotation ends with %+v", from, keys)
			}
			r.wantMove("etcd is ahead", "from "+from+" to etcd, here [], missing []")
			r.setOptions(finished)
			r.cluster().show()
			want("finished", "wg1-blue", "11/2 [10.0.0.122/32 198.18.0.11/32]; 12/2 [198.18.0.12/32]")
		})
	}
}
