package addresstest

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// No two of 180 containers on three hosts have the same address, and every container reaches every
// other.
func testSixtyContainersStartAtOnceOnEachHost(t *testing.T, p labtest.Plane) {
	const each = 60
	l := p.Start(t, lab.Config{Hosts: 3})
	// A /24 in three parts has room for 62 containers each, less the host's own and the gateway's.
	p.CreateOn(t, l.Hosts(), "net", "--opt vni=9 --subnet 10.1.0.0/24")
	began := time.Now()
	var wait sync.WaitGroup
	errs := make([]error, len(l.Hosts()))
	for i, h := range l.Hosts() {
		wait.Go(func() {
			_, errs[i] = h.Sh(t.Context(), fmt.Sprintf("seq %d | xargs -P %d -I{} podman run -d --name c{} --network net localhost/web >/dev/null", each, each))
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("started %d containers in %v", each*len(errs), time.Since(began))

	var nodes []*node
	holder := map[netip.Addr]string{}
	for _, h := range l.Hosts() {
		out := labtest.Sh(t, h, `podman inspect -f '{{.Name}} {{.NetworkSettings.SandboxKey}} {{(index .NetworkSettings.Networks "net").IPAddress}}' $(podman ps -q)`)
		for line := range strings.Lines(out) {
			f := strings.Fields(line)
			name, addr := h.Name()+"/"+f[0], netip.MustParseAddr(f[2])
			if other, taken := holder[addr]; taken {
				t.Errorf("%s is both %s's and %s's", addr, other, name)
			}
			holder[addr] = name
			nodes = append(nodes, newNode(t, name, h.Path(f[1]), addr))
		}
	}
	if len(nodes) != each*len(l.Hosts()) {
		t.Fatalf("%d containers run", len(nodes))
	}
	began = time.Now()
	before := readLosses(t)
	if err := pingAllPairs(nodes); err != nil {
		t.Error(err)
	}
	t.Log(readLosses(t).textSince(before))
	t.Logf("%d pairs asked and answered in %v", len(nodes)*(len(nodes)-1), time.Since(began))
}
