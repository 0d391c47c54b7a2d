package encryptiontest

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

// What members of the cluster can do that are not on the network, what those can do that are, and what one can do
// that is neither any more.
func TestAttacks(t *testing.T) {
	t.Parallel()
	l := startLab(t, 3)
	a, b, c := l.Hosts()[0], l.Hosts()[1], l.Hosts()[2]
	createOn(t, l.Hosts(), "enc", 120, false, encrypted)
	createOn(t, []*lab.Host{c}, "other", 121, false, "")
	runContainer(t, c, "other", "other", "")
	pair := runOnEach(t, []*lab.Host{a, b}, "enc")
	t.Run("a host of the cluster that is not on the network", func(t *testing.T) { outsiderGetsNothing(t, a, c, pair[0]) })
	t.Run("recorded packets are sent again", func(t *testing.T) { replay(t, l, pair) })
	t.Run("a container sends to WireGuard", func(t *testing.T) { containerToWireGuard(t, pair) })
	t.Run("a member sends to services of another host", func(t *testing.T) { memberToService(t, a, b) })
	third := runContainer(t, c, "enc2", "enc", "")
	awaitReach(t, []container{pair[0], pair[1], third})
	t.Run("a member sends with the addresses of another", func(t *testing.T) { memberAsAnother(t, pair, third) })
	t.Run("a host is forgotten", func(t *testing.T) { forgottenHost(t, l, pair, third) })
}

// configureWireGuard tells a process of wireguard-go what it answers to (its cross-platform interface).
func configureWireGuard(t *testing.T, h *lab.Host, device, lines string) (answer string) {
	t.Helper()
	conn, err := net.Dial("unix", h.Path("/run/wireguard/"+device+".sock"))
	checkErr(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, lines+"\n")
	checkErr(t, err)
	buf := make([]byte, 1<<16)
	n, err := conn.Read(buf)
	checkErr(t, err)
	return string(buf[:n])
}

// outsiderGetsNothing lets a host speak WireGuard to a member, whose key and port its agent tells it.
func outsiderGetsNothing(t *testing.T, member, outsider *lab.Host, victim container) {
	device := encryptionOf(t, member, "enc").Devices[0]
	public, err := base64.StdEncoding.DecodeString(device.PublicKey)
	checkErr(t, err)
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	checkErr(t, err)
	labtest.Sh(t, outsider, "nohup vxland --wireguard rogue >/dev/null 2>&1 &")
	labtest.Within(t, 5*time.Second, outsider, "test -S "+"/run/wireguard/rogue.sock")
	labtest.Sh(t, outsider, `ip link set rogue up
		ip addr add 10.120.0.77/32 dev rogue
		ip route add 10.120.0.0/24 dev rogue`)
	defer labtest.Sh(t, outsider, "ip link del rogue")
	answer := configureWireGuard(t, outsider, "rogue", fmt.Sprintf(
		"set=1\nprivate_key=%s\npublic_key=%s\nendpoint=%s:%d\nallowed_ip=0.0.0.0/0\n",
		hex.EncodeToString(private.Bytes()), hex.EncodeToString(public), member.Addr4(), device.Port))
	if !strings.Contains(answer, "errno=0") {
		t.Fatal(answer)
	}
	p := openPort(t, outsider.Netns(), "eth0")
	const text = "from who is no member"
	out, err := outsider.Sh(t.Context(), fmt.Sprintf("for i in 1 2 3; do ping -c1 -W1 %s; done", victim.addr4))
	if err == nil {
		t.Errorf("a host that is not on the network is answered: %s", out)
	}
	state := configureWireGuard(t, outsider, "rogue", "get=1\n")
	for _, nothing := range []string{"last_handshake_time_sec=0\n", "rx_bytes=0\n"} {
		if !strings.Contains(state, nothing) {
			t.Errorf("a host that is not on the network has shaken hands:\n%s", state)
		}
	}
	if strings.Contains(state, "tx_bytes=0\n") {
		t.Errorf("it has not even tried:\n%s", state)
	}
	// Members don't send it anything, by whatever way.
	frame(t, victim, packet.Broadcast, experimental, []byte(text))
	heard, err := p.Receive(time.Second, func(f []byte) bool {
		return isWireGuardData(f) || bytes.Contains(f, []byte(text))
	})
	checkErr(t, err)
	if heard {
		t.Error("a host that is not on the network gets its packets")
	}
}

