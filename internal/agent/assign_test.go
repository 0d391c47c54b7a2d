package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/netavark"
)

// assigningPluginSide is an agent in the same process, as the plugin sees it.
type assigningPluginSide struct {
	pluginSide
	r *rig
}

func (p assigningPluginSide) AssignAddresses(network, container string, wanted []netip.Addr) ([]netip.Addr, error) {
	answer := p.r.handleRequest(p.r.t.Context(), agentapi.Request{Verb: agentapi.VerbAssignAddresses, Assign: &agentapi.AssignRequest{
		Network: network, Container: container, Wanted: wanted,
	}})
	p.r.mu.Lock() // see rig
	defer p.r.mu.Unlock()
	p.r.assignWarning = answer.Warning
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	return answer.Addrs, nil
}

// gossipAttachRequest is attachRequest on a network whose hosts find each other.
func gossipAttachRequest(i int, options string) (string, netavark.Request) {
	ns, q := attachRequest(i)
	q.Network = json.RawMessage(strings.Replace(testNetwork, `"remote_ips": "198.18.0.11,198.18.0.12"`, `"discovery": "gossip"`, 1))
	q.Options = json.RawMessage(`{"interface_name": "eth0"` + options + `}`)
	return ns, q
}

const (
	ready     = 3 * time.Millisecond  // after which a cluster is
	claimTime = 50 * time.Millisecond // that the cluster takes to settle a claim
)

// withGossipAgent runs a test with an agent that assigns addresses, and has just been started.
func withGossipAgent(t *testing.T, test func(*testing.T, *rig)) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.plugin.Agent = assigningPluginSide{r: r}
		r.prepareCluster = func(c *fakeCluster) {
			time.AfterFunc(ready, func() { c.setSynced() })
		}
		r.start()
		test(t, r)
		r.finish()
	})
}

// A host that has been heard of and is forgotten goes at once, also while a new agent still trusts
// what was recorded of others.
func TestForgottenHostGoesFromNewAgent(t *testing.T) {
	withGossipAgent(t, func(t *testing.T, r *rig) {
		r.prepareCluster = func(c *fakeCluster) { c.synced = true; c.showQuietly(otherHost(11, "a"), otherHost(12, "b")) }
		if _, err := r.plugin.Setup(gossipAttachRequest(1, "")); err != nil {
			t.Fatal(err)
		}
		sleep(time.Second)
		r.cluster().show(otherHost(11, "a"))
		sleep(time.Second)
		l, err := r.kernel.HostNamespace().Link("vxlan-blue", kernel.FacetFDB)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(l.FDB); !strings.Contains(got, "198.18.0.11") || strings.Contains(got, "198.18.0.12") {
			t.Errorf("FDB %s", got)
		}
	})
}

// Where the agents of the other hosts are down too, a new agent finds nobody. Their containers
// still run, and are not cut off until unreachable hosts are forgotten.
func TestNewAgentKeepsPeersThatNobodyHasMentioned(t *testing.T) {
	withGossipAgent(t, func(t *testing.T, r *rig) {
		flood := func() string {
			l, err := r.kernel.HostNamespace().Link("vxlan-blue", kernel.FacetFDB)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(l.FDB)
		}
		if _, err := r.plugin.Setup(gossipAttachRequest(1, "")); err != nil {
			t.Fatal(err)
		}
		r.cluster().show(otherHost(11, "there"))
		sleep(time.Minute)
		want := flood()
		if !strings.Contains(want, "198.18.0.11") {
			t.Fatalf("at first: %s", want)
		}
		r.finish()
		r.start()
		sleep(time.Hour)
		if got := flood(); got != want {
			t.Errorf("after an hour with a new agent: %s, want %s", got, want)
		}
		r.cluster().show(unreachable(otherHost(11, "there")))
		sleep(time.Minute)
		r.cluster().show()
		sleep(time.Minute)
		if got := flood(); strings.Contains(got, "198.18.0.11") {
			t.Errorf("a host that was mentioned and has left: %s", got)
		}
		r.cluster().show(otherHost(11, "there"))
		sleep(time.Minute)
		r.finish()
		r.start()
		sleep(r.Config.ForgetAfter + time.Minute)
		r.kernelEvents <- struct{}{}
		sleep(time.Second)
		if got := flood(); strings.Contains(got, "198.18.0.11") {
			t.Errorf("a host whose time is over: %s", got)
		}
	})
}

