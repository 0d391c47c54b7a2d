package gossip

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/guard"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

func nodeAt(i int) memberlist.Node {
	return memberlist.Node{Name: hostName(i), Addr: hostAddr(i).Addr().AsSlice(), Port: hostAddr(i).Port()}
}

// A host that takes no streams costs one goroutine and a bounded number of messages, of which the
// newest are kept. Others get theirs meanwhile.
func TestStreamQueuesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		got := make(map[string][]byte) // the first byte of each message
		stuck := make(chan struct{})
		q := newStreamQueues(func(e envelope) {
			if e.to.Name == hostName(1) {
				<-stuck
			}
			mu.Lock()
			defer mu.Unlock()
			got[e.to.Name] = append(got[e.to.Name], e.data[0])
		})
		before := runtime.NumGoroutine()
		const count = 200
		for i := range byte(count) {
			q.Add(t.Context(), envelope{nodeAt(1), make([]byte, 1000)})
			q.byAddr[nodeAddrString(1)][len(q.byAddr[nodeAddrString(1)])-1].data[0] = i
		}
		for i := range byte(10) {
			q.Add(t.Context(), envelope{nodeAt(2), []byte{i}})
		}
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > 2 {
			t.Errorf("%d goroutines", n)
		}
		mu.Lock()
		if want := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}; !slices.Equal(got[hostName(2)], want) {
			t.Errorf("the other host got %v", got[hostName(2)])
		}
		mu.Unlock()
		if q.bytes != 1000*maxStreamsQueued || q.Dropped() != count-maxStreamsQueued {
			t.Errorf("%d bytes wait, %d messages were dropped", q.bytes, q.Dropped())
		}
		close(stuck)
		q.Wait()
		first := got[hostName(1)]
		if len(first) != maxStreamsQueued || first[0] != 0 || first[1] != count-maxStreamsQueued+1 || first[len(first)-1] != count-1 {
			t.Errorf("the stuck host got %v", first)
		}
		if q.bytes != 0 || len(q.holders) != 0 || len(q.byAddr) != 0 {
			t.Errorf("left: %d bytes, %d messages, %d hosts", q.bytes, len(q.holders), len(q.byAddr))
		}
	})
}

func nodeAddrString(i int) string {
	n := nodeAt(i)
	return n.Address()
}

// One message to a thousand hosts counts once. Messages of their own are bounded in all.
func TestStreamQueuesBoundBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		stuck := make(chan struct{})
		q := newStreamQueues(func(envelope) { <-stuck })
		record := make([]byte, 512<<10)
		for i := range 1000 {
			q.Add(ctx, envelope{nodeAt(i + 1), record})
		}
		if q.bytes != len(record) || q.Dropped() != 0 {
			t.Errorf("%d bytes, %d dropped", q.bytes, q.Dropped())
		}
		for i := range 1000 {
			q.Add(ctx, envelope{nodeAt(i + 1), make([]byte, 512<<10)})
		}
		if q.bytes > maxStreamBytes || q.Dropped() == 0 {
			t.Errorf("%d bytes, %d dropped", q.bytes, q.Dropped())
		}
		cancel()
		close(stuck)
		q.Wait()
		if q.bytes != 0 {
			t.Errorf("%d bytes are left", q.bytes)
		}
	})
}

// A host of which only packets arrive gets long records as before, once its streams pass again.
func TestLongRecordsToHostThatHangs(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b := startHost(t, n, 1), startHost(t, n, 2)
		names := func(i int) (names []string) {
			for k := range 200 {
				names = append(names, hostName(1000*i+k))
			}
			return names
		}
		b.announce("b")
		a.announce(names(1)...)
		b.waitUntilKnows(3*second, wantRecord(a, names(1)))
		for range maxStreamsSending { // no stream is free
			a.outbox.streams.tokens <- struct{}{}
		}
		for i := range 200 {
			a.announce(names(i)...)
			time.Sleep(2 * publishInterval)
		}
		if s := a.Stats(); s.Dropped == 0 || a.outbox.streams.bytes > maxStreamBytes {
			t.Errorf("%+v", s)
		}
		for range maxStreamsSending {
			<-a.outbox.streams.tokens
		}
		b.waitUntilKnows(guard.StreamTimeout, wantRecord(a, names(199)))
	})
}

func wantRecord(h *host, names []string) string {
	m := wiretest.Membership(h.cfg.Bind.Addr(), names...)
	s := cluster.Snapshot{Hosts: []*cluster.Host{{Name: h.cfg.Host.Name(), Memberships: []cluster.Membership{m}}}}
	return (&host{Plane: &Plane{snapshot: s}}).sees()
}
