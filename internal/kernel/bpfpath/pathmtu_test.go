package bpfpath

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A route to the other host has a lower MTU than the underlay interface. Nothing longer is sent: the kernel
// cuts it up, as it does without programs. A program sends what fits.
func TestMTUOfRoute(t *testing.T) {
	for name, test := range map[string]struct {
		underlay underlay
		route    string
	}{
		"IPv4": {underlay{}, "198.18.0.2 dev eth0"},
		"IPv6": {underlay{ipv6: true}, "fd18::2 dev eth0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, test.underlay)
			a.followRoutes()
			connectPair(a, b)
			a.waitForHop(b, b.vtep.String())
			a.sh("ip route add " + test.route + " mtu 1300")
			a.waitForHop(b, "")
			a.waitForHop(b, b.vtep.String())
			a.set(a.want(b)) // changes nothing of that
			wire := packetSocket(t, b.path, "eth0")
			send := newDatagrams(t, a, b, containerB)
			for _, size := range []int{100, 1180, 1350} {
				send(text(size))
			}
			if longest := longestIn(t, wire); longest > 14+1300 {
				t.Errorf("a frame of %d bytes was sent", longest)
			}
			if sent := a.counted().SentPackets; sent < 2 {
				t.Errorf("the programs sent %d packets", sent)
			}
			a.sh("ip route del " + test.route)
			a.waitForHop(b, "")
			a.waitForHop(b, b.vtep.String())
			a.in("ip route flush cache") // the VXLAN device has told it of the lower MTU
			before := a.counted().SentPackets
			if send(text(1350)); a.counted().SentPackets != before+1 {
				t.Error("not by the programs again")
			}
		})
	}
}

// longestIn returns the length of the longest frame that a socket has.
func longestIn(t *testing.T, socket int) (longest int) {
	t.Helper()
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(socket, buffer, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			return longest
		}
		if err != nil {
			t.Fatal(err)
		}
		longest = max(longest, n)
	}
}
