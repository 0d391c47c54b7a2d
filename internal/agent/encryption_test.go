package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/kernel/wireguard/wgtest"
	"vxlan-driver/internal/repairs"
)

var encryptedTestNetwork = strings.Replace(testNetwork, `"vni": "100"`, `"vni": "100", "encryption": "wireguard"`, 1)

// linkedDevices are WireGuard devices that the rig's kernel has as links.
type linkedDevices struct {
	*wgtest.Devices
	rig *rig

	mu         sync.Mutex
	ensureTime time.Duration
	ensured    int
}

func (d *linkedDevices) countEnsured() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ensured
}

func (d *linkedDevices) Ensure(ctx context.Context, want wireguard.Device) (wireguard.State, error) {
	d.mu.Lock()
	took := d.ensureTime
	d.ensured++
	d.mu.Unlock()
	time.Sleep(took)
	state, err := d.Devices.Ensure(ctx, want)
	if err != nil {
		return state, err
	}
	d.rig.mu.Lock()
	defer d.rig.mu.Unlock()
	if ns := d.rig.kernel.HostNamespace(); !hasLink(ns, want.Name) {
		ns.Add(kernel.Link{Name: want.Name, Kind: kernel.KindTun, Alias: want.Alias, MTU: want.MTU, Up: true})
	}
	return state, nil
}

func hasLink(ns interface {
	Link(string, kernel.Facets) (kernel.Link, error)
}, name string) bool {
	_, err := ns.Link(name, 0)
	return err == nil
}

func (d *linkedDevices) Remove(name string) error {
	if err := d.Devices.Remove(name); err != nil {
		return err
	}
	d.rig.mu.Lock()
	defer d.rig.mu.Unlock()
	ns := d.rig.kernel.HostNamespace()
	if !hasLink(ns, name) {
		return nil
	}
	return ns.Apply(kernel.DeleteLink{Name: name})
}

// withEncryption is an agent that was not started yet, on a host whose network is encrypted.
func withEncryption(t *testing.T, test func(*testing.T, *rig, *linkedDevices)) {
	t.Helper()
	withAgent(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		devices := &linkedDevices{Devices: wgtest.New(), rig: r, ensureTime: 10 * time.Millisecond}
		r.WireGuard = devices
		test(t, r, devices)
	})
}

func (r *rig) setupEncrypted(i int) {
	r.t.Helper()
	namespace, q := attachRequest(i)
	q.Network = json.RawMessage(encryptedTestNetwork)
	if _, err := r.plugin.Setup(namespace, q); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) teardownEncrypted(i int) {
	r.t.Helper()
	namespace, q := attachRequest(i)
	q.Network = json.RawMessage(encryptedTestNetwork)
	if err := r.plugin.Teardown(namespace, q); err != nil {
		r.t.Fatal(err)
	}
}

// encryptedHost has a key of each generation, of which it sends by the first, and containers.
func encryptedHost(n byte, generations []uint64, names ...string) cluster.Host {
	h := otherHost(n)
	h.ID = cluster.HostID{n}
	for i, name := range names {
		h.Memberships[0].Endpoints = append(h.Memberships[0].Endpoints, cluster.Endpoint{
			ContainerID: name, Names: []string{name}, MAC: kernel.MAC{2, 1, n, byte(i)},
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, 20*n/10 + byte(i) + 100})},
		})
	}
	for i, g := range generations {
		h.Memberships[0].Keys = append(h.Memberships[0].Keys, cluster.TunnelKey{
			Generation: g, Public: [32]byte{n, byte(g)}, Port: 51820 + uint16(i), Sends: i == 0,
		})
	}
	return h
}

// peersOf prints a device's peers: the first bytes of their keys, and what is allowed.
func (d *linkedDevices) peersOf(name string) string {
	state, err := d.State(name)
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, p := range state.Peers {
		all = append(all, fmt.Sprintf("%d/%d %v", p.PublicKey[0], p.PublicKey[1], p.AllowedIPs))
	}
	return strings.Join(all, "; ")
}

