package etcdtest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// isLong tells whether faults are tried at length, as `make etcd-faults` does.
var isLong = os.Getenv("ETCD_FAULTS") != ""

// startThree starts three hosts, each with a member of an etcd that wants certificates, and a container
// that stays.
func startThree(t *testing.T) (*lab.Lab, *labtest.EtcdServers) {
	t.Helper()
	l := labtest.Start(t, lab.Config{Hosts: 3, Binaries: append(labtest.EtcdPrograms(t), labtest.Binary(t, "vxlanctl"))})
	e := labtest.StartEtcd(t, l.Hosts()...)
	labtest.Each(t, l.Hosts(), func(h *lab.Host) {
		e.Configure(h, "lease = \"5s\"\n")
		labtest.Sh(t, h, create+"; podman run -d --name stays-"+h.Name()+" --network net localhost/web")
	})
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, h := range l.Hosts() {
			// The test's context has ended.
			log, err := h.Sh(context.Background(), "cat /run/vxlan/vxland.log; vxlanctl status; cat /var/lib/etcd-of-lab/log")
			t.Logf("%s: agent, and etcd:\n%s\n%v", h.Name(), log, err)
		}
	})
	return l, e
}

// wantWhole fails unless all three hosts' containers that stay reach each other, each by its name, and
// status finds nothing wrong with etcd.
func wantWhole(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, h := range l.Hosts() {
		for _, other := range l.Hosts() {
			labtest.Within(t, 20*time.Second, h, "podman exec stays-$(hostname) ping -c1 -W1 stays-"+other.Name())
		}
		labtest.Within(t, 20*time.Second, h, "vxlanctl status >/tmp/status; grep '^all is well' /tmp/status; ! grep "+
			"unreachable /tmp/status")
	}
}

// ownersOf is a script that prints each address that etcd has of a network's containers, with the
// container, both sorted.
func ownersOf(e *labtest.EtcdServers) string {
	return e.Ctl("get --prefix /vxlan/v1/networks/100-4789/addresses/") +
		` | sed -n 's,.*/,,; N; s/\n.*"container":"\([0-9a-f]*\)".*/ \1/p' | sort`
}

// wantOwners fails unless etcd has the addresses that Podman has given to containers, and no others.
func wantOwners(t *testing.T, l *lab.Lab, e *labtest.EtcdServers) {
	t.Helper()
	const given = "podman inspect -f '{{.NetworkSettings.Networks.net.IPAddress}} {{.Id}}' $(podman ps -q)"
	var all []string
	for _, h := range l.Hosts() {
		all = append(all, labtest.Sh(t, h, given))
	}
	labtest.Within(t, 20*time.Second, l.Hosts()[0], fmt.Sprintf("printf '%%s\\n' '%s' | sort >/tmp/want; "+
		"%s >/tmp/got; diff /tmp/want /tmp/got", strings.Join(all, "\n"), ownersOf(e)))
}

// Three hosts start containers and remove them while the leader is killed again and again. In the history
// of that, no address is held twice, and none is lost.
func TestLeaderDiesDuringClaims(t *testing.T) {
	each := 3
	if isLong {
		each = 67 // 200 on three hosts
	}
	l, e := startThree(t)
	h := &history{began: time.Now()}
	done := make(chan struct{})
	var claims, faults sync.WaitGroup
	for i, host := range l.Hosts() {
		claims.Go(func() { h.run(t, e, host, i, each) })
	}
	kills := 0
	faults.Go(func() {
		for {
			leader := e.KillLeader()
			kills++
			time.Sleep(3 * time.Second) // longer than an election takes
			e.Start(leader)
			e.Await()
			select {
			case <-done:
				return
			case <-time.After(3 * time.Second):
			}
		}
	})
	claims.Wait()
	close(done)
	faults.Wait()
	t.Logf("%d claims in %v, %d failed; %d leaders were killed", 3*each, time.Since(h.began), h.failed, kills)
	if got := porcupine.CheckOperationsTimeout(addresses, h.all, time.Minute); got != porcupine.Ok {
		t.Errorf("the history of %d operations is %v", len(h.all), got)
	}
	wantOwners(t, l, e)
	wantWhole(t, l)
}

// All servers are away while containers start. The starts fail in time and say why, what runs goes on, and
// afterwards all goes on by itself.
func TestServersAwayDuringStarts(t *testing.T) {
	if !isLong {
		t.Skip("TestNetworkByEtcd stops a server; make etcd-faults stops three")
	}
	l, e := startThree(t)
	first := labtest.Address(t, l.Hosts()[0], "stays-host-a", "net")
	for round := range 3 {
		var starts sync.WaitGroup
		for i, h := range l.Hosts() {
			starts.Go(func() { startDuringOutage(t, h, fmt.Sprintf("r%d-%d", round, i)) })
		}
		time.Sleep(time.Second) // in the midst of starts
		e.KillAll()
		for _, h := range l.Hosts() {
			labtest.Within(t, 20*time.Second, h, "vxlanctl status | grep 'etcd does not answer'")
			labtest.Sh(t, h, "podman exec stays-$(hostname) ping -c1 -W1 "+first)
		}
		e.StartAll()
		starts.Wait()
		wantOwners(t, l, e)
		wantWhole(t, l)
	}
}

