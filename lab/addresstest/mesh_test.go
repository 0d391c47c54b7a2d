package addresstest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"vxlan-driver/lab/packet"
)

// node is a container that pings all others.
type node struct {
	name string
	addr netip.Addr
	fd   int
	file *os.File
	buf  [1500]byte
}

// newNode opens a raw ICMP socket in a container's network namespace.
func newNode(t *testing.T, name, namespace string, addr netip.Addr) *node {
	t.Helper()
	n := &node{name: name, addr: addr}
	err := packet.In(namespace, func() (err error) {
		n.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	n.file = os.NewFile(uintptr(n.fd), name)
	t.Cleanup(func() { n.file.Close() })
	return n
}

// pingAllPairs has every node ping every other once, and returns the pairs without an answer. In
// each round every node is in one pair (the circle method of tournaments), so 180 nodes take 179
// rounds of some milliseconds.
func pingAllPairs(nodes []*node) error {
	if len(nodes)%2 != 0 {
		return errors.New("the number of nodes must be even")
	}
	var errs []error
	for round := range len(nodes) - 1 {
		results := make([]error, len(nodes))
		var wait sync.WaitGroup
		for i := range nodes {
			partner := nodes[roundRobinPartner(i, round, len(nodes))]
			wait.Go(func() { results[i] = nodes[i].ping(partner, uint16(i), uint16(round)) })
		}
		wait.Wait()
		errs = append(errs, results...)
		if err := errors.Join(errs...); len(errs) > 20 && err != nil && round > 3 {
			return err // enough seen
		}
		for i := range nodes {
			nodes[i].flushNeighbour(nodes[roundRobinPartner(i, round, len(nodes))].addr)
		}
	}
	return errors.Join(errs...)
}

// roundRobinPartner returns the partner of node i in a round: the last node stays, the others
// rotate.
func roundRobinPartner(i, round, n int) int {
	if i == n-1 {
		return round
	}
	other := ((2*round-i)%(n-1) + n - 1) % (n - 1)
	if other == i {
		return n - 1
	}
	return other
}

// ping sends an echo request (RFC 792) and waits for its reply.
func (n *node) ping(to *node, id, seq uint16) error { return n.pingWithin(to, id, seq, 5*time.Second) }

func (n *node) pingWithin(to *node, id, seq uint16, within time.Duration) error {
	request := make([]byte, 8)
	request[0] = 8
	binary.BigEndian.PutUint16(request[4:], id)
	binary.BigEndian.PutUint16(request[6:], seq)
	binary.BigEndian.PutUint16(request[2:], ^(0x0800 + id + seq + onesComplementSum(0x0800, id, seq)))
	if err := unix.Sendto(n.fd, request, 0, &unix.SockaddrInet4{Addr: to.addr.As4()}); err != nil {
		return fmt.Errorf("%s (%s) to %s (%s): %w", n.name, n.addr, to.name, to.addr, err)
	}
	if err := n.file.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	for {
		size, err := n.file.Read(n.buf[:])
		if err != nil {
			return fmt.Errorf("%s (%s) to %s (%s): no answer: %w", n.name, n.addr, to.name, to.addr, err)
		}
		b := n.buf[:size]
		if size >= 28 && b[20] == 0 && netip.AddrFrom4([4]byte(b[12:16])) == to.addr && string(b[24:28]) == string(request[4:8]) {
			return nil
		}
	}
}

// onesComplementSum adds the carries to a sum of 16-bit words (RFC 1071).
func onesComplementSum(words ...uint16) uint16 {
	var sum uint32
	for _, w := range words {
		sum += uint32(w)
	}
	return uint16(sum >> 16)
}

// flushNeighbour deletes a neighbour entry. The kernel has room for 1,024 (gc_thresh3) of all
// namespaces together; real hosts would each have as many.
func (n *node) flushNeighbour(addr netip.Addr) {
	var request struct { // struct arpreq of linux/if_arp.h
		protocol, hardware [16]byte
		flags              int32
		netmask            [16]byte
		device             [16]byte
	}
	binary.NativeEndian.PutUint16(request.protocol[:], unix.AF_INET)
	copy(request.protocol[4:], addr.AsSlice())
	copy(request.device[:], "eth0")
	const deleteEntry = 0x8953 // SIOCDARP
	// An entry that is not there needs no deleting.
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(n.fd), deleteEntry, uintptr(unsafe.Pointer(&request)))
}

func TestRoundRobinPairsEveryNodeOnce(t *testing.T) {
	for _, n := range []int{2, 4, 10, 180} {
		for i := range n {
			met := map[int]bool{i: true}
			for round := range n - 1 {
				p := roundRobinPartner(i, round, n)
				if met[p] || roundRobinPartner(p, round, n) != i {
					t.Fatalf("of %d, %d meets %d in round %d", n, i, p, round)
				}
				met[p] = true
			}
		}
	}
}
