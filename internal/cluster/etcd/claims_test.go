package etcd

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// Of many claims of two hosts at once each host sees all of the other's, though the leader is killed
// meanwhile. Who waits for that takes the signal before the snapshot: else the last change may come between the
// two, and none comes after it.
func TestClaimsOfBothHostsAreSeen(t *testing.T) {
	t.Parallel()
	const each = 100
	servers := startServers(t, 3)
	client := servers.connect(t)
	looking := func(c *Config) { c.verifyInterval = 10 * time.Millisecond }
	hosts := []*testHost{startHost(t, 1, servers.urls(), looking), startHost(t, 2, servers.urls(), looking)}
	var claims sync.WaitGroup
	for i, h := range hosts {
		h.join()
		h.awaitSynced()
		claims.Go(func() {
			for j := range each {
				addr := netip.AddrFrom4([4]byte{10, 0, byte(i), byte(j)}).String()
				eventually(t, "address "+addr+" is claimed", func() bool { // a claim fails without a leader
					holder, err := h.claim(fmt.Sprintf("%064x", i*each+j+1), addr)
					return err == nil && holder.ContainerID == ""
				})
			}
		})
	}
	servers[servers.leader(t, client)].Kill()
	claims.Wait()
	deadline := time.After(time.Minute)
	for _, h := range hosts {
		for {
			changed, seen := h.Changed(), 0
			for _, m := range h.Snapshot().Members(blue) {
				seen += len(m.Endpoints)
			}
			if seen == each {
				break
			}
			select {
			case <-changed:
			case <-deadline:
				t.Fatalf("host %d sees %d claims of the other: %+v, %d keys", h.number, seen, h.Health(), len(dump(t, client)))
			}
		}
		// One server may lag behind another.
		h.withLock(func() {
			if h.restores > 0 {
				t.Errorf("host %d has seen %d restores of a backup, and there was none", h.number, h.restores)
			}
		})
	}
}