// replay records packets of WireGuard, and sends them again from another host.
func replay(t *testing.T, l *lab.Lab, pair []container) {
	p := openPort(t, pair[0].host.Netns(), "eth0")
	to := openPort(t, pair[0].ns, "eth0")
	const text = "said only once"
	count := func(within time.Duration) (n int) {
		_, err := to.Receive(within, func(f []byte) bool {
			// Not what the container sends: nobody listens, and it tells so by ICMP with the text.
			if bytes.HasPrefix(f, pair[0].mac[:]) && bytes.Contains(f, []byte(text)) {
				n++
			}
			return false
		})
		checkErr(t, err)
		return n
	}
	datagram(t, pair[1], pair[0].addr4, text)
	if n := count(time.Second); n != 1 {
		t.Fatalf("what was said once arrives %d times", n)
	}
	var recorded [][]byte
	_, err := p.Receive(200*time.Millisecond, func(f []byte) bool {
		// Those that came to this host.
		if isWireGuardData(f) && netip.AddrFrom4([4]byte(f[30:34])) == pair[0].host.Addr4() {
			recorded = append(recorded, bytes.Clone(f))
		}
		return false
	})
	checkErr(t, err)
	if len(recorded) == 0 {
		t.Fatal("nothing was recorded")
	}
	attacker := openPort(t, l.Host("outside").Netns(), "eth0")
	received := peerOf(t, pair[0].host, pair[1].host).Received
	for _, f := range recorded {
		checkErr(t, attacker.Send(f))
	}
	if n := count(time.Second); n != 0 {
		t.Errorf("a packet that was sent again arrives %d times", n)
	}
	if pair[0].host.Addr4() == pair[1].host.Addr4() || received == 0 {
		t.Error("the packets came by another way, so this proves nothing")
	}
}

// peerOf is what a host says of another as a peer of its first device.
func peerOf(t *testing.T, h, other *lab.Host) wireGuardPeer {
	t.Helper()
	for _, p := range encryptionOf(t, h, "enc").Devices[0].Peers {
		if p.VTEP == other.Addr4() {
			return p
		}
	}
	t.Fatalf("%s has no peer %s", h.Name(), other.Name())
	return wireGuardPeer{}
}

// containerToWireGuard sends to the ports at which hosts take in encrypted packets.
func containerToWireGuard(t *testing.T, pair []container) {
	own := encryptionOf(t, pair[0].host, "enc").Devices[0].Port
	for _, to := range []netip.Addr{pair[0].host.Addr4(), pair[1].host.Addr4()} {
		r := rule{pair[0].host, "inet", "container_to_agent", "container to an agent over IPv4"}
		before := r.dropCount(t)
		checkErr(t, packet.SendUDP(pair[0].ns, netip.AddrPortFrom(to, own), []byte("to WireGuard")))
		r.awaitDrop(t, before)
	}
}

// memberToService sends to a port of another member's host, inside WireGuard.
func memberToService(t *testing.T, host, member *lab.Host) {
	const text = "to a service of the host"
	var service *net.UDPConn
	at := netip.AddrPortFrom(host.Addr4(), 9999)
	checkErr(t, packet.In(host.Netns(), func() (err error) {
		service, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	}))
	defer service.Close()
	device := openPort(t, member.Netns(), "wg0-enc")
	attack := func() {
		checkErr(t, device.Send(packet.UDP(netip.AddrPortFrom(member.Addr4(), 9999), at, []byte(text))))
	}
	checkDefence(t, rule{host, "inet", "from_wireguard", "not VXLAN from a member, but from WireGuard"}, attack,
		func(within time.Duration) bool {
			checkErr(t, service.SetReadDeadline(time.Now().Add(within)))
			buf := make([]byte, 100)
			n, err := service.Read(buf)
			return err == nil && string(buf[:n]) == text
		})
}

