package etcd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	clientv3 "go.etcd.io/etcd/client/v3"

	"vxlan-driver/internal/cluster/etcd/record"
)

// operation is what somebody did with an address.
type operation struct {
	kind      string // claim, release or read
	addr      string
	container string // who claims or releases
	// isUnknown: nobody knows whether it was done, or will be.
	isUnknown bool
}

// addressModel is what an address is to be: held by one container at most, which got it while it was free.
// The state is who holds it, the output who held it before a claim that lost, or when it was read.
var addressModel = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byAddr := make(map[string][]porcupine.Operation)
		for _, o := range history {
			addr := o.Input.(operation).addr
			byAddr[addr] = append(byAddr[addr], o)
		}
		var all [][]porcupine.Operation
		for _, part := range byAddr {
			all = append(all, part)
		}
		return all
	},
	Init: func() []any { return []any{""} },
	Step: func(state, input, output any) (next []any) {
		for _, holder := range stepAddress(state.(string), input.(operation), output.(string)) {
			next = append(next, holder)
		}
		return next
	},
}

// stepAddress returns who may hold an address after an operation; nobody: it cannot have been so.
func stepAddress(holder string, o operation, output string) []string {
	switch {
	case o.kind == "claim" && o.isUnknown && holder == "":
		return []string{"", o.container}
	case o.kind == "claim" && o.isUnknown, o.kind == "release" && o.isUnknown && holder != o.container:
		return []string{holder}
	case o.kind == "claim" && output == "" && holder == "":
		return []string{o.container}
	case o.kind == "claim" && output != "" && holder == output:
		return []string{holder}
	case o.kind == "release" && holder == o.container:
		return []string{""}
	case o.kind == "read" && output == holder:
		return []string{holder}
	}
	return nil
}

// history collects operations from many goroutines.
type history struct {
	began time.Time
	mu    sync.Mutex
	all   []porcupine.Operation
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

func (h *history) add(client int, o operation, call int64, output string, end int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, porcupine.Operation{ClientId: client, Input: o, Call: call, Output: output, Return: end})
}

// forever is the end of what may happen at any later time.
const forever = int64(time.Hour)

// claimer claims addresses and gives them up, on one host.
type claimer struct {
	*testHost
	t       *testing.T
	client  *clientv3.Client
	history *history
	number  int
	counts  *sync.Map
}

// owner reads who has an address, once etcd answers.
func (c *claimer) owner(addr string) (holder string, call int64) {
	for {
		call = c.history.now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		resp, err := c.client.Get(ctx, c.keys.Address(blue, netip.MustParseAddr(addr)))
		cancel()
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		if len(resp.Kvs) == 0 {
			return "", call
		}
		return record.DecodeOwner(resp.Kvs[0].Value).ContainerID, call
	}
}

// run claims addresses until it is told to end.
func (c *claimer) run(done <-chan struct{}, addrs []string) {
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
		}
		addr, container := addrs[rand.IntN(len(addrs))], fmt.Sprintf("%064x", c.number<<32+i)
		o, call := operation{kind: "claim", addr: addr, container: container}, c.history.now()
		taken, err := c.claim(container, addr)
		end := c.history.now()
		switch {
		case err != nil:
			o.isUnknown = true
			c.history.add(c.number, o, call, "", forever)
			c.history.add(c.number, operation{"release", addr, container, true}, end, "", forever)
			c.count("unknown")
		case taken.ContainerID != "":
			c.history.add(c.number, o, call, taken.ContainerID, end)
			c.count("taken")
			time.Sleep(rand.N(10 * time.Millisecond))
		default:
			c.history.add(c.number, o, call, "", end)
			c.count("granted")
			c.useAndRelease(addr, container)
		}
	}
}

