package tunnelprobe

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

// end is one host of a tunnel, as the driver builds it.
type end struct {
	*Conn
	mac   kernel.MAC
	path  string
	shell func(string) string
}

// newTunnel makes two hosts with an underlay and a tunnel between them.
func newTunnel(t *testing.T) (a, b end) {
	t.Helper()
	ends := [2]end{}
	for i := range ends {
		ends[i].path, ends[i].mac = netnstest.New(t), kernel.MAC{2, 0, 0, 0, 0, byte(i + 1)}
		ends[i].shell = netnstest.Shell(t, ends[i].path)
	}
	ends[0].shell("ip link add eth0 type veth peer name eth0 netns " + ends[1].path)
	for i, e := range ends {
		e.shell(fmt.Sprintf(`ip link set eth0 up
			ip address add 192.0.2.%[1]d/24 dev eth0
			ip link add br0 address %[2]s mtu 1450 type bridge
			ip link add vx0 mtu 1450 type vxlan id 9 dstport 4789 local 192.0.2.%[1]d dev eth0 nolearning
			ip link set vx0 master br0 up
			ip link set br0 up
			bridge fdb append %[3]s dev vx0 dst 192.0.2.%[4]d self static
			ip link add c0 type veth peer name c1
			ip link set c0 master br0 up
			ip link set c1 up`, i+1, e.mac, ends[1-i].mac, 2-i))
	}
	for i := range ends {
		netnstest.WaitForPorts(t, ends[i].path)
		err := netns.Do(ends[i].path, func() (err error) {
			ends[i].Conn, err = Open("br0", "vx0", ends[i].mac)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ends[i].Close() })
	}
	// A link hears of its carrier up to a second later, and what it sends before is lost: the first questions for a MAC,
	// and with them all that waits for their answers.
	ends[0].shell("for i in $(seq 100); do ping -c 1 -W 1 192.0.2.2 >/dev/null && exit 0; done; exit 1")
	return ends[0], ends[1]
}

// passes tells whether a probe of a size is answered, if need be the second or third.
func (e end) passes(t *testing.T, to end, size int) bool {
	t.Helper()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		answered, err := e.Probe(ctx, to.mac, size)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if answered {
			return true
		}
	}
	return false
}

func TestProbesPassTheTunnelInBothDirections(t *testing.T) {
	a, b := newTunnel(t)
	began := time.Now()
	for _, size := range []int{MinSize, 1450} {
		if !a.passes(t, b, size) || !b.passes(t, a, size) {
			t.Errorf("%d bytes are lost", size)
		}
	}
	if a.LastHeard(b.mac).Before(began) || !a.LastHeard(a.mac).IsZero() {
		t.Error("it is not known who was heard")
	}
}

// Where the port is blocked in one direction, neither host gets an answer, and one is still heard.
func TestProbesShowWhatIsBlocked(t *testing.T) {
	a, b := newTunnel(t)
	block := func(e end, rule string) {
		e.shell("nft add table inet x; nft add chain inet x in '{ type filter hook input priority 0; }'; nft add rule inet x in " + rule)
	}
	block(b, "udp dport 4789 meta length gt 1452 drop") // 1402 and 50 bytes of headers
	if a.passes(t, b, 1403) || !a.passes(t, b, 1402) || !b.passes(t, a, 1450) {
		t.Error("want frames over 1402 bytes to be lost on the way to b, and no others")
	}
	b.shell("nft flush ruleset")
	block(b, "udp dport 4789 drop")
	blocked := time.Now()
	if a.passes(t, b, MinSize) || b.passes(t, a, MinSize) {
		t.Error("a probe was answered without a way")
	}
	if a.LastHeard(b.mac).Before(blocked) || b.LastHeard(a.mac).After(blocked) {
		t.Error("want a to hear b, and not the other way round")
	}
	b.shell("nft flush ruleset")
	if !a.passes(t, b, MinSize) {
		t.Error("still lost")
	}
}

// A container of the network, which sees no probe, cannot answer one. One that floods does not keep
// the agent busy.
func TestForgedProbesAreHarmless(t *testing.T) {
	a, b := newTunnel(t)
	b.shell("bridge fdb del " + a.mac.String() + " dev vx0 self") // b's answers are lost
	done := make(chan bool)
	go func() { done <- a.passes(t, b, MinSize) }()
	err := netns.Do(a.path, func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		c1, err := net.InterfaceByName("c1")
		if err != nil {
			return err
		}
		for nonce := range uint64(5000) {
			for _, kind := range []byte{kindReply, kindRequest} {
				frame := message{kind, MinSize, nonce, 1}.encode(a.mac, b.mac)
				if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: c1.Index}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if <-done { // its nonce is not among them
		t.Error("a forged answer was taken")
	}
	var links []struct {
		Stats64 struct{ TX struct{ Packets int } }
	}
	if err := json.Unmarshal([]byte(a.shell("ip -s -j link show vx0")), &links); err != nil {
		t.Fatal(err)
	}
	if sent := links[0].Stats64.TX.Packets; sent > 4*maxPerSecond {
		t.Errorf("the host sent %d answers to forged probes within seconds", sent)
	}
}

// A series tells in which direction some frames are lost, and that none is.
func TestSeriesTellsTheDirectionOfLoss(t *testing.T) {
	a, b := newTunnel(t)
	const count = 60
	series := func() kernel.FrameSeries {
		t.Helper()
		s, err := a.Series(t.Context(), b.mac, 1450, count)
		if err != nil || s.Sent != count {
			t.Fatalf("got %+v, %v", s, err)
		}
		return s
	}
	if s := series(); s != (kernel.FrameSeries{Sent: count, Answered: count}) {
		t.Errorf("nothing is lost: got %+v", s)
	}
	lose := func(at end) {
		at.shell("nft add table inet x; nft add chain inet x in '{ type filter hook input priority 0; }'; " +
			"nft add rule inet x in udp dport 4789 numgen inc mod 4 == 0 drop")
	}
	lose(b)
	if s := series(); s.LostThere < count/5 || s.LostBack > 1 || s.Lost() < s.LostThere {
		t.Errorf("a quarter is lost on the way there: got %+v", s)
	}
	b.shell("nft flush ruleset")
	lose(a)
	if s := series(); s.LostBack < count/5 || s.LostThere > 1 {
		t.Errorf("a quarter is lost on the way back: got %+v", s)
	}
	b.shell("ip link set eth0 down")
	if s := series(); s != (kernel.FrameSeries{Sent: count}) {
		t.Errorf("all is lost: got %+v", s)
	}
}

func TestConnEndsWithItsDevices(t *testing.T) {
	a, _ := newTunnel(t)
	a.shell("ip link del br0")
	select {
	case <-a.Closed():
	case <-time.After(5 * time.Second):
		t.Error("it goes on without a bridge")
	}
}

// The agent makes a VXLAN device anew that somebody deleted. The bridge stays, and so does the Conn.
func TestConnFollowsADeviceThatWasMadeAnew(t *testing.T) {
	a, b := newTunnel(t)
	inHost := func(what func()) {
		if err := netns.Do(b.path, func() error { what(); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	b.shell(fmt.Sprintf(`ip link del vx0
		ip link add vx0 mtu 1450 type vxlan id 9 dstport 4789 local 192.0.2.2 dev eth0 nolearning
		ip link set vx0 master br0 up
		bridge fdb append %s dev vx0 dst 192.0.2.1 self static`, a.mac))
	inHost(func() {
		if !b.passes(t, a, MinSize) {
			t.Error("its own probes are lost")
		}
	})
	if !a.passes(t, b, MinSize) {
		t.Error("it does not answer")
	}
}

// Forged senders leave room for the true ones.
func TestHostIsHeardAmongForgedOnes(t *testing.T) {
	c := &Conn{heard: make(map[kernel.MAC]heardHost)}
	for i := range 2 * maxHeard {
		c.noteHeard(kernel.MAC{2, 1, 0, 0, byte(i >> 8), byte(i)})
	}
	host := kernel.MAC{2, 0, 0, 0, 0, 1}
	if c.noteHeard(host); c.LastHeard(host).IsZero() || len(c.heard) > maxHeard {
		t.Errorf("not heard among %d", len(c.heard))
	}
}
