package bpfpath

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/wireguard"
)

// The benchmarks here take the time by the clock, with all that the machine does: WireGuard has threads of its own. So
// ways are compared in one run, each traffic by all ways in turn. The computing time is that of both ends and of both
// processes of wireguard-go: a machine with other work changes it less.
//
//	go test ./internal/kernel/bpfpath -run '^$' -bench Encrypted -benchtime 3s -count 5

// encryptedWays are ways between two hosts.
var encryptedWays = []struct {
	name      string
	container bool
	connect   func(a, b *wireguardHost)
}{
	{"WireGuard", false, func(a, b *wireguardHost) {
		for _, h := range []*wireguardHost{a, b} {
			h.sh(fmt.Sprintf("ip address add %s/24 dev %s", h.inside(), h.device.Name))
		}
	}},
	{"straight", true, connectWireguard},
	{"VXLAN", true, func(a, b *wireguardHost) {}},
	{"VXLAN by nftables", true, func(a, b *wireguardHost) { setEncryptedBelow(a.realHost, b.realHost) }},
}

// encryptedEnds are both ends of a way.
type encryptedEnds struct {
	*testing.B
	paths  [2]string
	server netip.Addr
}

// benchmarkMTU is a bit less than fits. wireguard-go hands the kernel many packets in one piece, of at most 65,507
// bytes. With 1377 to 1392 bytes inside, 46 of them are 65,504 bytes, and 65,546 with all headers. That is longer than
// most cards take at once (gso_max_size), so the kernel cuts it up at once, and a stream has half the speed.
const benchmarkMTU = 1376

func benchmarkEncrypted(b *testing.B, run func(b *testing.B, e encryptedEnds)) {
	for _, way := range encryptedWays {
		b.Run(way.name, func(b *testing.B) {
			x, y := newWireguardPair(b, wireguard.WireGuardGo, underlay{mtu: benchmarkMTU})
			x.in("ping -c 1 -W 5 10.0.0.2") // neighbours
			way.connect(x, y)
			x.keepValid()
			y.keepValid()
			e := encryptedEnds{b, [2]string{x.path, y.path}, y.inside()}
			if way.container {
				e.paths, e.server = [2]string{x.container, y.container}, netip.MustParseAddr("10.0.0.2")
			}
			before := computingTime(b)
			run(b, e)
			b.ReportMetric(float64(computingTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// computingTime is that of this process and of those that it has started, in nanoseconds.
func computingTime(b *testing.B) (sum int64) {
	b.Helper()
	self := strconv.Itoa(os.Getpid())
	pids := []string{self}
	lists, err := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		text, _ := os.ReadFile(list) // a thread may have ended
		pids = append(pids, strings.Fields(string(text))...)
	}
	for _, pid := range pids {
		threads, globErr := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
		err = errors.Join(err, globErr)
		for _, thread := range threads {
			text, _ := os.ReadFile(thread)
			var running int64
			_, _ = fmt.Sscan(string(text), &running)
			sum += running
		}
	}
	if sum == 0 || err != nil {
		b.Fatalf("the kernel does not tell the computing time (schedstat): %v", err)
	}
	return sum
}

func (e encryptedEnds) listen(address string) (l net.Listener) {
	e.Helper()
	err := netns.Do(e.paths[1], func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { l.Close() })
	return l
}

func (e encryptedEnds) dial(network, address string) (c net.Conn) {
	e.Helper()
	err := netns.Do(e.paths[0], func() (err error) {
		c, err = net.DialTimeout(network, address, connectionDeadline)
		return err
	})
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { c.Close() })
	return c
}

// BenchmarkEncryptedStream sends TCP by one stream.
func BenchmarkEncryptedStream(b *testing.B) {
	benchmarkEncrypted(b, func(b *testing.B, e encryptedEnds) { e.streams(1) })
}

// BenchmarkEncryptedStreams sends TCP by eight streams.
func BenchmarkEncryptedStreams(b *testing.B) {
	benchmarkEncrypted(b, func(b *testing.B, e encryptedEnds) { e.streams(8) })
}

// streams sends pieces of 128 kB, until the other end has all of them.
func (e encryptedEnds) streams(count int) {
	const size = 128 << 10
	address := netip.AddrPortFrom(e.server, 7000).String()
	l := e.listen(address)
	var received sync.WaitGroup
	received.Add(count)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				defer received.Done()
				defer c.Close()
				_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, c, make([]byte, size))
				_, _ = c.Write([]byte{1}) // it has all
			}()
		}
	}()
	conns := make([]net.Conn, count)
	for i := range conns {
		conns[i] = e.dial("tcp", address)
	}
	e.SetBytes(size)
	e.ResetTimer()
	var sending sync.WaitGroup
	for i, c := range conns {
		sending.Go(func() {
			piece := make([]byte, size)
			for n := i; n < e.N; n += count {
				if _, err := c.Write(piece); err != nil {
					e.Error(err)
					return
				}
			}
			_ = c.(*net.TCPConn).CloseWrite()
			if _, err := io.ReadFull(c, piece[:1]); err != nil {
				e.Error(err)
			}
		})
	}
	sending.Wait()
	e.StopTimer()
	e.ReportMetric(float64(e.N)*size*8/1e6/e.Elapsed().Seconds(), "Mbit/s")
	received.Wait()
}

// BenchmarkEncryptedUDP sends small datagrams as fast as it can. What counts is what arrives.
func BenchmarkEncryptedUDP(b *testing.B) {
	benchmarkEncrypted(b, func(b *testing.B, e encryptedEnds) {
		address := netip.AddrPortFrom(e.server, 7002).String()
		server := e.listenUDP(address)
		c := e.dial("udp", address)
		arrived := make(chan int)
		go func() { arrived <- countDatagrams(server) }()
		b.ResetTimer()
		for range b.N {
			if _, err := c.Write(make([]byte, 64)); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		elapsed := b.Elapsed()
		_ = server.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		b.ReportMetric(float64(<-arrived)/elapsed.Seconds(), "arrived/s")
	})
}

func (e encryptedEnds) listenUDP(address string) (l net.PacketConn) {
	e.Helper()
	err := netns.Do(e.paths[1], func() (err error) {
		l, err = net.ListenPacket("udp", address)
		return err
	})
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { l.Close() })
	return l
}

func countDatagrams(from net.PacketConn) (n int) {
	buffer := make([]byte, 100)
	for {
		_, _, err := from.ReadFrom(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return n
		}
		if err == nil {
			n++
		}
	}
}

// BenchmarkEncryptedRoundTrip is the time of a request and its answer.
func BenchmarkEncryptedRoundTrip(b *testing.B) {
	benchmarkEncrypted(b, func(b *testing.B, e encryptedEnds) {
		address := netip.AddrPortFrom(e.server, 7001).String()
		l := e.listen(address)
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = io.Copy(struct{ io.Writer }{c}, c)
				c.Close()
			}
		}()
		c := e.dial("tcp", address)
		message := make([]byte, 64)
		b.ResetTimer()
		for range b.N {
			_, err := c.Write(message)
			if err == nil {
				_, err = io.ReadFull(c, message)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
