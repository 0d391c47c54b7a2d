package etcdtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// operation is what was done with an address: claim, read or release.
type operation struct{ kind, addr, container string }

// addresses is the model of a network's addresses. The state is who holds one, "" nobody. A start that
// failed is not in a history: what it held for a while it can only have kept from others.
var addresses = porcupine.Model{
	Partition: func(all []porcupine.Operation) (parts [][]porcupine.Operation) {
		byAddr := make(map[string][]porcupine.Operation)
		for _, o := range all {
			addr := o.Input.(operation).addr
			byAddr[addr] = append(byAddr[addr], o)
		}
		for _, part := range byAddr {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		holder, o := state.(string), input.(operation)
		switch o.kind {
		case "claim":
			return holder == "", o.container
		case "release":
			return holder == o.container, ""
		}
		return output.(string) == holder, holder
	},
}

// history collects what was done on all hosts.
type history struct {
	began time.Time

	mu     sync.Mutex
	all    []porcupine.Operation
	failed int // starts
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

func (h *history) add(client int, o operation, call int64, output string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, porcupine.Operation{ClientId: client, Input: o, Call: call, Output: output, Return: h.now()})
}

// claimLimit is for all that one host does.
const claimLimit = 8 * time.Minute

// run starts containers on a host until so many had an address, and removes each. All hosts want a few of
// the addresses again and again.
func (h *history) run(t *testing.T, e *labtest.EtcdServers, host *lab.Host, client, count int) {
	for granted, i := 0, 0; granted < count; i++ {
		if h.now() > int64(claimLimit) {
			t.Errorf("%s has had %d addresses within %v", host.Name(), granted, claimLimit)
			return
		}
		name, flags := fmt.Sprintf("w%d-%d", client, i), ""
		if i%3 == 0 {
			flags = fmt.Sprintf("--ip 10.0.0.%d", 200+rand.IntN(3))
		}
		call := h.now()
		id, err := host.Sh(t.Context(), "podman run -d --name "+name+" --network net "+flags+" localhost/busybox sleep 1000")
		if err != nil {
			if !strings.Contains(err.Error(), "is in use by") {
				t.Logf("%s: %v", host.Name(), err)
			}
			h.mu.Lock()
			h.failed++
			h.mu.Unlock()
			labtest.Sh(t, host, "podman rm -f -t0 "+name)
			continue
		}
		granted++
		addr := labtest.Address(t, host, name, "net")
		h.add(client, operation{"claim", addr, id}, call, "")
		h.useAndRelease(t, e, host, client, operation{"", addr, id})
	}
}

// useAndRelease reads who has the address, removes the container, and waits until the address is free or
// another's.
func (h *history) useAndRelease(t *testing.T, e *labtest.EtcdServers, host *lab.Host, client int, o operation) {
	o.kind = "read"
	holder, call := h.read(t, e, host, o.addr)
	h.add(client, o, call, holder)
	o.kind = "release"
	call = h.now()
	labtest.Sh(t, host, "podman rm -f -t0 "+o.container)
	for holder == o.container && h.now() < int64(claimLimit) {
		holder, _ = h.read(t, e, host, o.addr)
	}
	h.add(client, o, call, "")
}

// read returns which container etcd says has an address, once it answers.
func (h *history) read(t *testing.T, e *labtest.EtcdServers, host *lab.Host, addr string) (holder string, call int64) {
	for h.now() < int64(claimLimit) {
		call = h.now()
		out, err := host.Sh(t.Context(), e.Ctl("get --print-value-only /vxlan/v1/networks/100-4789/addresses/"+addr))
		if err == nil {
			_, rest, _ := strings.Cut(out, `"container":"`)
			holder, _, _ = strings.Cut(rest, `"`)
			return holder, call
		}
	}
	t.Errorf("etcd does not answer on %s", host.Name())
	return "", call
}

// The check finds what it is for.
func TestHistoryOfATwiceHeldAddressIsRefused(t *testing.T) {
	held := porcupine.Operation{Input: operation{"claim", "a", "x"}, Output: "", Call: 0, Return: 1}
	for what, next := range map[string]operation{"held twice": {"claim", "a", "y"}, "lost": {"read", "a", "x"}} {
		second := porcupine.Operation{Input: next, Output: "", Call: 2, Return: 3}
		if porcupine.CheckOperations(addresses, []porcupine.Operation{held, second}) {
			t.Errorf("an address that is %s is accepted", what)
		}
	}
}
