package encryption

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/kernel/wireguard/wgtest"
	"vxlan-driver/internal/network"
)

// managed is a manager in virtual time, with one network.
type managed struct {
	*Manager
	devices *wgtest.Devices
	uptime  atomic.Int64
	network Network
}

func newManaged(t *testing.T, change func(*Config)) *managed {
	m := &managed{devices: wgtest.New(), network: Network{
		ID: "7c7b", Name: "blue", VTEP: netip.MustParseAddr("198.18.0.10"), MTU: 1440,
		Devices: [2]network.DeviceName{{Name: "wg0-blue"}, {Name: "wg1-blue"}},
	}}
	c := Config{
		Devices: m.devices, Keys: KeyDir(filepath.Join(t.TempDir(), "wireguard")), Log: slog.New(slog.DiscardHandler),
		IsPortFree: func(uint16) bool { return true },
		Uptime:     func() time.Duration { return time.Duration(m.uptime.Load()) },
	}
	if change != nil {
		change(&c)
	}
	m.Manager = New(c)
	t.Cleanup(synctest.Wait) // for what was still being written as the test's context ended
	return m
}

// follow makes the manager know the network, and hosts on it.
func (m *managed) follow(t *testing.T, hosts ...cluster.Host) {
	t.Helper()
	m.Follow(t.Context(), []Network{m.network}, true, false)
	if err := m.SetHosts("7c7b", Hosts{Members: membersOf(hosts...), Synced: true, AllHolders: true}); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Second)
	synctest.Wait()
}

func (m *managed) port() uint16 {
	keys := m.TunnelKeys("7c7b")
	if len(keys) == 0 {
		return 0
	}
	return keys[len(keys)-1].Port
}

// A peer whose packets came from elsewhere is sought at its VTEP again once its session has ended. Otherwise whoever
// passed on one packet between two hosts could keep them apart for good.
func TestLostPeerIsSoughtAtItsVTEP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManaged(t, nil)
		m.follow(t, member(11, 1))
		key, elsewhere := wireguard.Key{1}, netip.MustParseAddrPort("198.18.0.66:9")
		endpoint := func() netip.AddrPort {
			state, err := m.devices.State("wg0-blue")
			if err != nil || len(state.Peers) != 1 {
				t.Fatalf("%+v, %v", state, err)
			}
			return state.Peers[0].Endpoint
		}
		m.devices.Handshake("wg0-blue", key, time.Now())
		m.devices.Roam("wg0-blue", key, elsewhere)
		time.Sleep(2 * checkInterval)
		if got := endpoint(); got != elsewhere {
			t.Errorf("while there is a session it is sought at %s", got)
		}
		time.Sleep(3 * checkInterval)
		if got := endpoint(); got != netip.MustParseAddrPort("198.18.0.11:51820") {
			t.Errorf("then it is sought at %s", got)
		}
	})
}

// Keys rotate when they have become old. That is counted from the start of the machine.
func TestOldKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManaged(t, func(c *Config) { c.RotateAfter = 30 * 24 * time.Hour })
		m.uptime.Store(int64(time.Hour))
		m.follow(t)
		for generation := uint64(1); generation < 4; generation++ {
			time.Sleep(10 * checkInterval)
			m.Settled("7c7b", m.Device("7c7b"))
			time.Sleep(10 * checkInterval)
			if keys := m.TunnelKeys("7c7b"); len(keys) != 1 || keys[0].Generation != generation {
				t.Errorf("keys %+v, want generation %d", keys, generation)
			}
			m.uptime.Add(int64(m.RotateAfter))
		}
	})
}

// A network's ports follow WireGuard's usual one, or what its option says. A port that another program takes is left
// to that.
func TestPorts(t *testing.T) {
	for _, tt := range []struct {
		name        string
		given       uint16
		used        []uint16
		first, next uint16
	}{
		{"usual", 0, nil, 51820, 51821},
		{"used", 0, []uint16{51820, 51823}, 51824, 51825},
		{"given", 4000, nil, 4000, 4001},
		{"an odd one given", 4001, nil, 4001, 4000},
		{"the last", 65535, nil, 65535, 65534},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newManaged(t, func(c *Config) {
					c.IsPortFree = func(port uint16) bool { return !slices.Contains(tt.used, port) }
				})
				m.network.Port = tt.given
				m.follow(t)
				if got := m.port(); got != tt.first {
					t.Errorf("port %d, want %d", got, tt.first)
				}
				if err := m.Rotate("7c7b"); err != nil {
					t.Error(err)
				}
				time.Sleep(100 * time.Millisecond)
				if got := m.port(); got != tt.next {
					t.Errorf("then port %d, want %d", got, tt.next)
				}
			})
		})
	}
}

