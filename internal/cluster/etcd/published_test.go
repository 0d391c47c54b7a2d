package etcd

import (
	"strings"
	"testing"
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
