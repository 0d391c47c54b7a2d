package store

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

var vtep = network.VTEP{Local: netip.MustParseAddr("198.18.0.10"), Interface: "eth0", Remotes: []netip.Addr{netip.MustParseAddr("198.18.0.11")}, MTU: 1450}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	s := open(t, t.TempDir())
	want := Record{
		Endpoint: network.Endpoint{
			ContainerID: "c1", ContainerName: "one", Aliases: []string{"web"}, Namespace: "/run/netns/x", Interface: "eth0",
			Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}, MAC: kernel.MAC{2, 0, 0, 0, 0, 1},
			Ports: []network.PortMapping{{Protocol: network.ProtocolTCP, HostIP: netip.MustParseAddr("::1"), HostPort: 80, ContainerPort: 8080, Count: 2}},
		},
		SetUp: time.Second,
	}
	for range 2 { // a second setup replaces
		if err := s.PutEndpoint("n1", []byte(`{"name":"x"}`), vtep, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Record("n1", "c1")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	if v, err := s.VTEP("n1"); err != nil || !reflect.DeepEqual(v, vtep) {
		t.Errorf("got %v, %v", v, err)
	}
	config, err := s.Config("n1")
	if err != nil || string(config) != `{"name":"x"}` {
		t.Errorf("network.json: %s, %v", config, err)
	}
	for what, list := range map[string]func() ([]string, error){
		"n1": s.Networks,
		"c1": func() ([]string, error) { return s.Tagged("n1", TagPublishes) },
	} {
		if got, err := list(); err != nil || !reflect.DeepEqual(got, []string{what}) {
			t.Errorf("got %v, %v, want %s", got, err, what)
		}
	}
}

// Peers come back as they were set, with a cache too. Whoever set them may change its lists, and another
// program may set others.
func TestPeersComeBackAsTheyWere(t *testing.T) {
	for name, cache := range map[string]*Cache{"without a cache": nil, "with a cache": new(Cache)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := OpenCached(dir, cache, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			wantPeers := func(when string, want network.Peers, wantOK bool) {
				t.Helper()
				if got, ok, err := s.Peers("n1"); ok != wantOK || err != nil || !got.Equal(want) {
					t.Errorf("%s: got %+v, %v, %v", when, got, ok, err)
				}
			}
			addrs := func(text string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(text)} }
			peers := func() network.Peers {
				return network.Peers{
					Flood: addrs("198.18.0.11"), StaticFDB: true, AgentPort: 7947, HostAddrs: addrs("10.0.0.9"),
					WireGuardAddrs: []netip.AddrPort{netip.MustParseAddrPort("198.18.0.11:51820")},
				}
			}
			wantPeers("before", network.Peers{}, false)
			p := peers()
			if err := s.SetPeers("n1", p); err != nil {
				t.Fatal(err)
			}
			if cache != nil && !cache.peers["n1"].ok {
				t.Error("what was set would be read from the file again")
			}
			p.Flood[0], p.HostAddrs[0], p.WireGuardAddrs[0] = netip.Addr{}, netip.Addr{}, netip.AddrPort{}
			wantPeers("set", peers(), true)
			others := network.Peers{Flood: addrs("198.18.0.12")}
			if err := (&Store{dir: dir}).SetPeers("n1", others); err != nil {
				t.Fatal(err)
			}
			wantPeers("set by another program", others, true)
			if err := errors.Join(s.ForgetPeers("n1"), s.ForgetPeers("n1")); err != nil {
				t.Error(err)
			}
			wantPeers("afterwards", network.Peers{}, false)
		})
	}
}