// fdb prints the entries of the VXLAN device: MACs or "flood", and by which device they lead where.
func (r *rig) fdb() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tables()
	var all []string
	for _, e := range slices.Concat(t.Flood, t.FDB) {
		all = append(all, fmt.Sprintf("%v %v via %s", e.MAC, e.Dst, e.Via))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func (r *rig) publishedKeys() []cluster.TunnelKey {
	own := r.cluster().seen().own
	if len(own) != 1 {
		return nil
	}
	return own[0].Keys
}

// The first container waits for its device, its keys are told to the other hosts, and then it waits for
// these to follow. A later one waits for nothing.
func TestFirstContainerWaitsForWireGuard(t *testing.T) {
	withEncryption(t, func(t *testing.T, r *rig, devices *linkedDevices) {
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.confirmTime = 30 * time.Millisecond
			c.showQuietly(encryptedHost(11, []uint64{1}, "web"))
		}
		r.start()
		r.joining()
		r.setupEncrypted(1)
		if got := r.fdb(); got != "" {
			t.Errorf("without a device entries lead to other hosts:\n%s", got)
		}
		if waited := r.addTimed(1); waited != 40*time.Millisecond {
			t.Errorf("waited %v for 10 ms of WireGuard and 30 ms of another host", waited)
		}
		keys := r.publishedKeys()
		if len(keys) != 1 || keys[0].Generation != 1 || !keys[0].Sends || keys[0].Port != 51820 {
			t.Errorf("the others are told of %+v", keys)
		}
		if got := devices.peersOf("wg0-blue"); got != "11/1 [10.0.0.122/32 198.18.0.11/32]" {
			t.Errorf("peers: %s", got)
		}
		if got := r.fdb(); !strings.Contains(got, "02:01:0b:00:00:00 198.18.0.11 via wg0-blue") ||
			strings.Contains(got, "via \n") || strings.HasSuffix(got, "via ") {
			t.Errorf("entries:\n%s", got)
		}
		devices.mu.Lock()
		devices.ensureTime = time.Hour // whoever waits for it now would be late
		devices.mu.Unlock()
		r.setupEncrypted(2)
		if waited := r.addTimed(2); waited != 0 {
			t.Errorf("the second container waited %v", waited)
		}
		devices.mu.Lock()
		devices.ensureTime = 0
		devices.mu.Unlock()
		r.finish()
	})
}

// A device that does not come keeps the start for a while only. The user is told, and nothing leaves.
func TestWireGuardThatDoesNotComeIsWarnedOf(t *testing.T) {
	withEncryption(t, func(t *testing.T, r *rig, devices *linkedDevices) {
		devices.Fail = func(method, _ string) error {
			if method == "Ensure" {
				return fmt.Errorf("no memory")
			}
			return nil
		}
		r.prepareCluster = isReady
		r.start()
		r.setupEncrypted(1)
		began := time.Now()
		got := r.endpointAdded(1)
		took := time.Since(began)
		if !strings.Contains(got.Warning, "WireGuard is not ready") || took != encryptionTimeout {
			t.Errorf("%+v after %v", got, took)
		}
		if got := r.fdb(); got != "" || len(r.publishedKeys()) > 0 {
			t.Errorf("entries %q, published %+v", got, r.publishedKeys())
		}
		sleep(5 * time.Second)
		status := r.status()
		if !strings.Contains(status.Problem, "no memory") ||
			!strings.Contains(status.Networks[0].Encryption.Problem, "no memory") {
			t.Errorf("status %q, %+v", status.Problem, status.Networks[0].Encryption)
		}
		r.finish()
	})
}