// Each network has a pair of ports, and keeps it, however often keys rotate.
func TestPortsOfTwoNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManaged(t, nil)
		red := m.network
		red.ID, red.Name, red.Devices = "8d8c", "red", [2]network.DeviceName{{Name: "wg0-red"}, {Name: "wg1-red"}}
		m.Follow(t.Context(), []Network{m.network, red}, true, false)
		for _, id := range []string{"7c7b", "8d8c"} {
			if err := m.SetHosts(id, Hosts{Synced: true, AllHolders: true}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		first := m.port() / 2 // either network comes first
		for range 3 {
			if err := m.Rotate("7c7b"); err != nil {
				t.Fatal(err)
			}
			before := m.port()
			time.Sleep(time.Second)
			if got := m.port(); got == before || got/2 != first {
				t.Errorf("after port %d, port %d", before, got)
			}
			m.Settled("7c7b", m.Device("7c7b"))
			time.Sleep(2 * linger)
		}
		if keys := m.TunnelKeys("8d8c"); len(keys) != 1 || keys[0].Port/2 == first {
			t.Errorf("the other network has %+v", keys)
		}
	})
}

// A port that was free is taken when the device wants it.
func TestPortThatIsTakenMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		m := newManaged(t, func(c *Config) {
			c.IsPortFree = func(port uint16) bool { return port != 51820 || tries.Load() == 0 }
		})
		m.devices.Fail = func(method, _ string) error {
			if method == "Ensure" && tries.Add(1) == 1 {
				return fmt.Errorf("listen: %w", unix.EADDRINUSE)
			}
			return nil
		}
		m.follow(t)
		time.Sleep(time.Minute)
		if got := m.port(); got != 51822 || m.Err("7c7b") != nil {
			t.Errorf("port %d, %v", got, m.Err("7c7b"))
		}
	})
}

// What an earlier agent has left of networks that have gone meanwhile goes, and nothing else.
func TestLeftoversGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManaged(t, nil)
		for _, name := range []string{"wg0-red", "wg1-red", "wg0-blue"} {
			device := wireguard.Device{Name: name, PrivateKey: wireguard.Key{1}}
			if _, err := m.devices.Ensure(t.Context(), device); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Keys.save("8d8c", testKeys(t)); err != nil {
			t.Fatal(err)
		}
		m.Follow(t.Context(), []Network{m.network}, false, false)
		if names, _ := m.devices.List(); len(names) != 3 {
			t.Errorf("networks cannot be read, and the devices are %v", names)
		}
		m.follow(t)
		if names, _ := m.devices.List(); !slices.Equal(names, []string{"wg0-blue"}) {
			t.Errorf("devices %v", names)
		}
		if files, err := os.ReadDir(string(m.Keys)); err != nil || len(files) != 1 || files[0].Name() != "7c7b.json" {
			t.Errorf("files %v, %v", files, err)
		}
	})
}

// A host joins while the others' keys rotate: it takes packets of both, and sends by the one that all have.
func TestJoinsDuringARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManaged(t, nil)
		a, b := member(11, 1), member(12, 2)
		later := cluster.TunnelKey{Generation: 2, Public: [32]byte{9}, Port: 51821}
		a.Memberships[0].Keys = append(a.Memberships[0].Keys, later)
		m.follow(t, a, b)
		keys := m.TunnelKeys("7c7b")
		if len(keys) != 2 || !keys[0].Sends || keys[1].Sends || m.Device("7c7b") != "wg0-blue" {
			t.Errorf("sends by %s, keys %+v", m.Device("7c7b"), keys)
		}
		state, err := m.devices.State("wg1-blue")
		if err != nil || len(state.Peers) != 1 || state.Peers[0].PublicKey != (wireguard.Key{9}) {
			t.Errorf("peers of the later device: %+v, %v", state.Peers, err)
		}
	})
}

// What somebody changed on a device is put right: a peer of his own goes, too.
func TestPeersAreRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManaged(t, nil)
		m.follow(t, member(11, 1), member(12, 2))
		taken := netip.MustParsePrefix("198.18.0.11/32")
		stranger := wireguard.Peer{PublicKey: wireguard.Key{7}, AllowedIPs: []netip.Prefix{taken}}
		if err := m.devices.UpdatePeers("wg0-blue", []wireguard.Peer{stranger}, []wireguard.Key{{2}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * checkInterval)
		state, err := m.devices.State("wg0-blue")
		var got []string
		for _, p := range state.Peers {
			got = append(got, fmt.Sprint(p.PublicKey[0], p.AllowedIPs))
		}
		if err != nil || strings.Join(got, " ") != "1 [198.18.0.11/32] 2 [198.18.0.12/32]" {
			t.Errorf("peers %v, %v", got, err)
		}
	})
}

