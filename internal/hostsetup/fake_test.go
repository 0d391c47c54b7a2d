package hostsetup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/clusterkey"
	"vxlan-driver/internal/enrol"
)

// fakeHost is a host in memory. Its n-th step fails, as if somebody pressed ctrl-C or pulled the plug
// there.
type fakeHost struct {
	t        *testing.T
	files    map[string]string
	calls    []string
	failAt   int  // 0: never
	after    bool // the step is done, and then it fails
	running  bool
	meets    bool // the agent meets others
	gossip   []string
	path     fakePath
	noRoute  bool
	addrs    []InterfaceAddress
	leaveErr error
}

var errInterrupted = errors.New("interrupted")

func newFakeHost(t *testing.T) *fakeHost {
	return &fakeHost{t: t, files: make(map[string]string), meets: true, path: fakePath{report: goodReport}}
}

// step is a step that may be the last one.
func (h *fakeHost) step(what string, do func()) error {
	h.calls = append(h.calls, what)
	fails := len(h.calls) == h.failAt
	if !fails || h.after {
		do()
	}
	if fails {
		return errInterrupted
	}
	return nil
}

func (h *fakeHost) ReadFile(path string) ([]byte, error) {
	text, ok := h.files[path]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return []byte(text), nil
}

func (h *fakeHost) WriteFile(path string, data []byte) error {
	return h.step("write "+path, func() { h.files[path] = string(data) })
}

func (h *fakeHost) Remove(path string) error {
	return h.step("remove "+path, func() { delete(h.files, path) })
}

func (h *fakeHost) Name() string { return "host-b" }

func (h *fakeHost) OwnAddress([]netip.Addr) (netip.Addr, error) {
	if h.noRoute {
		return netip.Addr{}, nil
	}
	return netip.MustParseAddr("192.0.2.2"), nil
}

func (h *fakeHost) Addresses() ([]InterfaceAddress, error) {
	if h.addrs != nil {
		return h.addrs, nil
	}
	return []InterfaceAddress{{"eth0", netip.MustParseAddr("192.0.2.2")}}, nil
}

func (h *fakeHost) MTU(netip.Addr) (int, error) { return 1500, nil }

func (h *fakeHost) KeepAgentRunning() error {
	return h.step("start agent", func() { h.running = true })
}

func (h *fakeHost) RefreshAgent() error {
	return h.step("refresh agent", func() {})
}

func (h *fakeHost) Status() (agentapi.StatusReport, error) {
	if !h.running {
		return agentapi.StatusReport{}, agentapi.ErrNotRunning
	}
	return agentapi.StatusReport{Clusters: []agentapi.ClusterStatus{{Hosts: []agentapi.HostStatus{{Name: "host-a (192.0.2.1)", Reachable: h.meets}}}}}, nil
}

func (h *fakeHost) CreateToken(ttl time.Duration) (string, error) {
	if !h.running {
		h.t.Error("a token without an agent")
	}
	return "token for " + ttl.String(), nil
}

func (h *fakeHost) LeaveClusters() error {
	return errors.Join(h.leaveErr, h.step("leave", func() {}))
}

func (h *fakeHost) GossipContainers() ([]string, error) { return h.gossip, nil }

func (h *fakeHost) OpenPath(spec enrol.PathSpec) enrol.Path {
	h.path.spec = spec
	return &h.path
}

// again is the same host after an interruption, which nothing interrupts any more.
func (h *fakeHost) again() {
	h.failAt, h.calls = 0, nil
}

// state is what is left on the host, without what is random.
func (h *fakeHost) state() map[string]string { return maps.Clone(h.files) }

var goodReport = enrol.PathReport{UDP: true, Tunnel: true, Heard: true, Largest: 1500}

type fakePath struct {
	spec   enrol.PathSpec
	report enrol.PathReport
}

func (*fakePath) Ready() enrol.PathReady { return enrol.PathReady{MAC: "02:00:00:00:00:01"} }
func (p *fakePath) Probe(context.Context, enrol.PathReady) enrol.PathReport {
	return p.report
}
func (*fakePath) Close() {}

// fakeIssuer is a host that lets others in, over real TLS on the loopback interface.
type fakeIssuer struct {
	mu      sync.Mutex
	key     clusterkey.Key
	cluster string
	port    uint16
	ports   []uint16 // of networks' tunnels
	closed  uint16   // of them, the one that a firewall drops
	report  enrol.PathReport
	store   *enrol.Store
	at      netip.AddrPort
}

func newIssuer(t *testing.T) *fakeIssuer {
	t.Helper()
	i := &fakeIssuer{key: clusterkey.New(), cluster: "vxlan", port: 7947, report: goodReport}
	var err error
	if i.store, err = enrol.OpenStore(t.TempDir(), enrol.HostClock{}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i.at = l.Addr().(*net.TCPAddr).AddrPort()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	server := &enrol.Server{Store: i.store, Issuer: i, Log: slog.New(slog.DiscardHandler)}
	go func() { ended <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return i
}

func (i *fakeIssuer) token(t *testing.T) enrol.Token {
	t.Helper()
	token, err := i.store.Create([]netip.Addr{i.at.Addr()}, i.at.Port(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (i *fakeIssuer) Offer(netip.Addr, netip.Addr) enrol.Offer {
	i.mu.Lock()
	defer i.mu.Unlock()
	return enrol.Offer{Host: "host-a", Cluster: i.cluster, AgentPort: i.port, TunnelPorts: i.ports, MTU: 1500, KeyID: i.key.ID()}
}

func (i *fakeIssuer) OpenPath(_ context.Context, spec enrol.PathSpec) (enrol.Path, error) {
	r := i.report
	if spec.TunnelPort == i.closed {
		r.Tunnel, r.Heard = false, false
	}
	return &fakePath{report: r}, nil
}

func (i *fakeIssuer) Grant() (enrol.Grant, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return enrol.Grant{
		Keys: i.key.Line(), Cluster: i.cluster, AgentPort: i.port, Seeds: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7947")},
		Networks: []adopt.Definition{{Name: "mynet"}},
	}, nil
}

// said collects what the user is told.
type said struct{ strings.Builder }

func (s *said) report(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }
