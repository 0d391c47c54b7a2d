package doctortest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

// fastBy is by how much host-b's clock was fast.
const fastBy = time.Hour

// testClockSetBack leaves two hosts as they are when the clock of one was fast until now. All hosts have the clock of
// this machine, which nobody may set. So what the fast clock has left is made: the other host has taken a handshake of
// that time of day, and the file of the keys is of then. WireGuard remembers the handshake with the key, so the host
// cannot begin a session any more. It has to, as its process is started again.
func testClockSetBack(t *testing.T, l *lab.Lab) {
	a, b := l.Host("host-a"), l.Host("host-b")
	shakeHandsAt(t, a, b, time.Now().Add(fastBy))
	labtest.Sh(t, b, fmt.Sprintf("touch -d '%d seconds' /run/vxlan/wireguard/*.json; %s; %s; vxlanctl reload",
		int(fastBy.Seconds()), killAgent, killWireGuard))
	if out, err := b.Sh(t.Context(), "podman exec enc-host-b ping -c3 -W1 "+addressOf(t, a, "enc")); err == nil {
		t.Fatalf("the other host took the handshake, so the fault is none: %s", out)
	}
	first := wantFirst(t, b, "VX1003", "host-b", "the clock was set back")
	fault{}.typeMend(t, l, first)
	awaitHealth(t, l.Hosts()...)
	// Now it can begin one.
	labtest.Sh(t, b, killWireGuard)
	labtest.Within(t, 15*time.Second, b, "podman exec enc-host-b ping -c1 -W1 "+addressOf(t, a, "enc"))
	awaitHealth(t, l.Hosts()...)
}

// addressOf is the address of a host's container on a network.
func addressOf(t *testing.T, h *lab.Host, network string) string {
	t.Helper()
	return labtest.Field(t, h, network+"-"+h.Name(), network, "IPAddress")
}

// shakeHandsAt lets one host begin a handshake with another at a time of day. It waits for the answer, by which the
// other one has taken it.
func shakeHandsAt(t *testing.T, to, from *lab.Host, at time.Time) {
	t.Helper()
	own := readWireGuard(t, from, strings.TrimSpace(labtest.Sh(t, from, "echo "+encDevice)))
	message := initiationAt(t, own, at)
	p, err := packet.Open(from.Netns(), "eth0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	mac, err := net.ParseMAC(labtest.Sh(t, to, "cat /sys/class/net/eth0/address"))
	if err != nil {
		t.Fatal(err)
	}
	var port uint16
	if _, err := fmt.Sscan(own["listen_port"], &port); err != nil {
		t.Fatal(err)
	}
	datagram := packet.UDP(netip.AddrPortFrom(from.Addr4(), port), netip.MustParseAddrPort(own["endpoint"]), message)
	if err := p.Send(packet.Ethernet(packet.MAC(mac), p.MAC(), packet.TypeIPv4, datagram)); err != nil {
		t.Fatal(err)
	}
	answered, err := p.Receive(2*time.Second, func(frame []byte) bool {
		const headers = 14 + 20 + 8
		sender := message[4:8] // the session's number, which the answer has for a receiver
		return len(frame) == headers+device.MessageResponseSize && bytes.Equal(frame[headers+8:headers+12], sender)
	})
	if err != nil || !answered {
		t.Fatalf("the other host does not take a handshake of %v: %v", at.Format(time.DateTime), err)
	}
}

// readWireGuard returns what wireguard-go says of a device that has one peer.
func readWireGuard(t *testing.T, h *lab.Host, name string) map[string]string {
	t.Helper()
	c, err := net.Dial("unix", h.Path("/run/wireguard/"+name+".sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "get=1\n\n"); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 1<<14)
	n, err := c.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]string)
	for line := range strings.Lines(string(text[:n])) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = value
	}
	return values
}

// initiationAt is the first message of a handshake with the peer as a device of the key sends it at a time of day. A
// bubble has a clock of its own.
func initiationAt(t *testing.T, own map[string]string, at time.Time) []byte {
	t.Helper()
	sent := &sentMessages{Bind: conn.NewDefaultBind()}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(at))
		d := device.NewDevice(tuntest.NewChannelTUN().TUN(), sent, device.NewLogger(device.LogLevelSilent, ""))
		defer d.Close()
		err := d.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\nendpoint=%s\n",
			own["private_key"], own["public_key"], own["endpoint"]))
		if err != nil {
			t.Fatal(err)
		}
		var public device.NoisePublicKey
		if err := public.FromHex(own["public_key"]); err != nil {
			t.Fatal(err)
		}
		if err := d.LookupPeer(public).SendHandshakeInitiation(false); err != nil {
			t.Fatal(err)
		}
	})
	if len(sent.messages) != 1 {
		t.Fatalf("%d messages were sent, want 1", len(sent.messages))
	}
	return sent.messages[0]
}

// sentMessages keeps what is to be sent.
type sentMessages struct {
	conn.Bind
	messages [][]byte
}

// Send implements conn.Bind.
func (s *sentMessages) Send(messages [][]byte, _ conn.Endpoint) error {
	for _, m := range messages {
		s.messages = append(s.messages, bytes.Clone(m))
	}
	return nil
}
