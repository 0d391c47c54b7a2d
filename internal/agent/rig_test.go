package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/plugin"
)

const testNetwork = `{"name": "blue", "driver": "vxlan", "id": "7c7b", "network_interface": "br-blue",
  "options": {"vni": "100", "local_ip": "198.18.0.10", "remote_ips": "198.18.0.11,198.18.0.12", "physical_interface": "eth0"},
  "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}],
  "dns_enabled": true, "internal": false, "ipv6_enabled": false}`

// rig is an agent whose loop runs on a fake host, and the plugin beside it.
type rig struct {
	*Agent
	plugin *plugin.Plugin // on the same host
	t      testing.TB
	kernel *fakekernel.Kernel
	names  *fakeNameServer
	planes map[netip.Addr]*fakeCluster
	log    *bytes.Buffer // to be read when nothing runs
	// assignWarning came with the last addresses that were assigned.
	assignWarning string
	// eventsOf is the agent whose events were read, and eventsSeen the last of these.
	eventsOf   string
	eventsSeen uint64
	// prepareCluster changes each cluster before it is started.
	prepareCluster func(*fakeCluster)
	// mu is held by the loop and the plugin in turn. The store's lock keeps them apart, but the
	// race detector does not see that.
	mu             sync.Mutex
	storeEvents    chan struct{}
	fileEvents     chan struct{}
	process        *fakeProcess
	kernelEvents   chan struct{}
	deletedEntries chan kernel.ForwardingKeys
	ruleEvents     chan struct{}
	reloadEvents   chan struct{}
	upstreamEvents chan struct{}
	ended          chan error
	stop           context.CancelFunc
}

// withAgent runs a test in virtual time, with an agent that was not started yet.
func withAgent(t *testing.T, test func(*testing.T, *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newRig(t)) })
}