// Peers are the members, and have the addresses of their containers. What has changed is all that is set.
func TestPeersFollowTheMembers(t *testing.T) {
	withEncryption(t, func(t *testing.T, r *rig, devices *linkedDevices) {
		hosts := []cluster.Host{encryptedHost(11, []uint64{1}, "web"), encryptedHost(12, []uint64{1})}
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.showQuietly(hosts...)
		}
		r.start()
		r.setupEncrypted(1)
		r.mustAdd(1)
		sleep(time.Second)
		if got := devices.peersOf("wg0-blue"); got != "11/1 [10.0.0.122/32 198.18.0.11/32]; 12/1 [198.18.0.12/32]" {
			t.Errorf("peers: %s", got)
		}
		devices.Changes()
		hosts[1] = encryptedHost(12, []uint64{1}, "db")
		r.cluster().show(hosts...)
		sleep(newsDebounce)
		if got := devices.Changes(); len(got) != 1 || !strings.Contains(got[0], "[10.0.0.124/32 198.18.0.12/32]") {
			t.Errorf("a container came, changes %q", got)
		}
		r.cluster().show(hosts[0], unreachable(hosts[1]))
		sleep(newsDebounce)
		if got := devices.Changes(); len(got) > 0 {
			t.Errorf("a host whose agent does not answer: changes %q", got)
		}
		r.cluster().show(hosts[0])
		sleep(newsDebounce)
		if got := devices.peersOf("wg0-blue"); got != "11/1 [10.0.0.122/32 198.18.0.11/32]" {
			t.Errorf("a host was forgotten, peers: %s", got)
		}
		r.finish()
	})
}

// An agent that starts takes over keys, device and peers, and changes nothing. A host that it has not heard
// of yet stays a peer.
func TestEncryptionOutlivesTheAgent(t *testing.T) {
	withEncryption(t, func(t *testing.T, r *rig, devices *linkedDevices) {
		hosts := []cluster.Host{encryptedHost(11, []uint64{1}, "web"), encryptedHost(12, []uint64{1}, "db")}
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.showQuietly(hosts...)
		}
		r.start()
		r.setupEncrypted(1)
		r.mustAdd(1)
		sleep(time.Second)
		keys, peers, entries := r.publishedKeys(), devices.peersOf("wg0-blue"), r.fdb()
		r.stop()
		<-r.ended
		devices.Changes()
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.showQuietly(hosts[0])
		}
		r.start()
		sleep(time.Second)
		if got := devices.Changes(); len(got) > 0 {
			t.Errorf("an agent that starts changes %q", got)
		}
		if got := r.publishedKeys(); !slices.Equal(got, keys) {
			t.Errorf("it publishes %+v, which was %+v", got, keys)
		}
		if got := r.fdb(); got != entries || devices.peersOf("wg0-blue") != peers {
			t.Errorf("entries\n%s\nwere\n%s", got, entries)
		}
		r.cluster().show(hosts...)
		sleep(2 * gracePeriod)
		if got := devices.peersOf("wg0-blue"); got != peers {
			t.Errorf("peers %s, were %s", got, peers)
		}
		r.finish()
	})
}

// Keys that cannot be read are shown, and nothing leaves. When the file is gone, new ones are made.
func TestUnreadableKeysFailClosed(t *testing.T) {
	withEncryption(t, func(t *testing.T, r *rig, devices *linkedDevices) {
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.showQuietly(encryptedHost(11, []uint64{1}, "web"))
		}
		dir := filepath.Join(r.Host.StoreDir, "wireguard")
		path := filepath.Join(dir, "7c7b.json")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(`{"keys": [`), 0o600); err != nil {
			t.Fatal(err)
		}
		r.setupEncrypted(1)
		r.start()
		if got := r.endpointAdded(1); !strings.Contains(got.Warning, "WireGuard is not ready") {
			t.Errorf("%+v", got)
		}
		sleep(5 * time.Second)
		if got := r.status().Problem; !strings.Contains(got, "7c7b.json: is damaged; nothing of the network leaves") {
			t.Errorf("status: %s", got)
		}
		if got := r.fdb(); got != "" || len(r.publishedKeys()) > 0 || devices.countEnsured() > 0 {
			t.Errorf("entries %q, published %+v, %d devices", got, r.publishedKeys(), devices.countEnsured())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		sleep(30 * time.Second)
		if got := r.fdb(); !strings.Contains(got, "via wg0-blue") || len(r.publishedKeys()) != 1 ||
			r.status().Problem != "" {
			t.Errorf("entries %q, published %+v, problem %q", got, r.publishedKeys(), r.status().Problem)
		}
		r.finish()
	})
}