// With its first container, a host finds the others and gets an address of its own. All of it is
// published.
func TestFirstContainerGetsAnAddressAndSoDoesTheHost(t *testing.T) {
	withGossipAgent(t, func(t *testing.T, r *rig) {
		began := time.Now()
		status, err := r.plugin.Setup(gossipAttachRequest(1, ""))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > ready+claimTime {
			t.Errorf("took %v", took)
		}
		addr := status.Interfaces["eth0"].Subnets[0].IPNet.Addr()
		r.storeChanged()
		sleep(time.Second)
		own := r.cluster().seen().own
		if claimed := r.cluster().seen().claimed; len(claimed) > 0 {
			t.Errorf("published, and still claimed: %v", claimed)
		}
		if len(own) != 1 || len(own[0].Endpoints) != 1 || len(own[0].HostAddrs) != 1 || !own[0].StaticFDB {
			t.Fatalf("published %+v", own)
		}
		if e := own[0].Endpoints[0]; !slices.Equal(e.Addrs, []netip.Addr{addr}) || e.MAC.IsZero() || e.Names[0] != "c1" {
			t.Errorf("published %+v of %v", e, addr)
		}
		bridge, err := r.kernel.HostNamespace().Link("br-blue", kernel.FacetAddrs)
		if err != nil || bridge.Addrs[0].Prefix.Addr() != own[0].HostAddrs[0] {
			t.Errorf("the host has %v, published %v, %v", bridge.Addrs, own[0].HostAddrs, err)
		}
	})
}

