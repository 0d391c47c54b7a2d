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
	var r Result
	var err error
	switch l.Kind {
	case Stream:
		r, err = sendStreams(addr, l)
	case UDP:
		r, err = sendPackets(addr, l)
	case Echo:
		r, err = sendEcho(addr, l)
	case Connect:
		r, err = sendConnects(addr, l)
	default:
		err = errors.New("no such kind of load")
	}
	if err != nil {
		return r, fmt.Errorf("send %s to %s: %w", l.Kind, addr, err)
	}
	return r, nil
}

func sendStreams(addr string, l Load) (Result, error) {
	var wait sync.WaitGroup
	results, errs := make([]Result, l.Streams), make([]error, l.Streams)
	for i := range l.Streams {
		wait.Go(func() { results[i], errs[i] = sendStream(addr, l.Period) })
	}
	wait.Wait()
	var sum Result
	for _, r := range results {
		sum.Rate += r.Rate
	}
	return sum, errors.Join(errs...)
}

func sendStream(addr string, period time.Duration) (Result, error) {
	f, err := dial(addr, Stream)
	if err != nil {
		return Result{}, err
	}
	defer f.Close()
	buffer := make([]byte, bufferSize)
	for end := time.Now().Add(period); time.Now().Before(end); {
		if _, err := f.Write(buffer); err != nil {
			return Result{}, err
		}
	}
	n, err := readCount(f)
	return Result{Rate: float64(n.Bytes) * 8 / n.Period.Seconds()}, err
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

func sendPackets(addr string, l Load) (Result, error) {
	control, err := dial(addr, UDP)
	if err != nil {
		return Result{}, err
	}
	defer control.Close()
	if _, err := bufio.NewReader(control).ReadString('\n'); err != nil {
		return Result{}, err
	}
	c, err := net.Dial("udp", addr)
	if err != nil {
		return Result{}, err
	}
	defer c.Close()
	f, err := c.(*net.UDPConn).File()
	if err != nil {
		return Result{}, err
	}
	defer f.Close()
	fd, packet := int(f.Fd()), make([]byte, packetSize)
	for end := time.Now().Add(l.Period); time.Now().Before(end); {
		// Asking for the time costs a tenth of a packet, so not at each.
		for range 64 {
			if _, err := unix.Write(fd, packet); err != nil && !errors.Is(err, unix.ENOBUFS) {
				return Result{}, err
			}
		}
	}
	n, err := readCount(control)
	return Result{Rate: float64(n.Packets) / n.Period.Seconds()}, err
}

func sendEcho(addr string, l Load) (Result, error) {
	f, err := dial(addr, Echo)
	if err != nil {
		return Result{}, err
	}
	defer f.Close()
	var b [1]byte
	var times []float64
	start := time.Now()
	for last := start; last.Sub(start) < l.Period; {
		if _, err := f.Write(b[:]); err != nil {
			return Result{}, err
		}
		if _, err := f.Read(b[:]); err != nil {
			return Result{}, err
		}
		now := time.Now()
		times = append(times, float64(now.Sub(last)))
		last = now
	}
	return Result{
		Rate: float64(len(times)) / time.Since(start).Seconds(),
		P50:  time.Duration(stats.Percentile(times, 50)),
		P99:  time.Duration(stats.Percentile(times, 99)),
	}, nil
}

func sendConnects(addr string, l Load) (Result, error) {
	start, n := time.Now(), 0
	for ; time.Since(start) < l.Period; n++ {
		if err := connectOnce(addr); err != nil {
			return Result{}, err
		}
	}
	return Result{Rate: float64(n) / time.Since(start).Seconds()}, nil
}

func connectOnce(addr string) error {
	f, err := dial(addr, Connect)
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