// Another host's keys rotate. This host follows: it sends by the new device once the others have answered
// by it, says so, and gives up the old one once nobody sends by that.
func TestKeysRotate(t *testing.T) {
	withEncryption(t, func(t *testing.T, r *rig, devices *linkedDevices) {
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.showQuietly(encryptedHost(11, []uint64{1}, "web"))
		}
		r.start()
		r.setupEncrypted(1)
		r.mustAdd(1)
		sleep(time.Second)
		r.cluster().show(encryptedHost(11, []uint64{1, 2}, "web"))
		sleep(time.Second)
		keys := r.publishedKeys()
		if len(keys) != 2 || keys[1].Generation != 2 || !keys[0].Sends || keys[1].Sends || keys[1].Port != 51821 {
			t.Errorf("published %+v", keys)
		}
		if got := devices.peersOf("wg1-blue"); got != "11/2 [10.0.0.122/32 198.18.0.11/32]" ||
			strings.Contains(r.fdb(), "wg1") {
			t.Errorf("peers: %s; entries\n%s", got, r.fdb())
		}
		sleep(10 * time.Minute)
		status := r.status().Networks[0].Encryption
		if strings.Contains(r.fdb(), "wg1") || len(status.Waiting) != 1 || status.Sends != 1 {
			t.Errorf("no handshake: entries\n%s\n%+v", r.fdb(), status)
		}
		devices.Handshake("wg1-blue", wireguard.Key{11, 2}, time.Now())
		sleep(6 * time.Second) // a rotation that has taken long is looked at every five
		if got := r.fdb(); strings.Contains(got, "wg0") ||
			!strings.Contains(got, "02:01:0b:00:00:00 198.18.0.11 via wg1-blue") {
			t.Errorf("entries\n%s", got)
		}
		if keys := r.publishedKeys(); len(keys) != 2 || keys[0].Sends || !keys[1].Sends {
			t.Errorf("published %+v", keys)
		}
		sleep(time.Minute)
		if _, err := devices.State("wg0-blue"); err != nil {
			t.Errorf("another host sends by the old key: %v", err)
		}
		r.cluster().show(encryptedHost(11, []uint64{2}, "web"))
		sleep(10 * time.Second)
		if keys := r.publishedKeys(); len(keys) != 1 || keys[0].Generation != 2 {
			t.Errorf("published %+v", keys)
		}
		if names, err := devices.List(); err != nil || !slices.Equal(names, []string{"wg1-blue"}) {
			t.Errorf("devices %v, %v", names, err)
		}
		r.finish()
	})
}

// When the cluster's keys have changed, so do those of encrypted networks, once.
func TestKeysFollowTheClusters(t *testing.T) {
	withEncryption(t, func(t *testing.T, r *rig, _ *linkedDevices) {
		r.prepareCluster = isReady
		file := new(fakeKeyFile)
		file.setIDs("1a2b3c4d")
		r.KeyFile = file
		r.start()
		r.setupEncrypted(1)
		r.mustAdd(1)
		for _, step := range []struct {
			ids  []string
			want uint64
		}{
			{[]string{"1a2b3c4d", "5e6f7a8b"}, 1}, {[]string{"5e6f7a8b", "1a2b3c4d"}, 1}, {[]string{"5e6f7a8b"}, 2},
		} {
			file.setIDs(step.ids...)
			r.KeysChanged(strings.Join(step.ids, ", "))
			for range 2 {
				sleep(30 * time.Second) // less than it takes to look without being told
				if keys := r.publishedKeys(); len(keys) != 1 || keys[0].Generation != step.want {
					t.Errorf("with the cluster's keys %q: published %+v, want generation %d", step.ids, keys, step.want)
				}
			}
		}
		r.finish()
	})
}