func TestRemoveOfTheLastEndpointRemovesTheNetwork(t *testing.T) {
	s := open(t, t.TempDir())
	for _, id := range []string{"c1", "c2"} {
		if err := s.PutEndpoint("n1", []byte("{}"), network.VTEP{}, Record{Endpoint: network.Endpoint{ContainerID: id}}); err != nil {
			t.Fatal(err)
		}
	}
	// What a crash left is not an endpoint.
	leftover := filepath.Join(s.dir, "networks/n1/endpoints/.tmp-c3.json")
	if err := os.WriteFile(leftover, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		remove string
		left   []string
	}{{"none", []string{"c1", "c2"}}, {"c1", []string{"c2"}}, {"c1", []string{"c2"}}, {"c2", nil}, {"c2", nil}} {
		if err := s.RemoveEndpoint("n1", step.remove); err != nil {
			t.Fatal(err)
		}
		records, err := s.Records("n1")
		var left []string
		for _, r := range records {
			left = append(left, r.ContainerID)
		}
		if err != nil || !reflect.DeepEqual(left, step.left) {
			t.Errorf("after removing %s: %v, %v", step.remove, left, err)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(s.dir, "networks")); err != nil || len(entries) > 0 {
		t.Errorf("left %v, %v", entries, err)
	}
}

// What a crash left of a network, before its first endpoint or after its last, is none.
func TestNetworkWithoutEndpointsIsNone(t *testing.T) {
	s := open(t, t.TempDir())
	if err := os.MkdirAll(filepath.Join(s.dir, "networks/half/endpoints"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.PutEndpoint("n1", []byte("{}"), vtep, Record{Endpoint: network.Endpoint{ContainerID: "c1"}}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Networks(); err != nil || !reflect.DeepEqual(got, []string{"n1"}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, tt := range []struct {
		network, container string
		want               bool
	}{{"n1", "c1", false}, {"n1", "c2", true}, {"half", "c1", false}, {"none", "c1", false}} {
		if got, err := s.HasEndpointsExcept(tt.network, tt.container); err != nil || got != tt.want {
			t.Errorf("%s has others than %s: %v, %v", tt.network, tt.container, got, err)
		}
	}
	for range 2 {
		if err := s.RemoveEndpoint("half", "c1"); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, "networks")); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestLockIsExclusive(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	opened := make(chan *Store)
	go func() {
		s, err := Open(dir)
		if err != nil {
			t.Error(err)
		}
		opened <- s
	}()
	select {
	case <-opened:
		t.Fatal("two at once")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	(<-opened).Close()
}

// All of very many are found, whatever files are beside them.
func TestEndpointsExceptOfMany(t *testing.T) {
	s := open(t, t.TempDir())
	want := map[string]bool{}
	for i := range 300 {
		id := fmt.Sprintf("%064d", i)
		r := Record{Endpoint: network.Endpoint{ContainerID: id, HostInterface: fmt.Sprintf("web%d", i)}}
		if err := s.PutEndpoint("n1", []byte("{}"), vtep, r); err != nil {
			t.Fatal(err)
		}
		want[id] = true
	}
	const left = "0000000000000000000000000000000000000000000000000000000000000007"
	delete(want, left)
	got := map[string]bool{}
	for id, err := range s.EndpointsExcept("n1", left) {
		if err != nil || got[id] {
			t.Errorf("%s twice, or %v", id, err)
		}
		got[id] = true
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%d of %d", len(got), len(want))
	}
}

// Somebody may remove the directory while others wait for the lock. Two must never hold it.
func TestLockOfRemovedStoreIsNoLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	first, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan *Store)
	for range 2 {
		go func() {
			s, err := Open(dir)
			if err != nil {
				t.Error(err)
			}
			opened <- s
		}()
	}
	waitForLockers(t, filepath.Join(dir, "lock"), 1) // one thread, for both
	waitForCallers(t, 2)
	if err := first.RemoveAll(); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := <-opened
	select {
	case third := <-opened:
		t.Errorf("two hold the lock: %v, %v", second.holdsLock(), third.holdsLock())
		return
	case <-time.After(50 * time.Millisecond):
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if err := (<-opened).Close(); err != nil {
		t.Error(err)
	}
}

// waitForLockers waits until so many wait for the lock of a file.
func waitForLockers(t *testing.T, path string, n int) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	waiter, inode := "-> FLOCK", fmt.Sprintf(":%d ", st.Ino)
	for {
		locks, err := os.ReadFile("/proc/locks")
		if err != nil {
			t.Fatal(err)
		}
		waiting := 0
		for line := range strings.Lines(string(locks)) {
			if strings.Contains(line, waiter) && strings.Contains(line, inode) {
				waiting++
			}
		}
		if waiting >= n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// A run that fails at once may leave a network's directory without an endpoint.
func TestRemoveUnusedKeepsNetworksWithEndpoints(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.PutEndpoint("used", []byte("{}"), network.VTEP{}, Record{Endpoint: network.Endpoint{ContainerID: "c1"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetDNSPort("unused", 53); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveUnused(); err != nil {
		t.Fatal(err)
	}
	if left, err := listNames(filepath.Join(dir, "networks"), ""); err != nil || !slices.Equal(left, []string{"used"}) {
		t.Errorf("left %q, %v", left, err)
	}
}

// Who may send what otherwise only root may is kept, and with a damaged file nobody may.
func TestAllowedUsers(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for _, want := range [][]uint32{nil, {993, 65534}, nil} {
		if err := s.SetAllowedUsers(want); err != nil {
			t.Fatal(err)
		}
		if got, err := s.AllowedUsers(); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*users*")); err != nil || len(files) > 0 {
		t.Errorf("left: %v, %v", files, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "allowed-users.json"), []byte("[993, -1]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.AllowedUsers(); err != nil || len(got) > 0 {
		t.Errorf("damaged: %v, %v", got, err)
	}
}
