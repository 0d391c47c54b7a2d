package bpfpath

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

// benchmarkPaths are ways between the two hosts of a pair: the underlay itself, and those of packets
// between containers.
var benchmarkPaths = map[string]struct {
	container, netkit bool
	prepare           func(a, b *realHost)
}{
	"underlay":                   {false, false, func(a, b *realHost) {}},
	"bridge":                     {true, false, func(a, b *realHost) {}},
	"nftables":                   {true, false, func(a, b *realHost) { setBelow(a, b) }},
	"programs":                   {true, false, func(a, b *realHost) { connectPair(a, b) }},
	"programs that know the hop": {true, false, connectWithHops},
	"netkit":                     {true, true, connectByNetkit},
}

func requireNetkit(b *testing.B) {
	b.Helper()
	sh := netnstest.Shell(b, netnstest.New(b))
	if out := sh("ip link add type netkit 2>&1 || true"); out != "" {
		b.Skipf("the kernel has no netkit (Linux 6.7): %s", out)
	}
}

func connectWithHops(a, b *realHost) {
	connectPair(a, b)
	a.followRoutes()
	b.followRoutes()
	a.waitForHop(b, "198.18.0.2")
	b.waitForHop(a, "198.18.0.1")
}

// connectByNetkit also lets the program of a container's port run as the container sends, as netkit can.
func connectByNetkit(a, b *realHost) {
	connectWithHops(a, b)
	for _, h := range []*realHost{a, b} {
		err := netns.Do(h.path, func() error {
			index, err := h.net.ns.Index("c0")
			if err != nil {
				return err
			}
			l, err := link.AttachNetkit(link.NetkitOptions{
				Interface: index, Program: h.programs.objects.FromContainer, Attach: ebpf.AttachNetkitPeer,
			})
			if err == nil {
				h.Cleanup(func() { l.Close() })
			}
			return err
		})
		if err != nil {
			h.Fatal(err)
		}
	}
}

func setBelow(a, b *realHost) {
	for h, w := range map[*realHost]kernel.FastPath{a: a.want(b), b: b.want(a)} {
		if err := h.net.Redirector.Set(w); err != nil {
			a.Fatal(err)
		}
	}
}

// BenchmarkUDP is the computing time of a small packet, from the sender's call to the receiver's
// socket: between namespaces the kernel does all of it in the sender's call.
func BenchmarkUDP(b *testing.B) {
	for name, path := range benchmarkPaths {
		b.Run(name, func(b *testing.B) {
			client, server := newEnds(b, path.container, underlay{netkit: path.netkit}, path.prepare)
			defer reportCPU(b)()
			for i := range b.N {
				sendOne(b, client, server, i)
			}
		})
	}
}

// sendOne sends packet i, and empties the other socket's queue before it is full.
func sendOne(b *testing.B, client, server, i int) {
	payload, buffer := [18]byte{}, [100]byte{}
	if _, err := unix.Write(client, payload[:]); err != nil {
		b.Fatal(err)
	}
	for more := i%50 == 49; more; {
		_, err := unix.Read(server, buffer[:])
		more = err == nil
	}
}

// BenchmarkRoundTrip is that of a packet and its answer.
func BenchmarkRoundTrip(b *testing.B) {
	for name, path := range benchmarkPaths {
		b.Run(name, func(b *testing.B) {
			client, server := newEnds(b, path.container, underlay{netkit: path.netkit}, path.prepare)
			buffer := make([]byte, 100)
			defer reportCPU(b)()
			for range b.N {
				bounce(b, client, server, buffer)
			}
		})
	}
}

func bounce(t testing.TB, client, server int, buffer []byte) {
	if _, err := unix.Write(client, buffer[:18]); err != nil {
		t.Fatal(err)
	}
	for _, end := range []int{server, client} {
		for {
			n, from, err := unix.Recvfrom(end, buffer, 0)
			if err == unix.EAGAIN {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if end == server {
				err = unix.Sendto(end, buffer[:n], 0, from)
			}
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
}

// newEnds returns two UDP sockets that do not wait, the first one connected to the second, on one CPU.
func newEnds(b *testing.B, container bool, u underlay, prepare func(a, b *realHost)) (client, server int) {
	b.Helper()
	return openEnds(b, newBenchmarkPair(b, container, u, prepare))
}

// newBenchmarkPair returns both ends of a way, on one CPU.
func newBenchmarkPair(b *testing.B, container bool, u underlay, prepare func(a, b *realHost)) [2]benchmarkEnd {
	b.Helper()
	pinToCPU(b)
	if u.netkit {
		requireNetkit(b)
	}
	x, y := newPair(b, u)
	x.in("ping -c 1 -W 5 10.0.0.2")
	prepare(x, y)
	x.keepValid()
	y.keepValid()
	ends := [2]benchmarkEnd{{x.path, x.vtep}, {y.path, y.vtep}}
	if container {
		ends[0] = benchmarkEnd{x.container, netip.MustParseAddr("10.0.0.1")}
		ends[1] = benchmarkEnd{y.container, netip.MustParseAddr("10.0.0.2")}
	}
	return ends
}

// benchmarkEnd is where a socket is: in a namespace, with an address.
type benchmarkEnd struct {
	path string
	addr netip.Addr
}

func openEnds(b *testing.B, ends [2]benchmarkEnd) (client, server int) {
	b.Helper()
	var fds [2]int
	for i, e := range ends {
		err := netns.Do(e.path, func() (err error) {
			fds[i], err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				err = unix.Bind(fds[i], &unix.SockaddrInet4{Port: 5000, Addr: e.addr.As4()})
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { unix.Close(fds[i]) })
	}
	if err := unix.Connect(fds[0], &unix.SockaddrInet4{Port: 5000, Addr: ends[1].addr.As4()}); err != nil {
		b.Fatal(err)
	}
	bounce(b, fds[0], fds[1], make([]byte, 100))
	return fds[0], fds[1]
}

// reportCPU reports the computing time until the function that it returns is called. Other programs do
// not count.
func reportCPU(b *testing.B) func() {
	now := func() int64 {
		var t unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
		return t.Nano()
	}
	b.ResetTimer()
	began := now()
	return func() { b.ReportMetric(float64(now()-began)/float64(b.N), "cpu-ns/op") }
}

// pinToCPU keeps the test on one CPU.
func pinToCPU(b *testing.B) {
	b.Helper()
	runtime.LockOSThread()
	b.Cleanup(runtime.UnlockOSThread)
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		b.Fatal(err)
	}
	one.Set(0)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.SchedSetaffinity(0, &before) })
}