// A host that does not follow is named in an event when the others go on without it.
func TestOverdueRotationIsAnEvent(t *testing.T) {
	withEncryption(t, func(t *testing.T, r *rig, devices *linkedDevices) {
		r.prepareCluster = isReady
		r.start()
		r.setupEncrypted(1)
		r.mustAdd(1)
		r.cluster().show(encryptedHost(11, []uint64{1}), encryptedHost(12, []uint64{1, 2}))
		sleep(10 * time.Second)
		devices.Handshake("wg1-blue", wireguard.Key{12, 2}, time.Now())
		r.newEvents()
		sleep(24*time.Hour - time.Minute)
		if got := r.newEvents(); strings.Contains(got, "rotation-overdue") {
			t.Errorf("too early: %s", got)
		}
		sleep(2 * time.Minute)
		if got := r.newEvents(); !strings.Contains(got, "rotation-overdue") || !strings.Contains(got, "198.18.0.11") ||
			strings.Contains(got, "198.18.0.12") {
			t.Errorf("got %q", got)
		}
		if keys := r.publishedKeys(); len(keys) != 2 || !keys[1].Sends {
			t.Errorf("published %+v", keys)
		}
		r.finish()
	})
}

// An administrator rotates the keys of one network, or of all.
func TestRotationOnRequest(t *testing.T) {
	withEncryption(t, func(t *testing.T, r *rig, _ *linkedDevices) {
		r.prepareCluster = isReady
		r.start()
		r.setupEncrypted(1)
		r.mustAdd(1)
		sleep(time.Second)
		rotate := func(name string) (report agentapi.RotationReport, err string) {
			got := r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbRotateEncryption, Network: name})
			if got.Error == "" {
				if err := json.Unmarshal(got.Data, &report); err != nil {
					t.Error(err)
				}
			}
			return report, got.Error
		}
		if _, err := rotate("red"); !strings.Contains(err, "no encrypted network") {
			t.Errorf("a network that is not there: %q", err)
		}
		for i, name := range []string{"blue", "7c7b", ""} {
			if got, err := rotate(name); err != "" || !slices.Equal(got.Networks, []string{"blue"}) {
				t.Errorf("%q: %+v, %s", name, got, err)
			}
			sleep(time.Minute)
			if keys := r.publishedKeys(); len(keys) != 1 || keys[0].Generation != uint64(i+2) || !keys[0].Sends {
				t.Errorf("published %+v", keys)
			}
		}
		r.cluster().show(encryptedHost(11, []uint64{4, 5}))
		sleep(time.Second)
		if got, err := rotate("blue"); err != "" || len(got.Networks) != 0 || len(got.Refused) != 1 {
			t.Errorf("while keys rotate: %+v, %s", got, err)
		}
		r.finish()
	})
}

// With the last container all goes: devices, keys, and what others know. A new first container gets other
// keys.
func TestEncryptionGoesWithTheLastContainer(t *testing.T) {
	withEncryption(t, func(t *testing.T, r *rig, devices *linkedDevices) {
		r.prepareCluster = isReady
		r.start()
		var before []cluster.TunnelKey
		for range 2 {
			r.setupEncrypted(1)
			r.mustAdd(1)
			keys := r.publishedKeys()
			if len(keys) != 1 || len(before) == 1 && before[0].Public == keys[0].Public {
				t.Errorf("published %+v after %+v", keys, before)
			}
			before = keys
			r.teardownEncrypted(1)
			r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbStoreChanged})
			sleep(time.Second)
			names, err := devices.List()
			files, readErr := os.ReadDir(filepath.Join(r.Host.StoreDir, "wireguard"))
			if len(names)+len(files) > 0 || err != nil || readErr != nil {
				t.Errorf("devices %v and files %v are left, %v, %v", names, files, err, readErr)
			}
		}
		r.finish()
	})
}

