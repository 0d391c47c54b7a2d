package traffic

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/bench/stats"
)

// Send sends a load to a server and returns what came of it.
func Send(addr string, l Load) (Result, error) {
	before, err := cpuSeconds()
	if err != nil {
		return Result{}, err
	}
	var r Result
	var n float64
	switch l.Kind {
	case Stream:
		r, n, err = sendStreams(addr, l)
	case UDP:
		r, n, err = sendPackets(addr, l)
	case Echo:
		r, n, err = sendEcho(addr, l)
	case Connect:
		r, n, err = sendConnects(addr, l)
	default:
		err = errors.New("no such kind of load")
	}
	if err != nil {
		return r, fmt.Errorf("send %s to %s: %w", l.Kind, addr, err)
	}
	after, err := cpuSeconds()
	r.CPU = (after - before) / n
	return r, err
}

// cpuSeconds returns the seconds that this process has computed.
func cpuSeconds() (float64, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds(), nil
}

// streamUnit is the bytes that CPU of a stream is for.
const streamUnit = 64 << 10

// sendStreams, as all of its kind, returns how many units were sent, too.
func sendStreams(addr string, l Load) (sum Result, units float64, err error) {
	var wait sync.WaitGroup
	counts, errs := make([]count, l.Streams), make([]error, l.Streams)
	for i := range l.Streams {
		wait.Go(func() { counts[i], errs[i] = sendStream(addr, l.Period) })
	}
	wait.Wait()
	for _, n := range counts {
		sum.Rate += float64(n.Bytes) * 8 / n.Period.Seconds()
		units += float64(n.Bytes) / streamUnit
	}
	return sum, units, errors.Join(errs...)
}

func sendStream(addr string, period time.Duration) (n count, err error) {
	f, err := dialServer(addr, Stream)
	if err != nil {
		return n, err
	}
	defer f.Close()
	buffer := make([]byte, bufferSize)
	for end := time.Now().Add(period); time.Now().Before(end); {
		if _, err := f.Write(buffer); err != nil {
			return n, err
		}
	}
	return readCount(f)
}

// readCount says that nothing more comes, and reads what has arrived.
func readCount(f *os.File) (n count, err error) {
	if err := unix.Shutdown(int(f.Fd()), unix.SHUT_WR); err != nil {
		return n, err
	}
	if err := json.NewDecoder(f).Decode(&n); err != nil {
		return n, fmt.Errorf("read count: %w", err)
	}
	if n.Period <= 0 {
		return n, errors.New("nothing arrived")
	}
	return n, nil
}

// packetSize is the UDP payload in bytes.
const packetSize = 64

func sendPackets(addr string, l Load) (r Result, sent float64, err error) {
	control, err := dialServer(addr, UDP)
	if err != nil {
		return r, 0, err
	}
	defer control.Close()
	if _, err := bufio.NewReader(control).ReadString('\n'); err != nil {
		return r, 0, err
	}
	c, err := net.Dial("udp", addr)
	if err != nil {
		return r, 0, err
	}
	defer c.Close()
	f, err := blockingFile(c.(*net.UDPConn))
	if err != nil {
		return r, 0, err
	}
	defer f.Close()
	fd, packet := int(f.Fd()), make([]byte, packetSize)
	for end := time.Now().Add(l.Period); time.Now().Before(end); {
		// Asking for the time costs a tenth of a packet, so not at each.
		for range 64 {
			if _, err := unix.Write(fd, packet); err != nil && !errors.Is(err, unix.ENOBUFS) {
				return r, 0, err
			}
		}
		sent += 64
	}
	n, err := readCount(control)
	return Result{Rate: float64(n.Packets) / n.Period.Seconds()}, sent, err
}

func sendEcho(addr string, l Load) (r Result, units float64, err error) {
	f, err := dialServer(addr, Echo)
	if err != nil {
		return r, 0, err
	}
	defer f.Close()
	var b [1]byte
	var times []float64
	start := time.Now()
	for last := start; last.Sub(start) < l.Period; {
		if _, err := f.Write(b[:]); err != nil {
			return r, 0, err
		}
		if _, err := f.Read(b[:]); err != nil {
			return r, 0, err
		}
		now := time.Now()
		times = append(times, float64(now.Sub(last)))
		last = now
	}
	return Result{
		Rate: float64(len(times)) / time.Since(start).Seconds(),
		P50:  time.Duration(stats.Percentile(times, 50)),
		P99:  time.Duration(stats.Percentile(times, 99)),
	}, float64(len(times)), nil
}

func sendConnects(addr string, l Load) (r Result, n float64, err error) {
	start := time.Now()
	for ; time.Since(start) < l.Period; n++ {
		if err := connectOnce(addr); err != nil {
			return r, 0, err
		}
	}
	return Result{Rate: n / time.Since(start).Seconds()}, n, nil
}

func connectOnce(addr string) error {
	f, err := dialServer(addr, Connect)
	if err != nil {
		return err
	}
	defer f.Close()
	// Reset at the end rather than wait: a thousand connections a second would use up the ports.
	err = unix.SetsockoptLinger(int(f.Fd()), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	if err != nil {
		return err
	}
	var b [1]byte
	_, err = f.Read(b[:])
	return err
}