func (c *claimer) useAndRelease(addr, container string) {
	time.Sleep(rand.N(30 * time.Millisecond))
	holder, call := c.owner(addr)
	c.history.add(c.number, operation{kind: "read", addr: addr}, call, holder, c.history.now())
	call = c.history.now()
	c.Release(blue, container)
	for holder == container {
		holder, _ = c.owner(addr)
		time.Sleep(2 * time.Millisecond)
	}
	c.history.add(c.number, operation{kind: "release", addr: addr, container: container}, call, "", c.history.now())
}

func (c *claimer) count(what string) {
	n, _ := c.counts.LoadOrStore(what, new(int))
	c.history.mu.Lock()
	defer c.history.mu.Unlock()
	*n.(*int)++
}

// Three hosts claim a few addresses and give them up, while leaders are killed, etcd is compacted, a host is
// cut off for longer than its lease, and all servers are killed. No address is ever held twice, and none is
// lost.
func TestClaimsAreLinearizable(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 3)
	client := servers.connect(t)
	gate := startProxy(t, servers[0].ClientURL)
	h, counts := &history{began: time.Now()}, new(sync.Map)
	done := make(chan struct{})
	var workers sync.WaitGroup
	addrs := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}
	for i := range 3 {
		urls := servers.urls()
		if i == 2 {
			urls = []string{"http://" + gate.listener.Addr().String()}
		}
		host := startHost(t, i+1, urls)
		host.join()
		host.awaitSynced()
		for j := range 3 {
			c := claimer{testHost: host, t: t, client: client, history: h, number: 3*i + j, counts: counts}
			workers.Go(func() { c.run(done, addrs) })
		}
	}
	breakServers(t, servers, client, gate)
	close(done)
	workers.Wait()
	for what, n := range counts.Range {
		t.Log(what, *n.(*int))
	}
	for _, what := range []string{"granted", "taken", "unknown"} {
		if _, ok := counts.Load(what); !ok {
			t.Errorf("no claim was %s: the test tests too little", what)
		}
	}
	if got := porcupine.CheckOperationsTimeout(addressModel.ToModel(), h.all, 20*time.Second); got != porcupine.Ok {
		t.Errorf("the history of %d operations is %v", len(h.all), got)
	}
	// What nobody knew the end of is given up in the end.
	eventually(t, "all addresses are free", func() bool {
		for key := range dump(t, client) {
			if strings.Contains(key, "/addresses/") {
				return false
			}
		}
		return true
	})
}

// breakServers does to etcd what can happen to it.
func breakServers(t *testing.T, servers etcdServers, client *clientv3.Client, gate *gate) {
	t.Helper()
	time.Sleep(time.Second)
	for range 2 {
		leader := servers.leader(t, client)
		servers[leader].Kill()
		time.Sleep(2 * time.Second)
		servers[leader].Start()
		time.Sleep(time.Second)
	}
	servers.await(t, client)
	resp, err := client.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Compact(t.Context(), resp.Header.Revision); err != nil {
		t.Fatal(err)
	}
	gate.shut()
	time.Sleep(5 * time.Second) // the host's lease takes 3 s
	gate.reopen()
	time.Sleep(time.Second)
	servers.killAll()
	time.Sleep(time.Second)
	servers.startAll()
	servers.await(t, client)
	time.Sleep(time.Second)
}

// The check finds what it is for.
func TestHistoryOfATwiceHeldAddressIsRefused(t *testing.T) {
	claim := func(container string, from, to int64) porcupine.Operation {
		o := operation{kind: "claim", addr: "a", container: container}
		return porcupine.Operation{Input: o, Output: "", Call: from, Return: to}
	}
	if porcupine.CheckOperations(addressModel.ToModel(), []porcupine.Operation{claim("x", 0, 1), claim("y", 2, 3)}) {
		t.Error("an address that is held twice is accepted")
	}
	lost := porcupine.Operation{Input: operation{kind: "read", addr: "a"}, Output: "", Call: 2, Return: 3}
	if porcupine.CheckOperations(addressModel.ToModel(), []porcupine.Operation{claim("x", 0, 1), lost}) {
		t.Error("an address that is lost is accepted")
	}
}