// A host is forgotten: the keys rotate of the networks that it was on.
func TestForgottenHostStartsARotation(t *testing.T) {
	withEncryption(t, func(t *testing.T, r *rig, devices *linkedDevices) {
		gone := unreachable(encryptedHost(12, []uint64{1}))
		elsewhere := unreachable(otherHost(13))
		elsewhere.Memberships = nil
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.showQuietly(encryptedHost(11, []uint64{1}), gone, elsewhere)
		}
		r.start()
		r.setupEncrypted(1)
		r.mustAdd(1)
		sleep(time.Second)
		forget := func(h cluster.Host) {
			q := agentapi.Request{Verb: agentapi.VerbForgetHost, Host: h.Name}
			if got := r.handleRequest(t.Context(), q); got.Error != "" {
				t.Fatal(got.Error)
			}
			sleep(time.Second)
		}
		forget(elsewhere)
		if keys := r.publishedKeys(); len(keys) != 1 {
			t.Errorf("a host of no network was forgotten, and the keys rotate: %+v", keys)
		}
		forget(gone)
		if keys := r.publishedKeys(); len(keys) != 2 || keys[1].Generation != 2 {
			t.Errorf("published %+v", keys)
		}
		r.finish()
	})
}

// A member that announces the key of another one, or its VTEP, changes nothing for that.
func TestForgedRecordChangesNothing(t *testing.T) {
	withEncryption(t, func(t *testing.T, r *rig, devices *linkedDevices) {
		genuine := encryptedHost(11, []uint64{1}, "web")
		forger := encryptedHost(12, []uint64{1})
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.showQuietly(genuine, forger)
		}
		r.start()
		r.setupEncrypted(1)
		r.mustAdd(1)
		sleep(time.Second)
		forger.Memberships[0].Keys = genuine.Memberships[0].Keys
		r.cluster().show(genuine, forger)
		sleep(time.Second)
		if got := devices.peersOf("wg0-blue"); got != "11/1 [10.0.0.122/32 198.18.0.11/32]" {
			t.Errorf("peers: %s", got)
		}
		disputed := r.status().Networks[0].Encryption.Disputed
		if len(disputed) != 1 || !strings.Contains(disputed[0], "198.18.0.12") {
			t.Errorf("disputed: %v", disputed)
		}
		forger = encryptedHost(12, []uint64{1})
		forger.Memberships[0].VTEP = vtep(11)
		r.cluster().show(genuine, forger)
		sleep(time.Second)
		if got := devices.peersOf("wg0-blue"); got != "11/1 [10.0.0.122/32 198.18.0.11/32]" {
			t.Errorf("peers: %s", got)
		}
		r.finish()
	})
}

// What was wrong with a WireGuard device is an event once it is repaired. That it was made is none.
func TestWireGuardRepairsAreEvents(t *testing.T) {
	withEncryption(t, func(t *testing.T, r *rig, devices *linkedDevices) {
		r.start()
		r.setupEncrypted(1)
		r.mustAdd(1)
		sleep(time.Second)
		if got := r.newEvents(); got != "" {
			t.Errorf("before: %s", got)
		}
		devices.Kill("wg0-blue")
		sleep(time.Second)
		const want = "repaired VX1002 WireGuard device wg0-blue had no process and is set right, by whom is unknown"
		if got := r.newEvents(); got != want || r.RepairCounts()[repairs.WireGuard] != 1 {
			t.Errorf("got %s, counted %v", got, r.RepairCounts())
		}
		r.reportWireGuardRepair("blue", "wg0-blue", wireguard.WithoutRule)
		if got := r.newEvents(); !strings.HasPrefix(got, "repaired VX1008 WireGuard device wg0-blue had no rule") {
			t.Errorf("got %s", got)
		}
		r.finish()
	})
}