// memberAsAnother lets a member send with the addresses of a third host: its VTEP, and its container's.
func memberAsAnother(t *testing.T, pair []container, third container) {
	device := openPort(t, pair[1].host.Netns(), "wg0-enc")
	arrived := openPort(t, pair[0].ns, "eth0")
	inner := func(text string) []byte {
		return packet.VXLAN(120, packet.Ethernet(pair[0].mac, third.mac, experimental, []byte(text)))
	}
	asVTEP := func(h *lab.Host, text string) []byte {
		return packet.UDP(netip.AddrPortFrom(h.Addr4(), 40000), netip.AddrPortFrom(pair[0].host.Addr4(), 4789), inner(text))
	}
	checkErr(t, device.Send(asVTEP(pair[1].host, "VXLAN by its own VTEP")))
	if !receives(t, arrived, "VXLAN by its own VTEP", 3*time.Second) {
		t.Error("what a member sends with its own VTEP does not arrive, so this proves nothing")
	}
	checkErr(t, device.Send(asVTEP(third.host, "VXLAN by another's VTEP")))
	if receives(t, arrived, "VXLAN by another's VTEP", 500*time.Millisecond) {
		t.Error("a member can send with the VTEP of another")
	}
	if !labtest.UsesPrograms() {
		return // nothing is taken without a VXLAN header
	}
	asContainer := func(c container, text string) []byte {
		return packet.UDP(netip.AddrPortFrom(c.addr4, 40000), netip.AddrPortFrom(pair[0].addr4, port), []byte(text))
	}
	checkErr(t, device.Send(asContainer(pair[1], "IP by its own container")))
	if !receives(t, arrived, "IP by its own container", 3*time.Second) {
		t.Error("what a member sends with its own container's address does not arrive, so this proves nothing")
	}
	checkErr(t, device.Send(asContainer(third, "IP by another's container")))
	if receives(t, arrived, "IP by another's container", 500*time.Millisecond) {
		t.Error("a member can send with the address of another's container")
	}
}

// forgottenHost forgets a host whose agent is gone, and whose WireGuard goes on with the keys that it has.
func forgottenHost(t *testing.T, l *lab.Lab, pair []container, gone container) {
	a := pair[0].host
	labtest.Sh(t, gone.host, "pkill -9 -x vxland-keeper; pkill -9 -x vxland")
	hears := openPort(t, gone.ns, "eth0")
	inside := openPort(t, pair[0].ns, "eth0")
	stop := keepTalking(t, pair[0], gone)
	if !receives(t, hears, talk, 3*time.Second) {
		t.Error("without its agent a host gets nothing, so this proves nothing")
	}
	for _, h := range []*lab.Host{a, pair[1].host} {
		labtest.Within(t, 30*time.Second, h, "vxlanctl host ls | grep '"+gone.host.Name()+".* unreachable'")
	}
	const text = "from who is forgotten"
	frame(t, gone, packet.Broadcast, experimental, []byte(text+" before"))
	if !receives(t, inside, text+" before", 3*time.Second) {
		t.Error("before it is forgotten a host is not heard, so this proves nothing")
	}
	labtest.Sh(t, a, "vxlanctl host forget "+gone.host.Name())
	for _, h := range []*lab.Host{a, pair[1].host} {
		labtest.Within(t, 10*time.Second, h, "! vxlanctl host ls | grep "+gone.host.Name())
	}
	time.Sleep(500 * time.Millisecond)
	hears, underlay := openPort(t, gone.ns, "eth0"), openPort(t, gone.host.Netns(), "eth0")
	frame(t, gone, packet.Broadcast, experimental, []byte(text))
	if receives(t, hears, talk, 2*time.Second) {
		t.Error("a forgotten host can read what the others say")
	}
	stop()
	sent, err := underlay.Receive(100*time.Millisecond, func(f []byte) bool {
		return isWireGuardData(f) && netip.AddrFrom4([4]byte(f[30:34])) == gone.host.Addr4()
	})
	checkErr(t, err)
	if sent {
		t.Error("packets are sent to a forgotten host")
	}
	if receives(t, inside, text, 100*time.Millisecond) {
		t.Error("a forgotten host is heard")
	}
	for _, c := range pair {
		deadline := time.Now().Add(20 * time.Second)
		for encryptionOf(t, c.host, "enc").Sends < 2 {
			if time.Now().After(deadline) {
				s, _ := json.Marshal(encryptionOf(t, c.host, "enc"))
				t.Fatalf("the keys of %s do not rotate: %s", c.host.Name(), s)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	awaitReach(t, pair)
}