// A device that no agent knows answers on the wire. Its address is not picked, and refused if the
// user wants it.
func TestAddressThatAnswersOnTheWireIsNotAssigned(t *testing.T) {
	withGossipAgent(t, func(t *testing.T, r *rig) {
		status, err := r.plugin.Setup(gossipAttachRequest(1, ""))
		if err != nil {
			t.Fatal(err)
		}
		next := status.Interfaces["eth0"].Subnets[0].IPNet.Addr().Next()
		r.kernel.HostNamespace().ProbeAnswers = map[kernel.ProbeAnswer]netip.Addr{{Addr: next, MAC: kernel.MAC{2, 7}}: vtep(12)}
		status, err = r.plugin.Setup(gossipAttachRequest(2, ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := status.Interfaces["eth0"].Subnets[0].IPNet.Addr(); got == next {
			t.Errorf("got %v", got)
		}
		_, err = r.plugin.Setup(gossipAttachRequest(3, `, "static_ips": ["`+next.String()+`"]`))
		if err == nil || !strings.Contains(err.Error(), "is in use: 02:07:00:00:00:00 on host 198.18.0.12 answers for it; choose another --ip") {
			t.Errorf("got %v", err)
		}
	})
}

// Nothing of a refused container is published, or left on the host.
func TestAddressOfAnotherHostIsRefused(t *testing.T) {
	withGossipAgent(t, func(t *testing.T, r *rig) {
		if _, err := r.plugin.Setup(gossipAttachRequest(1, "")); err != nil {
			t.Fatal(err)
		}
		h := otherHost(11)
		h.Memberships[0].Endpoints = []cluster.Endpoint{{ContainerID: "x", Names: []string{"web"}, MAC: kernel.MAC{2}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.7")}}}
		c := r.cluster()
		c.showQuietly(h)
		_, err := r.plugin.Setup(gossipAttachRequest(2, `, "static_ips": ["10.0.0.7"]`))
		if err == nil || !strings.Contains(err.Error(), "address 10.0.0.7 of network blue is in use by container web on host") {
			t.Errorf("got %v", err)
		}
		r.storeChanged()
		sleep(time.Second)
		if own := c.seen().own; len(own[0].Endpoints) != 1 {
			t.Errorf("published %+v", own[0].Endpoints)
		}
		if err := r.plugin.Teardown(gossipAttachRequest(1, "")); err != nil {
			t.Error(err)
		}
		if links := r.kernel.HostNamespace().Links(); len(links) != 1 {
			t.Errorf("left %+v", links)
		}
	})
}

func TestAssignRefusesUnknownContainers(t *testing.T) {
	withGossipAgent(t, func(t *testing.T, r *rig) {
		for _, q := range []*agentapi.AssignRequest{nil, {}, {Network: "7c7b", Container: "c"}} {
			if got := r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbAssignAddresses, Assign: q}); got.Error == "" {
				t.Errorf("%+v: got %+v", q, got)
			}
		}
	})
}

// Hosts without a key that do not list each other go on alone, and must say so.
func TestHostThatIsAloneWarns(t *testing.T) {
	for _, tt := range []struct {
		name    string
		keyFile string
		members int
		broken  bool // another network is
		warns   bool
	}{
		{"alone", "", 1, false, true},
		{"not alone", "", 2, false, false},
		{"alone with a key", "/etc/vxlan/key", 1, false, true},
		{"alone beside a broken network", "", 1, true, true},
	} {
		withGossipAgent(t, func(t *testing.T, r *rig) {
			if tt.broken {
				dir := filepath.Join(r.Host.StoreDir, "networks", "other")
				err := os.MkdirAll(filepath.Join(dir, "endpoints"), 0o700)
				for _, name := range []string{"network.json", "endpoints/" + containerID(9) + ".json"} {
					err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o600))
				}
				if err != nil {
					t.Fatal(err)
				}
				r.Host.Warn = func(string) {} // of it
			}
			r.prepareCluster = func(c *fakeCluster) { c.synced, c.members = true, tt.members }
			r.Config.KeyFile, r.Config.Port = tt.keyFile, 9000
			if _, err := r.plugin.Setup(gossipAttachRequest(1, "")); err != nil {
				t.Fatal(err)
			}
			keyHint := strings.Contains(r.assignWarning, "Without a key_file")
			if (r.assignWarning != "") != tt.warns || tt.warns != strings.Contains(r.assignWarning, "that port 9000 is open") || keyHint != (tt.warns && tt.keyFile == "") {
				t.Errorf("%s: %q", tt.name, r.assignWarning)
			}
		})
	}
}

// A network by etcd has the plane of servers, beside that of a network by gossip. Without one, a container's
// start says what is missing.
func TestEtcdNetworkHasThePlaneOfServers(t *testing.T) {
	var noServers error
	withAgent(t, func(t *testing.T, r *rig) {
		r.plugin.Agent = assigningPluginSide{r: r}
		r.prepareCluster = func(c *fakeCluster) { c.synced = true }
		r.ServerPlane = cluster.Kind{Name: "etcd", Carries: etcdCarries, HasServers: true,
			New: func(bind netip.Addr) (cluster.Plane, error) {
				if noServers != nil {
					return nil, noServers
				}
				return r.newCluster(bind)
			}}
		r.start()
		ns, request := gossipAttachRequest(1, "")
		request.Network = bytes.Replace(request.Network, []byte(`"gossip"`), []byte(`"etcd"`), 1)
		noServers = errors.New("discovery=etcd needs a section [etcd]")
		if _, err := r.plugin.Setup(ns, request); err == nil || !strings.Contains(err.Error(), noServers.Error()) ||
			strings.Contains(err.Error(), "is not recorded") {
			t.Errorf("got %v", err)
		}
		noServers = nil
		if _, err := r.plugin.Setup(ns, request); err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		planes := slices.Collect(maps.Keys(r.planes))
		r.mu.Unlock()
		if len(planes) != 1 || planes[0].IsValid() {
			t.Errorf("planes by %v", planes)
		}
		if c := r.report(false).Clusters[0]; c.Name != "etcd" || c.Revision != 40 || c.RevisionsBehind != 2 {
			t.Errorf("status: %+v", c)
		}
		r.finish()
	})
}

var etcdCarries = cluster.Capabilities{Members: true, ExactForwarding: true, Owners: true, Names: true}
