package etcd

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"vxlan-driver/internal/cluster"
)

// Whoever gives up another plane has to know that etcd has all of this host, and gives none of its
// addresses to others.
func TestUnpublished(t *testing.T) {
	servers := startServers(t, 1)
	servers.connect(t)
	a, b := startHost(t, 1, servers.urls()), startHost(t, 2, servers.urls())
	if got := a.Unpublished(blue); got != nil {
		t.Errorf("before the first Set: %q", got)
	}
	a.add("a1", "10.0.0.2")
	if got := a.Unpublished(blue); len(got) != 1 {
		t.Errorf("just after Set: %q", got)
	}
	eventually(t, "all is published", func() bool { return a.Unpublished(blue) == nil })
	b.add("b1", "10.0.0.2")
	b.add("b2", "10.0.0.3")
	eventually(t, "all but the address of another is published", func() bool {
		got := b.Unpublished(blue)
		return len(got) == 1 && strings.Contains(got[0],
			"address 10.0.0.2 of the network of VNI 42 is that of container b1 here, "+
				"and was given to container name-a1 on host host-1")
	})
	b.remove("b1")
	eventually(t, "nothing is contested any more", func() bool { return b.Unpublished(blue) == nil })
	servers[0].Kill()
	a.add("a2", "10.0.0.4")
	eventually(t, "etcd is away", func() bool {
		got := a.Unpublished(blue)
		return len(got) == 1 && strings.Contains(got[0], "etcd does not answer")
	})
}

// Containers that start at once do not wait for each other, but for their host's part in the network. Once etcd does
// not answer nothing more is begun.
func TestChangesAreMadeAtOnce(t *testing.T) {
	hostOf := func(vni uint32) change {
		return change{recordKey: recordKey{network: cluster.NetworkKey{VNI: vni, Port: 4789}}}
	}
	changes := []change{hostOf(1)}
	for i := range changesAtOnce + 1 {
		changes = append(changes, change{recordKey: recordKey{blue, fmt.Sprint(i)}})
	}
	changes = append(changes, hostOf(2))
	var mu sync.Mutex
	var hosts, containers int
	all := make(chan struct{}) // is closed when so many are under way
	refused, away := errors.New("refused"), status.Error(codes.Unavailable, "away")
	err := makeChanges(changes, func(c change) error {
		mu.Lock()
		if c.container == "" {
			hosts++
			mu.Unlock()
			return nil
		}
		if containers++; containers == changesAtOnce {
			close(all)
		}
		if hosts != 2 {
			t.Error("a container's change began before those of its host")
		}
		mu.Unlock()
		select {
		case <-all:
		case <-time.After(time.Minute):
			t.Error("the others are not under way")
		}
		if c.container == "0" {
			return away
		}
		return refused
	})
	if !errors.Is(err, away) || !errors.Is(err, refused) || containers != changesAtOnce {
		t.Errorf("%d changes of containers were begun: %v", containers, err)
	}
}