// A device whose process has ended has its peers again within a moment, and that is told.
func TestDeadDeviceIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var repaired []string
		m := newManaged(t, func(c *Config) {
			c.Repaired = func(network, device string, fault wireguard.Fault) {
				repaired = append(repaired, fmt.Sprint(network, ": ", device, " ", fault))
			}
		})
		go m.Run(t.Context())
		m.follow(t, member(11, 1))
		before := m.TunnelKeys("7c7b")
		m.devices.Kill("wg0-blue")
		time.Sleep(2 * minCheckInterval)
		state, err := m.devices.State("wg0-blue")
		if err != nil || !state.Running || len(state.Peers) != 1 || !slices.Equal(m.TunnelKeys("7c7b"), before) {
			t.Errorf("%+v, %v", state, err)
		}
		if want := []string{"blue: wg0-blue had no process"}; !slices.Equal(repaired, want) {
			t.Errorf("repaired %q, want %q", repaired, want)
		}
	})
}

// An agent that starts while a process has ended goes on to tell the key: the others would forget the host as a peer.
func TestKeyOfDeadDeviceIsNotWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManaged(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		m.Follow(ctx, []Network{m.network}, true, false)
		if err := m.SetHosts("7c7b", Hosts{Synced: true, AllHolders: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		before := m.TunnelKeys("7c7b")
		cancel()
		m.Wait()
		m.devices.Kill("wg0-blue")
		m.devices.Fail = func(method, _ string) error {
			if method == "Ensure" {
				return errors.New("no memory")
			}
			return nil
		}
		m.Manager = New(m.Config)
		m.Follow(t.Context(), []Network{m.network}, true, false)
		if got := m.TunnelKeys("7c7b"); len(got) != 1 || !slices.Equal(got, before) {
			t.Errorf("keys %+v, before %+v", got, before)
		}
	})
}

// A device that could not be made is tried ever more rarely, and at once when somebody says that the cause is mended.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManaged(t, nil)
		var broken atomic.Bool
		broken.Store(true)
		m.devices.Fail = func(method, _ string) error {
			if method == "Ensure" && broken.Load() {
				return errors.New("no tun")
			}
			return nil
		}
		m.follow(t)
		time.Sleep(10 * maxRetryInterval)
		began := time.Now()
		if m.Retry(t.Context()); m.Err("7c7b") == nil {
			t.Error("what is broken still is in order")
		}
		broken.Store(false)
		if m.Retry(t.Context()); m.Err("7c7b") != nil {
			t.Errorf("after the cause was mended: %v", m.Err("7c7b"))
		}
		m.Retry(t.Context()) // nothing has failed
		if took := time.Since(began); took >= retryInterval {
			t.Errorf("it took %v", took)
		}
	})
}

// encryptedHost is a host that has keys of generations, and sends by one.
func encryptedHost(n byte, sends uint64, generations ...uint64) cluster.Host {
	h := member(n, n)
	h.Memberships[0].Keys = nil
	for _, g := range generations {
		h.Memberships[0].Keys = append(h.Memberships[0].Keys, cluster.TunnelKey{
			Generation: g, Public: publicKey(n, g), Port: 51820, Sends: g == sends})
	}
	return h
}

func publicKey(n byte, generation uint64) wireguard.Key { return wireguard.Key{n, byte(generation)} }

// A host of which something has just come is waited for, even if its devices have counted as many bytes as in
// the last rotation.
func TestHostThatWasHeardIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManaged(t, nil)
		m.follow(t, encryptedHost(11, 1, 1))
		m.devices.Count("wg0-blue", publicKey(11, 1), 100, 0)
		if err := m.Rotate("7c7b"); err != nil {
			t.Fatal(err)
		}
		m.follow(t, encryptedHost(11, 1, 1, 2))
		m.devices.Count("wg1-blue", publicKey(11, 2), 50, 0)
		m.devices.Handshake("wg1-blue", publicKey(11, 2), time.Now())
		m.follow(t, encryptedHost(11, 2, 1, 2))
		m.Settled("7c7b", m.Device("7c7b"))
		time.Sleep(2 * silentAfter)
		if keys := m.TunnelKeys("7c7b"); len(keys) != 1 || keys[0].Generation != 2 {
			t.Fatalf("keys %+v", keys)
		}
		m.devices.Count("wg1-blue", publicKey(11, 2), 100, 0)
		away := encryptedHost(11, 2, 2)
		away.UnreachableSince = time.Unix(1, 0)
		m.follow(t, away)
		if err := m.Rotate("7c7b"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(silentAfter - 10*time.Second)
		if got := m.Device("7c7b"); got != "wg1-blue" {
			t.Errorf("sends by %s, which the other host does not have", got)
		}
		time.Sleep(time.Minute)
		if got := m.Device("7c7b"); got != "wg0-blue" {
			t.Errorf("nothing has come from the other host for long, and this one sends by %s", got)
		}
	})
}

