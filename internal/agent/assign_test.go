package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/netavark"
)

// asking is the plugin's side of an agent in the same process.
type asking struct {
	idleAgent
	r *rig
}

func (p asking) AssignAddresses(network, container string, wanted []netip.Addr) ([]netip.Addr, error) {
	answer := p.r.handle(p.r.t.Context(), agentapi.Request{Verb: agentapi.VerbAssignAddresses, Assign: &agentapi.AssignRequest{
		Network: network, Container: container, Wanted: wanted,
	}})
	p.r.order.Lock() // see rig
	defer p.r.order.Unlock()
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	return answer.Addrs, nil
}

// found is a container on a network whose hosts find each other.
func found(i int, options string) (string, netavark.Request) {
	ns, q := request(i)
	q.Network = json.RawMessage(strings.Replace(testNetwork, `"remote_ips": "198.18.0.11,198.18.0.12"`, `"discovery": "gossip"`, 1))
	q.Options = json.RawMessage(`{"interface_name": "eth0"` + options + `}`)
	return ns, q
}

// finders runs a test with an agent that picks addresses, and has just been started.
func finders(t *testing.T, test func(*testing.T, *rig)) {
	bubble(t, func(t *testing.T, r *rig) {
		r.podman.Agent = asking{r: r}
		r.prepare = func(c *fakeCluster) {
			c.ready = make(chan struct{})
			time.AfterFunc(3*time.Millisecond, func() { close(c.ready) })
		}
		r.start()
		test(t, r)
		r.finish()
	})
}

// Where the agents of the other hosts are down too, a new agent finds nobody. Their containers
// still run, and are not cut off before hosts that do not answer are forgotten.
func TestNewAgentKeepsHostsThatNobodyHasHeardOf(t *testing.T) {
	finders(t, func(t *testing.T, r *rig) {
		flood := func() string {
			l, err := r.kernel.HostNamespace().Link("vxlan-blue", kernel.FacetFDB)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(l.FDB)
		}
		if _, err := r.podman.Setup(found(1, "")); err != nil {
			t.Fatal(err)
		}
		r.cluster().show(true, "there")
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
		r.cluster().show(false, "there")
		sleep(time.Minute)
		r.cluster().goes()
		sleep(time.Minute)
		if got := flood(); strings.Contains(got, "198.18.0.11") {
			t.Errorf("a host that was heard of and has left: %s", got)
		}
		r.cluster().show(true, "there")
		sleep(time.Minute)
		r.finish()
		r.start()
		sleep(r.Config.ForgetAfter + time.Minute)
		r.drift <- struct{}{}
		sleep(time.Second)
		if got := flood(); strings.Contains(got, "198.18.0.11") {
			t.Errorf("a host that is to be forgotten: %s", got)
		}
	})
}

// The first container of a host has the agent find the others, gets an address, and the
// host gets one of its own; all of it is told to the others.
func TestAFirstContainerGetsAnAddress(t *testing.T) {
	finders(t, func(t *testing.T, r *rig) {
		began := time.Now()
		status, err := r.podman.Setup(found(1, ""))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 3*time.Millisecond+objection {
			t.Errorf("took %v", took)
		}
		addr := status.Interfaces["eth0"].Subnets[0].IPNet.Addr()
		r.changed()
		sleep(time.Second)
		own := r.cluster().seen().own
		if len(own) != 1 || len(own[0].Endpoints) != 1 || len(own[0].HostAddrs) != 1 || !own[0].StaticFDB {
			t.Fatalf("tells %+v", own)
		}
		if e := own[0].Endpoints[0]; !slices.Equal(e.Addrs, []netip.Addr{addr}) || e.MAC.IsZero() || e.Names[0] != "c1" {
			t.Errorf("tells %+v of %v", e, addr)
		}
		bridge, err := r.kernel.HostNamespace().Link("br-blue", kernel.FacetAddrs)
		if err != nil || bridge.Addrs[0].Prefix.Addr() != own[0].HostAddrs[0] {
			t.Errorf("the host has %v, tells %v, %v", bridge.Addrs, own[0].HostAddrs, err)
		}
		if len(r.claims.held) > 0 {
			t.Errorf("still claims %v", r.claims.held)
		}
	})
}

// Whom no agent knows is heard on the wire; what he has is not taken, and refused if the user
// wants it.
func TestAnAddressThatTheWireHasIsNotTaken(t *testing.T) {
	finders(t, func(t *testing.T, r *rig) {
		status, err := r.podman.Setup(found(1, ""))
		if err != nil {
			t.Fatal(err)
		}
		next := status.Interfaces["eth0"].Subnets[0].IPNet.Addr().Next()
		r.kernel.HostNamespace().ProbeAnswers = map[kernel.ProbeAnswer]netip.Addr{{Addr: next, MAC: kernel.MAC{2, 7}}: vtep(12)}
		status, err = r.podman.Setup(found(2, ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := status.Interfaces["eth0"].Subnets[0].IPNet.Addr(); got == next {
			t.Errorf("got %v", got)
		}
		_, err = r.podman.Setup(found(3, `, "static_ips": ["`+next.String()+`"]`))
		if err == nil || !strings.Contains(err.Error(), "is in use: 02:07:00:00:00:00 on host 198.18.0.12 answers for it; choose another --ip") {
			t.Errorf("got %v", err)
		}
	})
}

// What another host has is refused, and nothing is told or left of the container.
func TestAnAddressOfAnotherHostIsRefused(t *testing.T) {
	finders(t, func(t *testing.T, r *rig) {
		if _, err := r.podman.Setup(found(1, "")); err != nil {
			t.Fatal(err)
		}
		h := other(11)
		h.Memberships[0].Endpoints = []cluster.Endpoint{{ContainerID: "x", Names: []string{"web"}, MAC: kernel.MAC{2}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.7")}}}
		c := r.cluster()
		c.mu.Lock()
		c.shown = cluster.Snapshot{Hosts: []cluster.Host{h}}
		c.mu.Unlock()
		_, err := r.podman.Setup(found(2, `, "static_ips": ["10.0.0.7"]`))
		if err == nil || !strings.Contains(err.Error(), "address 10.0.0.7 of network blue is in use by container web on host") {
			t.Errorf("got %v", err)
		}
		r.changed()
		sleep(time.Second)
		if own := c.seen().own; len(own[0].Endpoints) != 1 {
			t.Errorf("tells %+v", own[0].Endpoints)
		}
		if err := r.podman.Teardown(found(1, "")); err != nil {
			t.Error(err)
		}
		if links := r.kernel.HostNamespace().Links(); len(links) != 1 {
			t.Errorf("left %+v", links)
		}
	})
}

func TestAnAssignmentForNobodyIsRefused(t *testing.T) {
	finders(t, func(t *testing.T, r *rig) {
		for _, q := range []*agentapi.AssignRequest{nil, {}, {Network: "7c7b", Container: "c"}} {
			if got := r.handle(t.Context(), agentapi.Request{Verb: agentapi.VerbAssignAddresses, Assign: q}); got.Error == "" {
				t.Errorf("%+v: got %+v", q, got)
			}
		}
	})
}
