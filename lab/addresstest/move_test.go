package addresstest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// A container moves to another host with its address ten times, while a container on a third host
// pings it every two milliseconds. The outage is the time from the new container's start to its
// first answer.
func testAddressMovesBetweenHosts(t *testing.T, p labtest.Plane) {
	const target = 100 * time.Millisecond
	l := p.Start(t, lab.Config{Hosts: 3})
	p.CreateOn(t, l.Hosts(), "net", "--opt vni=9 --subnet 10.1.0.0/24")
	watcher := l.Host("host-c")
	runContainer(t, watcher, "watcher", "--network net")
	asking := newNode(t, "watcher", labtest.Namespace(t, watcher, "watcher"), netip.MustParseAddr(containerAddr4(t, watcher, "watcher")))
	moving := &node{name: "moving", addr: netip.MustParseAddr("10.1.0.222")}

	const start = "podman run -d --name moving --network net --ip 10.1.0.222 localhost/web"
	hosts := []*lab.Host{l.Host("host-a"), l.Host("host-b")}
	labtest.Sh(t, hosts[0], start)
	if err := asking.ping(moving, 1, 0); err != nil {
		t.Fatal(err)
	}
	var outages, whole []time.Duration
	for i := range 10 {
		from, to := hosts[i%2], hosts[(i+1)%2]
		labtest.Sh(t, from, "podman rm -f -t0 moving")
		gone := time.Now()
		answered := make(chan time.Time)
		stop := make(chan bool)
		go func() { answered <- timeOfFirstReply(asking, moving, uint16(i+1), stop) }()
		labtest.Sh(t, to, start)
		// Podman names the moment when it started the container's program, just after the network
		// was up.
		up := containerStartTime(t, to)
		time.AfterFunc(3*time.Second, func() { close(stop) })
		first := <-answered
		if first.IsZero() {
			t.Fatalf("move %d to %s: no answer within three seconds", i, to.Name())
		}
		outages, whole = append(outages, first.Sub(up)), append(whole, first.Sub(gone))
	}
	slices.Sort(outages)
	slices.Sort(whole)
	t.Logf("outage after the container's program is started (negative: its network answers before): median %v, worst %v; since the old one's removal: median %v, worst %v",
		outages[5], outages[9], whole[5], whole[9])
	if outages[9] >= target {
		t.Errorf("worst outage %v, target %v; all: %v", outages[9], target, outages)
	}
}

// timeOfFirstReply pings every two milliseconds until there is an answer.
func timeOfFirstReply(n, to *node, id uint16, stop chan bool) time.Time {
	for seq := uint16(0); ; seq++ {
		select {
		case <-stop:
			return time.Time{}
		default:
		}
		if n.pingWithin(to, id, seq, 2*time.Millisecond) == nil {
			return time.Now()
		}
	}
}

// containerStartTime returns when Podman started the container's program.
func containerStartTime(t *testing.T, h *lab.Host) time.Time {
	t.Helper()
	out := labtest.Sh(t, h, "podman inspect -f '{{.State.StartedAt.UnixNano}}' moving")
	var nano int64
	if _, err := fmt.Sscan(strings.TrimSpace(out), &nano); err != nil {
		t.Fatal(err)
	}
	return time.Unix(0, nano)
}