// startDuringOutage starts containers until one has failed because etcd is away, and one succeeds again.
func startDuringOutage(t *testing.T, h *lab.Host, name string) {
	const limit = 2 * time.Minute
	failed := false
	for began, i := time.Now(), 0; time.Since(began) < limit; i++ {
		container := fmt.Sprintf("%s-%d", name, i)
		at := time.Now()
		out, err := h.Sh(t.Context(), "exec 2>&1; podman run -d --name "+container+" --network net localhost/web")
		switch {
		case err == nil && failed:
			return
		case err == nil:
			continue
		case !strings.Contains(out, "claim addresses in etcd: "):
			t.Errorf("%s on %s fails otherwise: %s", container, h.Name(), out)
			return
		}
		failed = true
		// Five seconds are promised. Podman itself takes its time on a busy machine.
		if took := time.Since(at); took > 10*time.Second {
			t.Errorf("%s on %s failed after %v: %s", container, h.Name(), took, out)
		}
		labtest.Sh(t, h, "podman rm -f -t0 "+container)
	}
	t.Errorf("on %s, a start has failed: %v, and none succeeded after that within %v", h.Name(), failed, limit)
}

// A host, with the server on it, is cut off for longer than its lease, while others start and remove
// containers and the history of that is compacted. It starts none itself. Healed, it has its addresses, and
// knows exactly what is there.
func TestHostCutOffForLongerThanItsLease(t *testing.T) {
	l, e := startThree(t)
	a, b, c := l.Hosts()[0], l.Hosts()[1], l.Hosts()[2]
	wantWhole(t, l)
	for i, h := range []*lab.Host{a, b, c} {
		labtest.Sh(t, h, fmt.Sprintf("podman run -d --name goes%d --network net localhost/web", i))
	}
	kept := labtest.Address(t, c, "stays-host-c", "net")
	labtest.Within(t, 20*time.Second, c, "podman exec stays-host-c ping -c1 -W1 goes0")
	cable(t, l, "host-c", "down")
	labtest.Within(t, 40*time.Second, a, "vxlanctl host ls | grep 'host-c.* unreachable'")
	labtest.Within(t, 40*time.Second, c, "vxlanctl status | grep 'etcd does not answer'")
	out := labtest.Refused(t, a, "podman run --rm --network net --ip "+kept+" localhost/web true")
	if !strings.Contains(out, "is in use by container stays-host-c on host host-c") ||
		!strings.Contains(out, "vxlanctl host forget") {
		t.Errorf("the address of a host that is cut off: %s", out)
	}
	out = labtest.Refused(t, c, "podman run -d --name alone --network net localhost/web")
	if !strings.Contains(out, "claim addresses in etcd: ") {
		t.Errorf("a start on the host that is cut off: %s", out)
	}
	labtest.Sh(t, c, "podman rm -f -t0 alone goes2")
	labtest.Sh(t, a, "podman rm -f -t0 goes0; podman run -d --name comes0 --network net localhost/web")
	labtest.Sh(t, b, "podman rm -f -t0 goes1; podman run -d --name comes1 --network net localhost/web")
	e.Compact()
	cable(t, l, "host-c", "up")
	for i := range 2 {
		labtest.Within(t, 40*time.Second, c, fmt.Sprintf("podman exec stays-host-c ping -c1 -W1 comes%d", i))
		labtest.Within(t, 20*time.Second, c, fmt.Sprintf("! podman exec stays-host-c nslookup goes%d.dns.podman", i))
	}
	labtest.Sh(t, c, "podman run -d --name late --network net localhost/web")
	labtest.Within(t, 20*time.Second, a, "podman exec comes0 ping -c1 -W1 late")
	if now := labtest.Address(t, c, "stays-host-c", "net"); now != kept {
		t.Errorf("the container had %s and has %s", kept, now)
	}
	labtest.Refused(t, b, "podman exec stays-host-b nslookup goes2.dns.podman")
	wantOwners(t, l, e)
	wantWhole(t, l)
}

// cable takes a host off the underlay ("down") or puts it back ("up").
func cable(t *testing.T, l *lab.Lab, host, state string) {
	t.Helper()
	if _, err := l.UnderlayIP(t.Context(), "link", "set", host, state); err != nil {
		t.Fatal(err)
	}
}