// Who asked for a rotation and was told that it has begun can rely on it, whatever happens to the agent.
func TestRotationIsKeptBeforeItIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManaged(t, nil)
		m.follow(t)
		if err := m.Rotate("7c7b"); err != nil {
			t.Fatal(err)
		}
		if keys, err := m.Keys.load("7c7b"); err != nil || keys.last() != 2 { // as the next agent finds it
			t.Errorf("kept %+v, %v", keys, err)
		}
	})
}

// A new key that cannot be kept is not used, and the caller knows. The one that there is stays in use.
func TestRotationThatCannotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManaged(t, nil)
		m.follow(t)
		moved := string(m.Keys) + ".moved"
		if err := os.Rename(string(m.Keys), moved); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(string(m.Keys), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := m.Rotate("7c7b"); err == nil || !strings.Contains(err.Error(), "keep the keys in ") {
			t.Errorf("got %v", err)
		}
		if m.Device("7c7b") != "wg0-blue" || len(m.TunnelKeys("7c7b")) != 1 || m.Err("7c7b") == nil {
			t.Errorf("sends by %q, keys %+v, error %v", m.Device("7c7b"), m.TunnelKeys("7c7b"), m.Err("7c7b"))
		}
		if err := errors.Join(os.Remove(string(m.Keys)), os.Rename(moved, string(m.Keys)), m.Rotate("7c7b")); err != nil {
			t.Error(err)
		}
		if err := m.Err("7c7b"); err != nil {
			t.Errorf("afterwards %v", err)
		}
	})
}

// rotateAlone lets time pass in which rotations end, as there is no other host, and returns the generation.
func (m *managed) rotateAlone(t *testing.T) uint64 {
	t.Helper()
	for range 5 {
		time.Sleep(2 * checkInterval)
		m.Settled("7c7b", m.Device("7c7b"))
	}
	keys := m.TunnelKeys("7c7b")
	if len(keys) != 1 {
		t.Fatalf("keys %+v", keys)
	}
	return keys[0].Generation
}

// Keys that are to be replaced while others are being replaced are replaced once, also by the next agent.
func TestRenewDuringARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManaged(t, nil)
		m.follow(t)
		for _, ask := range []func(string) error{m.Rotate, m.Renew, m.Renew} {
			if err := ask("7c7b"); err != nil {
				t.Fatal(err)
			}
		}
		m.Manager = New(m.Config)
		m.follow(t)
		if got := m.rotateAlone(t); got != 3 {
			t.Errorf("generation %d, want 3", got)
		}
		if err := m.Renew("7c7b"); err != nil {
			t.Error(err)
		}
		if got := m.rotateAlone(t); got != 4 {
			t.Errorf("then generation %d, want 4", got)
		}
	})
}

// Keys are replaced once when the cluster has none of the keys any more that it had when they were made. So all
// hosts of a cluster do it at the same time, and one that is last finds it done.
func TestKeysFollowThoseOfTheCluster(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps [][]string
		want  []uint64 // the generation after each step
	}{
		{"rotated", [][]string{{"a"}, {"a", "b"}, {"b", "a"}, {"b"}, {"b"}}, []uint64{1, 1, 1, 2, 2}},
		{"made during a rotation", [][]string{{"b", "a"}, {"b"}}, []uint64{1, 1}},
		{"set for the first time", [][]string{nil, {"a"}, {"a"}}, []uint64{1, 2, 2}},
		{"taken away", [][]string{{"a"}, nil, {"a"}}, []uint64{1, 1, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var ids []string
				m := newManaged(t, func(c *Config) {
					c.ClusterKeys = func() []string {
						mu.Lock()
						defer mu.Unlock()
						return ids
					}
				})
				for i, step := range tt.steps {
					mu.Lock()
					ids = step
					m.ClusterKeysChanged() // while nobody can read them
					mu.Unlock()
					m.follow(t)
					if keys := m.TunnelKeys("7c7b"); keys[len(keys)-1].Generation != tt.want[i] {
						t.Errorf("step %d: keys %+v, want generation %d at once", i, keys, tt.want[i])
					}
					if got := m.rotateAlone(t); got != tt.want[i] {
						t.Errorf("step %d: generation %d, want %d", i, got, tt.want[i])
					}
				}
			})
		})
	}
}
