package gossip

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// A host with more containers than it can announce, or longer names, announces what fits. Its
// claims go on: each one is seen by the others, as if nothing were left out. What it announced
// stays, and no other host gets an address of what is left out.
func TestHostBeyondLimitStillClaims(t *testing.T) {
	for name, tt := range map[string]struct{ containers, nameLength int }{
		"too many containers": {cluster.MaxEndpoints + 100, 12},
		"too many bytes":      {3000, 240},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, n *memnet) {
				a, b := startHost(t, n, 1), startHost(t, n, 2)
				b.announce()
				m := wiretest.Membership(hostAddr(1).Addr())
				for i := range tt.containers {
					label := fmt.Sprintf("c%06d", i)
					m.Endpoints = append(m.Endpoints, cluster.Endpoint{
						ContainerID: label, Names: []string{longName(label, tt.nameLength)},
						Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})},
					})
				}
				set := func() {
					t.Helper()
					err := a.Set(cluster.Local{Memberships: []cluster.Membership{m}})
					omitted, ok := errors.AsType[cluster.OmittedError](err)
					if !ok || omitted.Claims || len(omitted.Reasons) != 1 {
						t.Fatalf("got %v", err)
					}
				}
				set()
				waitForSnapshot(t, b.Plane, func(s cluster.Snapshot) bool { return countEndpointsOf(s, "host-1") > 1000 })
				known := countEndpointsOf(b.Snapshot(), "host-1")
				if h, _ := b.Snapshot().Find("host-1"); h.Memberships[0].StaticFDB {
					t.Error("it says that it announces all MACs")
				}
				for i := range 5 {
					claim := cluster.Endpoint{ContainerID: fmt.Sprint("a-claim", i), Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 2, 0, byte(i)})}}
					m.Endpoints = append(m.Endpoints, claim)
					set()
					waitForSnapshot(t, b.Plane, func(s cluster.Snapshot) bool { return announces(s, claim.ContainerID) })
				}
				for _, e := range m.Endpoints {
					if announces(b.Snapshot(), e.ContainerID) {
						continue
					}
					taken, err := b.Claim(t.Context(), wiretest.Network, "x", e.Addrs)
					if err != nil || taken[e.Addrs[0]].ContainerID != e.ContainerID {
						t.Errorf("claim of an address of %s, which is left out: taken %v, %v", e.ContainerID, taken, err)
					}
					break
				}
				if now := countEndpointsOf(b.Snapshot(), "host-1"); now < known-10 || now > cluster.MaxEndpoints {
					t.Errorf("%d containers are known, then %d", known, now)
				}
				if len(b.Health().Refused) != 0 {
					t.Errorf("refused: %+v", b.Health().Refused)
				}
				if size := recordSize(b, hostKey(1)); size > wire.MaxRecord {
					t.Errorf("the record has %d bytes", size)
				}
			})
		})
	}
}

// longName is a name of so many bytes, in labels of at most 63.
func longName(label string, length int) string {
	name := label
	for len(name) < length {
		name += "." + strings.Repeat("x", min(60, length-len(name)))
	}
	return name
}

func announces(s cluster.Snapshot, containerID string) bool {
	for _, h := range s.Hosts {
		for _, m := range h.Memberships {
			for _, e := range m.Endpoints {
				if e.ContainerID == containerID {
					return true
				}
			}
		}
	}
	return false
}

func recordSize(h *host, of wire.Key) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, _ := h.replica.Record(of, h.aloneSince)
	return len(r.Raw)
}
