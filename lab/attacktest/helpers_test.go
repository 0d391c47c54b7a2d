package attacktest

import (
	"bytes"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

// startLab starts a lab with vxlanctl, which restores the rules that a test removed.
func startLab(t *testing.T, hosts int) *lab.Lab {
	t.Helper()
	return labtest.Start(t, lab.Config{Hosts: hosts, Outside: true, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
}

// createNetwork creates a network without DNS, and so without agents. They would restore the rules
// that a test removes, and neighbour suppression would stop some attacks by itself.
func createNetwork(t *testing.T, hosts []*lab.Host, name, flags string) {
	t.Helper()
	labtest.CreateOn(t, hosts, name, "--disable-dns "+flags)
}

// container is a running container.
type container struct {
	host         *lab.Host
	name         string
	ns           string
	mac          packet.MAC
	addr4, addr6 netip.Addr
}

// runContainer starts a container; addr6 is invalid if the network has no IPv6.
func runContainer(t *testing.T, h *lab.Host, name, network string) container {
	t.Helper()
	labtest.Sh(t, h, fmt.Sprintf("podman run -d --name %s --network %s localhost/web", name, network))
	c := container{host: h, name: name, ns: labtest.Namespace(t, h, name)}
	c.addr4 = netip.MustParseAddr(labtest.Field(t, h, name, network, "IPAddress"))
	if a := labtest.Field(t, h, name, network, "GlobalIPv6Address"); a != "" {
		c.addr6 = netip.MustParseAddr(a)
	}
	p := openPort(t, c.ns)
	c.mac = p.MAC()
	return c
}

// openPort opens a port on eth0 of a namespace until the test ends.
func openPort(t *testing.T, ns string) *packet.Port {
	t.Helper()
	p, err := packet.Open(ns, "eth0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// markedFrame returns a unique frame to a container, and a function that recognizes it.
func markedFrame(t *testing.T, to container) (frame []byte, known func([]byte) bool) {
	marks++
	mark := fmt.Appendf(nil, "forged %d for %s by %s", marks, to.name, t.Name())
	forged := netip.MustParseAddrPort("203.0.113.9:1000") // RFC 5737: no host of the lab has it
	payload := packet.UDP(forged, netip.AddrPortFrom(to.addr4, 1000), mark)
	return packet.Ethernet(to.mac, packet.MAC{2, 0, 0, 0, 0, 9}, packet.TypeIPv4, payload),
		func(b []byte) bool { return bytes.Contains(b, mark) }
}

var marks int

// rule is a rule that counts what it drops.
type rule struct {
	host    *lab.Host
	family  string // inet or bridge
	chain   string
	comment string
}

// dropCount returns how many packets the rule has dropped.
func (r rule) dropCount(t *testing.T) int {
	t.Helper()
	out := labtest.Sh(t, r.host, fmt.Sprintf("nft list chain %s vxlan-driver %s", r.family, r.chain))
	for line := range strings.Lines(out) {
		if _, counted, ok := strings.Cut(line, "counter packets "); ok && strings.Contains(line, fmt.Sprintf("comment %q", r.comment)) {
			n, err := strconv.Atoi(strings.Fields(counted)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s has no rule %q in chain %s that counts:\n%s", r.host.Name(), r.comment, r.chain, out)
	return 0
}

// disable removes the rule's chain, until reloadRules.
func (r rule) disable(t *testing.T) {
	t.Helper()
	labtest.Sh(t, r.host, fmt.Sprintf("nft flush chain %s vxlan-driver %s", r.family, r.chain))
}

func reloadRules(t *testing.T, h *lab.Host) {
	t.Helper()
	labtest.Sh(t, h, "vxlanctl reload")
}

// arrivalTimeout is how long a packet may take to arrive on a busy machine.
const arrivalTimeout = 3 * time.Second

// checkDefence proves that the rule alone stops an attack: the attack fails with it and the rule
// counts it, and succeeds without.
func checkDefence(t *testing.T, r rule, attack func(), succeeded func(within time.Duration) bool) {
	t.Helper()
	before := r.dropCount(t)
	attack()
	deadline := time.Now().Add(arrivalTimeout)
	for r.dropCount(t) == before {
		if time.Now().After(deadline) {
			t.Errorf("the rule %q dropped nothing", r.comment)
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	// A dropped packet never arrives. Wait for one that took another way.
	if succeeded(100 * time.Millisecond) {
		t.Errorf("the attack succeeds in spite of the rule %q", r.comment)
	}
	r.disable(t)
	defer reloadRules(t, r.host)
	attack()
	if !succeeded(arrivalTimeout) {
		t.Errorf("the attack does not succeed without the rule %q either, so this test proves nothing", r.comment)
	}
}

// receives tells whether a frame arrives at a port.
func receives(t *testing.T, p *packet.Port, known func([]byte) bool) func(time.Duration) bool {
	return func(within time.Duration) bool {
		got, err := p.Receive(within, known)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
}

// checkErr fails the test if an attack could not be made.
func checkErr(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// keepPinging pings from a container, twenty times a second, until the returned function is called.
// No answer may be missing.
func keepPinging(t *testing.T, from container, to netip.Addr) (stop func()) {
	t.Helper()
	cmd := from.host.Command(t.Context(), "nsenter", "--net="+strings.TrimPrefix(from.ns, from.host.Path("/")), "ping", "-i0.05", "-q", to.String())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	checkErr(t, cmd.Start())
	return func() {
		t.Helper()
		// Debian's ping prints its sum on SIGINT. The one that nsenter became is in the host's PID
		// namespace.
		interruptProcess(t, cmd)
		_ = cmd.Wait()
		if said := out.String(); !strings.Contains(said, " 0% packet loss") {
			t.Errorf("%s to %s under attack: %s", from.name, to, said)
		}
	}
}

func interruptProcess(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	// The command's own process group, which lab.Host.Command gives it; never the kill program,
	// which misreads negative ids.
	if cmd.Process.Pid <= 1 {
		t.Fatalf("no process to interrupt: %d", cmd.Process.Pid)
	}
	checkErr(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
}