func newRig(t testing.TB) *rig {
	r := &rig{
		t: t, kernel: fakekernel.New("/ns/1", "/ns/2", "/ns/3"), names: &fakeNameServer{began: time.Now()},
		planes: make(map[netip.Addr]*fakeCluster), log: new(bytes.Buffer),
		storeEvents: make(chan struct{}, 1), fileEvents: make(chan struct{}, 1), process: new(fakeProcess), kernelEvents: make(chan struct{}, 1), deletedEntries: make(chan kernel.ForwardingKeys, 1), ruleEvents: make(chan struct{}, 1), reloadEvents: make(chan struct{}, 1), upstreamEvents: make(chan struct{}, 1), ended: make(chan error, 1),
	}
	r.kernel.HostNamespace().Add(kernel.Link{Name: "eth0", MTU: 1500, Up: true, Addrs: []kernel.Addr{{Prefix: netip.MustParsePrefix("198.18.0.10/24")}}})
	c, err := config.Parse("")
	if err != nil {
		t.Fatal(err)
	}
	r.Agent = &Agent{
		Host: &hoststate.Host{
			Open:     r.openNamespace,
			StoreDir: t.TempDir(), NetworksDir: t.TempDir(), SysctlDir: t.TempDir(),
			Zones: noFirewalld{}, Warn: func(message string) { t.Error(message) },
		},
		Config: c, Names: r.names, Process: r.process, Plane: cluster.Kind{Carries: gossip.Carries, PerAddress: true, New: r.newCluster},
		ResolvConf: filepath.Join(t.TempDir(), "resolv.conf"),
		Version:    "test", Log: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	r.plugin = &plugin.Plugin{Host: r.Agent.Host, Agent: pluginSide{}}
	return r
}

func (r *rig) openNamespace(path string) (hoststate.Namespace, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ns, err := r.kernel.Open(path)
	if err != nil {
		return nil, err
	}
	return lockedNamespace{ns, &r.mu}, nil
}

func (r *rig) newCluster(bind netip.Addr) (cluster.Plane, error) {
	c := newFakeCluster()
	if r.prepareCluster != nil {
		r.prepareCluster(c)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.planes[bind] = c
	return c, nil
}

// cluster is the one of the host's address, or nil.
func (r *rig) cluster() *fakeCluster {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.planes[netip.MustParseAddr("198.18.0.10")]
}

// start starts the loop. What Run does besides waits for the real kernel, which virtual time does
// not know.
func (r *rig) start() {
	r.prepareParts()
	ctx, cancel := context.WithCancel(r.t.Context())
	r.stop = cancel
	r.names.began = time.Now()
	go func() {
		err := r.runLoop(ctx, loopEvents{
			store: r.storeEvents, files: r.fileEvents, kernel: r.kernelEvents, deleted: r.deletedEntries, rules: r.ruleEvents, firewalld: r.reloadEvents, upstreams: r.upstreamEvents,
		})
		cancel()
		r.clusters.wg.Wait()
		r.ended <- err
	}()
	synctest.Wait()
}

// startIdle starts the loop and waits until it has nothing to do. Turns count from then.
func (r *rig) startIdle() {
	r.t.Helper()
	r.start()
	sleep(unreportedInterval / 2) // no turn comes by itself until the other half has passed
	r.names.countFromNow()
}

// finish ends the loop, unless it has ended.
func (r *rig) finish() {
	r.stop()
	if err := <-r.ended; err != nil {
		r.t.Error(err)
	}
}

// sleep lets virtual time pass.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func containerID(i int) string { return strings.Repeat(fmt.Sprint(i), 64) }

// attachRequest is what netavark asks of the plugin for container i.
func attachRequest(i int) (namespace string, q netavark.Request) {
	return fmt.Sprintf("/ns/%d", i), netavark.Request{
		ContainerID: containerID(i), ContainerName: fmt.Sprintf("c%d", i),
		Network: json.RawMessage(testNetwork),
		Options: json.RawMessage(fmt.Sprintf(`{"interface_name": "eth0", "static_ips": ["10.0.0.%d"]}`, i+1)),
	}
}

// setup sets container i up as the plugin does, without a word to the agent.
func (r *rig) setup(i int) {
	r.t.Helper()
	if _, err := r.plugin.Setup(attachRequest(i)); err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
}

// teardown is the opposite of setup.
func (r *rig) teardown(i int) {
	r.t.Helper()
	if err := r.plugin.Teardown(attachRequest(i)); err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
}

// storeChanged is inotify's event.
func (r *rig) storeChanged() {
	select {
	case r.storeEvents <- struct{}{}:
	default:
	}
}

// answerTo returns the answer to a request as its client reads it.
func (r *rig) answerTo(q agentapi.Request) (got agentapi.Response) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel() // the answer was read
	var text bytes.Buffer
	if err := r.handleRequest(ctx, q).Write(&text); err != nil {
		r.t.Fatal(err)
	}
	if err := json.Unmarshal(text.Bytes(), &got); err != nil {
		r.t.Fatalf("%v in %s", err, text.String())
	}
	return got
}

// endpointAdded is the plugin's request after it has set container i up.
func (r *rig) endpointAdded(i int) agentapi.Response {
	return r.handleRequest(r.t.Context(), agentapi.Request{Verb: agentapi.VerbSync, Network: "7c7b", Container: containerID(i)})
}

// mustAdd is endpointAdded, and fails unless the agent will announce the container's addresses.
func (r *rig) mustAdd(i int) {
	r.t.Helper()
	if got := r.endpointAdded(i); got.Error != "" || !got.Announces {
		r.t.Errorf("container %d was set up: the agent answers %+v", i, got)
	}
}

// wantTurns checks when turns ended since the last check.
func (r *rig) wantTurns(what string, want ...time.Duration) {
	r.t.Helper()
	if got := r.names.turns(); !reflect.DeepEqual(got, want) {
		r.t.Errorf("%s: turns at %v, want %v", what, got, want)
	}
}

// wantNames checks which containers' names are answered.
func (r *rig) wantNames(when, want string) {
	r.t.Helper()
	if got := r.names.names(); got != want {
		r.t.Errorf("%s: names of %q are answered, want %q", when, got, want)
	}
}

// wantAnnouncements checks how often container i has announced its addresses: each time its
// interface is given its MAC.
func (r *rig) wantAnnouncements(when string, i, want int) {
	r.t.Helper()
	if got := r.announcements(i); got != want {
		r.t.Errorf("%s: container %d has announced its addresses %d times, want %d", when, i, got, want)
	}
}

func (r *rig) announcements(i int) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, change := range r.kernel.Log {
		if change == fmt.Sprintf("ip link set eth0 address 02:36:0a:00:00:%02x", i+1) {
			n++
		}
	}
	return n
}

// failToOpen makes the namespace fail to open, n times.
func (r *rig) failToOpen(path string, n int) {
	open := r.Host.Open
	r.Host.Open = func(p string) (hoststate.Namespace, error) {
		if p == path && n > 0 {
			n--
			return nil, errors.New("no descriptors")
		}
		return open(p)
	}
}
