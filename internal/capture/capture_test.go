package capture

import (
	"bytes"
	"errors"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"

	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

func needTcpdump(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("tcpdump"); err != nil {
		t.Fatalf("%v; `make deps` installs it", err)
	}
}

// twoHosts makes a tunnel between two namespaces, and returns the first one.
func twoHosts(t *testing.T, family string) (path string, shell func(string) string) {
	t.Helper()
	path, other := netnstest.New(t), netnstest.New(t)
	a, b, plen := "198.18.0.1", "198.18.0.2", "24"
	if family == "-6" {
		a, b, plen = "2001:2::1", "2001:2::2", "64 nodad"
	}
	shell = netnstest.Shell(t, path)
	there := netnstest.Shell(t, other)
	shell("ip link add eth0 type veth peer name eth0 netns " + other)
	for _, host := range []struct {
		shell              func(string) string
		local, peer, inner string
	}{{shell, a, b, "10.0.0.1"}, {there, b, a, "10.0.0.2"}} {
		host.shell("ip link set lo up; ip addr add " + host.local + "/" + plen + " dev eth0; ip link set eth0 up\n" +
			"ip link add vx type vxlan id 77 dstport 4789 local " + host.local + " remote " + host.peer + "\n" +
			"ip addr add " + host.inner + "/24 dev vx; ip link set vx up")
	}
	if family == "-6" {
		netnstest.WaitForAddrs(t, path)
		netnstest.WaitForAddrs(t, other)
	}
	shell("ping -c 1 -W 5 10.0.0.2")
	return path, shell
}

func TestCaptureHasBothSidesOfTheTunnel(t *testing.T) {
	needTcpdump(t)
	for _, tt := range []struct{ family, local string }{{"-4", "198.18.0.1"}, {"-6", "2001:2::1"}} {
		t.Run(tt.family, func(t *testing.T) {
			path, shell := twoHosts(t, tt.family)
			var out bytes.Buffer
			started := &notifyWriter{out: &out, started: make(chan struct{})}
			go func() {
				<-started.started
				shell("ping -c 3 -i 0.2 -W 5 10.0.0.1; ping -c 3 -i 0.2 -W 5 10.0.0.2")
			}()
			err := netns.Do(path, func() error {
				_, err := Run(t.Context(), Config{
					Device: "vx", Underlay: "eth0", Local: netip.MustParseAddr(tt.local), Port: 4789, VNI: 77, Count: 4,
					Filter: "icmp[icmptype] = icmp-echoreply", Names: map[netip.Addr]string{netip.MustParseAddr("10.0.0.2"): "web", netip.MustParseAddr("fd00::2"): "web"},
				}, started)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			checkFile(t, out.Bytes())
		})
	}
}

// notifyWriter tells when the first bytes come: both sides capture then.
type notifyWriter struct {
	out     *bytes.Buffer
	started chan struct{}
}

func (w *notifyWriter) Write(p []byte) (int, error) {
	if w.out.Len() == 0 {
		close(w.started)
	}
	return w.out.Write(p)
}

// checkFile wants replies from 10.0.0.2, inside and outside, and their names.
func checkFile(t *testing.T, file []byte) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[int]int)
	for {
		data, info, err := r.ReadPacketData()
		if err != nil {
			break
		}
		count[info.InterfaceIndex]++
		inner := data
		if info.InterfaceIndex == 1 {
			inner = innerFrame(data)
		}
		if len(inner) < 34 || netip.AddrFrom4([4]byte(inner[26:30])) != netip.MustParseAddr("10.0.0.2") {
			t.Errorf("a packet that the filter should keep out: %x", data)
		}
	}
	if count[0] != 2 || count[1] != 2 {
		t.Errorf("packets by interface: %v", count)
	}
	text := tcpdump(t, file)
	if strings.Count(text, "ICMP echo reply") != 4 || strings.Count(text, "vni 77") != 2 {
		t.Errorf("tcpdump reads\n%s", text)
	}
}

// tcpdump prints a file as another program reads it.
func tcpdump(t *testing.T, file []byte) string {
	t.Helper()
	cmd := exec.Command("tcpdump", "-n", "-r", "-")
	cmd.Stdin = bytes.NewReader(file)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("tcpdump: %v", err)
	}
	return string(out)
}

func TestCaptureRefuses(t *testing.T) {
	needTcpdump(t)
	path := netnstest.New(t)
	run := func(c Config) error {
		return netns.Do(path, func() error {
			_, err := Run(t.Context(), c, new(bytes.Buffer))
			return err
		})
	}
	if _, bad := errors.AsType[SyntaxError](run(Config{Device: "lo", Underlay: "lo", Filter: "no such word"})); !bad {
		t.Error("a bad filter is no SyntaxError")
	}
	if err := run(Config{Device: "vx", Underlay: "lo"}); err == nil || !strings.Contains(err.Error(), "capture on vx: ") || !strings.Contains(err.Error(), "No such device") {
		t.Errorf("a missing device: %v", err)
	}
	t.Setenv("PATH", "")
	if err := run(Config{Device: "lo", Underlay: "lo"}); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("without tcpdump: %v", err)
	}
}

func TestNameResolutionBlock(t *testing.T) {
	block := nameResolutionBlock(map[netip.Addr]string{
		netip.MustParseAddr("10.0.0.2"): "web", netip.MustParseAddr("fd00::2"): "db",
	})
	want := "\x04\x00\x00\x00" + "\x34\x00\x00\x00" +
		"\x01\x00\x08\x00" + "\x0a\x00\x00\x02web\x00" +
		"\x02\x00\x13\x00" + "\xfd" + strings.Repeat("\x00", 14) + "\x02db\x00" + "\x00" +
		"\x00\x00\x00\x00" + "\x34\x00\x00\x00"
	if string(block) != want {
		t.Errorf("block is\n%x, want\n%x", block, want)
	}
}

func TestInnerFrame(t *testing.T) {
	const macs = "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02"
	ip4, ip6 := "\x45"+strings.Repeat("\x00", 19), "\x60"+strings.Repeat("\x00", 39)
	udpVXLAN := strings.Repeat("\x00", udpHeader+vxlanHeader)
	tests := []struct{ name, packet, want string }{
		{"IPv4", macs + "\x08\x00" + ip4 + udpVXLAN + "frame", "frame"},
		{"options", macs + "\x08\x00" + "\x46" + strings.Repeat("\x00", 23) + udpVXLAN + "frame", "frame"},
		{"IPv6", macs + "\x86\xdd" + ip6 + udpVXLAN + "frame", "frame"},
		{"VLAN", macs + "\x81\x00\x00\x01\x08\x00" + ip4 + udpVXLAN + "frame", "frame"},
		{"ARP", macs + "\x08\x06" + ip4 + udpVXLAN + "frame", ""},
		{"cut", macs + "\x08\x00" + ip4, ""},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		if got := innerFrame([]byte(tt.packet)); string(got) != tt.want {
			t.Errorf("%s: got %q", tt.name, got)
		}
	}
}
