package bpfpath

import (
	"errors"
	"maps"
	"testing"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netns"
)

// streamPiece is how much of a stream is sent at once. The kernel makes one packet of it.
const streamPiece = 60 << 10

// BenchmarkStream is the computing time of a piece of a TCP stream, from the sender's call until the receiver has
// it, with the acknowledgement. Neither end copies it: a machine that counts instructions counts each byte.
func BenchmarkStream(b *testing.B) {
	paths := maps.Clone(benchmarkPaths)
	leave := paths["programs that know the hop"]
	leave.prepare = connectLeavingAggregates
	paths["programs that leave aggregates"] = leave
	for name, path := range paths {
		b.Run(name, func(b *testing.B) {
			client, server := openStream(b, newBenchmarkPair(b, path.container, underlay{netkit: path.netkit}, path.prepare))
			file, buffer := newPiece(b), make([]byte, streamPiece)
			for range 200 { // until the kernel sends long packets
				carryPiece(b, client, server, file, buffer)
			}
			defer reportCPU(b)()
			for range b.N {
				carryPiece(b, client, server, file, buffer)
			}
		})
	}
}

// connectLeavingAggregates uses the programs as before Linux 7.3.
func connectLeavingAggregates(x, y *realHost) {
	x.programs.leaveAggregates, y.programs.leaveAggregates = true, true
	connectWithHops(x, y)
}

// newPiece returns a file in memory.
func newPiece(b *testing.B) (fd int) {
	b.Helper()
	fd, err := unix.MemfdCreate("piece", unix.MFD_CLOEXEC)
	if err == nil {
		b.Cleanup(func() { unix.Close(fd) })
		_, err = unix.Write(fd, text(streamPiece))
	}
	if err != nil {
		b.Fatal(err)
	}
	return fd
}

// carryPiece sends a file by one end, and drops what comes out of the other.
func carryPiece(b *testing.B, client, server, file int, buffer []byte) {
	sent := int64(0)
	for received := 0; received < streamPiece; {
		if sent < streamPiece {
			if _, err := unix.Sendfile(client, file, &sent, streamPiece-int(sent)); err != nil && err != unix.EAGAIN {
				b.Fatal(err)
			}
		}
		n, _, err := unix.Recvfrom(server, buffer[:streamPiece-received], unix.MSG_TRUNC)
		if err != nil && err != unix.EAGAIN {
			b.Fatal(err)
		}
		received += max(n, 0)
	}
}

// openStream returns both ends of a TCP connection, which do not wait.
func openStream(b *testing.B, ends [2]benchmarkEnd) (client, server int) {
	b.Helper()
	to := &unix.SockaddrInet4{Port: 5000, Addr: ends[1].addr.As4()}
	listener := openTCP(b, ends[1])
	if err := unix.Bind(listener, to); err != nil {
		b.Fatal(err)
	}
	if err := unix.Listen(listener, 1); err != nil {
		b.Fatal(err)
	}
	client = openTCP(b, ends[0])
	if err := unix.Connect(client, to); err != nil {
		b.Fatal(err)
	}
	server, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { unix.Close(server) })
	for _, fd := range []int{client, server} {
		err := errors.Join(unix.SetNonblock(fd, true), unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
		if err != nil {
			b.Fatal(err)
		}
	}
	return client, server
}

// openTCP returns a new socket of TCP.
func openTCP(b *testing.B, e benchmarkEnd) (fd int) {
	b.Helper()
	err := netns.Do(e.path, func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { unix.Close(fd) })
	return fd
}
