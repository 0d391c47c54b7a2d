package survey

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/kernel/netns"
)

const (
	// flowCount connections go by one of two ways each, and none of them by the other one, in one of 32,000
	// times. The kernel chooses the tunnel's source port by chance for each connection, and routers and bonds
	// choose the way by that (sk_txhash, and skb_get_hash in udp_flow_src_port).
	flowCount = 16
	// firstFlowPort and the ports after it are seldom given to clients (ip_local_port_range).
	firstFlowPort, flowPorts = 20_000, 10_000
)

// countFlows tries connections to where nobody listens, and counts those that are not refused. If some are
// not, it tries as many again: who is busy for a moment answers then.
func countFlows(namespace string, to netip.Addr) (c doctor.FlowCount) {
	for range 2 {
		c.Tried += flowCount
		lost := lostFlows(namespace, to)
		if c.Lost += lost; lost == 0 {
			return c
		}
	}
	return c
}

func lostFlows(namespace string, to netip.Addr) int {
	var trying sync.WaitGroup
	var lost atomic.Int64
	base := firstFlowPort + rand.IntN(flowPorts-flowCount) //nolint:gosec // any will do
	for i := range flowCount {
		trying.Go(func() {
			if !refusesFrom(namespace, base+i, to) {
				lost.Add(1)
			}
		})
	}
	trying.Wait()
	return int(lost.Load())
}

// refusesFrom tells whether an address answers a connection from a port.
func refusesFrom(namespace string, port int, to netip.Addr) (answered bool) {
	_ = netns.DoIn(namespace, func() error { // what fails does not answer
		dialer := net.Dialer{Timeout: exchangeWait, LocalAddr: &net.TCPAddr{Port: port}}
		conn, err := dialer.Dial("tcp", netip.AddrPortFrom(to, discardPort).String())
		if err == nil {
			conn.Close()
		}
		// A port that somebody else has says nothing of the way.
		answered = err == nil || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EADDRINUSE)
		return nil
	})
	return answered
}
