package pathcheck

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"testing"

	"vxlan-driver/internal/enrol"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

// endVar makes the test's own program one end of the ways, since all threads of an end must be in
// its network namespace.
const endVar = "VXLAN_TEST_PATH_END"

func TestMain(m *testing.M) {
	if text := os.Getenv(endVar); text != "" {
		if err := runEnd(text, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// endSpec is a PathSpec with the addresses, which no JSON of it has.
type endSpec struct {
	enrol.PathSpec
	From, To netip.Addr
}

// runEnd prepares the ways, prints how far it is, reads how far the other end is, prints what it
// found, and answers until its input ends.
func runEnd(text string, in io.Reader, out io.Writer) error {
	var spec endSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	spec.Self, spec.Peer = spec.From, spec.To
	path := Open(spec.PathSpec, nil)
	defer path.Close()
	if err := json.NewEncoder(out).Encode(path.Ready()); err != nil {
		return err
	}
	decoder := json.NewDecoder(in)
	var peer enrol.PathReady
	if err := decoder.Decode(&peer); err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(path.Probe(context.Background(), peer)); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, in)
	return err
}

// pathEnd is one end, a process in a namespace of its own.
type pathEnd struct {
	shell func(string) string
	path  string
	in    io.WriteCloser
	out   *bufio.Reader
	stop  func() // lets it clean up and end
}

// newEnds makes two hosts with an underlay.
func newEnds(t *testing.T) (ends [2]*pathEnd) {
	for i := range ends {
		path := netnstest.New(t)
		ends[i] = &pathEnd{path: path, shell: netnstest.Shell(t, path)}
		ends[i].shell("ip link set lo up")
	}
	ends[0].shell("ip link add eth0 type veth peer name eth0 netns " + ends[1].path)
	for i, e := range ends {
		e.shell(fmt.Sprintf("ip address add 198.18.0.%d/24 dev eth0; ip -6 address add fd00:18::%d/64 dev eth0 nodad; ip link set eth0 up", i+1, i+1))
	}
	for _, e := range ends {
		netnstest.WaitForAddrs(t, e.path)
	}
	return ends
}

func (e *pathEnd) start(t *testing.T, spec endSpec) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env, cmd.Stderr = append(os.Environ(), endVar+"="+string(text)), os.Stderr
	if e.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	e.out = bufio.NewReader(out)
	if err := netns.Do(e.path, cmd.Start); err != nil {
		t.Fatal(err)
	}
	e.stop = sync.OnceFunc(func() {
		if err := errors.Join(e.in.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(e.stop)
}

func (e *pathEnd) receive(t *testing.T, v any) {
	t.Helper()
	line, err := e.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// probe runs both ends, and returns how far they were prepared and what they found.
func probe(t *testing.T, ends [2]*pathEnd, addrs [2]netip.Addr) (ready [2]enrol.PathReady, found [2]enrol.PathReport) {
	for i, e := range ends {
		spec := endSpec{enrol.PathSpec{Nonce: [16]byte{7}, VNI: 0xabcdef, MTU: 1500, AgentPort: 7947, TunnelPort: 4789}, addrs[i], addrs[1-i]}
		e.start(t, spec)
		e.receive(t, &ready[i])
	}
	for i, e := range ends {
		if err := json.NewEncoder(e.in).Encode(ready[1-i]); err != nil {
			t.Fatal(err)
		}
	}
	for i, e := range ends {
		e.receive(t, &found[i])
	}
	return ready, found
}

// drop makes rules for what a host receives from the underlay.
func drop(rules string) string {
	return fmt.Sprintf("nft 'table inet firewall { chain input { type filter hook input priority 0; iifname eth0 %s; }; }'", rules)
}

// underlays are the two hosts' addresses.
var underlays = [][2]netip.Addr{
	{netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("198.18.0.2")},
	{netip.MustParseAddr("fd00:18::1"), netip.MustParseAddr("fd00:18::2")},
}

func TestWaysBetweenTwoHosts(t *testing.T) {
	all := enrol.PathReport{UDP: true, Tunnel: true, Heard: true, Largest: 1500}
	without := func(change func(*enrol.PathReport)) enrol.PathReport {
		r := all
		change(&r)
		return r
	}
	for _, tt := range []struct {
		name          string
		underlays     int
		first, second string // done on these hosts before
		wantFirst     enrol.PathReport
		wantSecond    enrol.PathReport
	}{
		{"open", 2, "", "", all, all},
		{"TCP dropped", 1, "", drop("tcp dport 7947 drop"),
			without(func(r *enrol.PathReport) { r.TCP = "no answer" }), all},
		{"TCP rejected", 1, drop("tcp dport 7947 reject with tcp reset"), "",
			all, without(func(r *enrol.PathReport) { r.TCP = "refused" })},
		{"UDP dropped", 1, "", drop("udp dport 7947 drop"),
			all, without(func(r *enrol.PathReport) { r.UDP = false })},
		{"tunnel dropped one way", 1, drop("udp dport 4789 drop"), "",
			without(func(r *enrol.PathReport) { r.Tunnel, r.Heard, r.Largest = false, false, 0 }),
			without(func(r *enrol.PathReport) { r.Tunnel, r.Largest = false, 0 })},
		{"large packets dropped one way", 2, "", drop("udp dport 4789 meta length > 1400 drop"),
			without(func(r *enrol.PathReport) { r.Largest = 1400 }), all},
	} {
		for _, addrs := range underlays[:tt.underlays] {
			t.Run(tt.name+" "+addrs[0].String(), func(t *testing.T) {
				t.Parallel()
				ends := newEnds(t)
				ends[0].shell(tt.first)
				ends[1].shell(tt.second)
				_, found := probe(t, ends, addrs)
				if found != [2]enrol.PathReport{tt.wantFirst, tt.wantSecond} {
					t.Errorf("got  %+v\nwant %+v", found, [2]enrol.PathReport{tt.wantFirst, tt.wantSecond})
				}
			})
		}
	}
}

// What cannot be tried is said before, and the rest is tried. Nothing is left afterwards.
func TestWaysThatCannotBeTried(t *testing.T) {
	ends := newEnds(t)
	ends[0].shell("ip link add vx-join-aaaaaa type vxlan id 6 dstport 4790; ip link set vx-join-aaaaaa alias 'vxlan-driver join check, process 999999999'")
	ends[1].shell("ip link add other type vxlan id 5 dstport 4789 udp6zerocsumrx local 198.18.0.2; ip link set other up")
	agent := holdPort(t, ends[1].path, "198.18.0.2:7947")
	ready, found := probe(t, ends, underlays[0])
	for i, want := range []enrol.PathReady{{MAC: ready[0].MAC}, {
		NoTunnel:    "has another program on UDP 4789, or a VXLAN device that is set up otherwise",
		NoAgentPort: "cannot listen on port 7947: listen tcp 198.18.0.2:7947: bind: address already in use",
	}} {
		if ready[i] != want {
			t.Errorf("host %d: got %+v, want %+v", i, ready[i], want)
		}
	}
	if want := [2]enrol.PathReport{{UDP: true}, {}}; found != want {
		t.Errorf("got  %+v\nwant %+v", found, want)
	}
	agent.Close()
	for i, e := range ends {
		e.stop()
		if left := e.shell("ip -o link show type vxlan | grep vx-join || true"); left != "" {
			t.Errorf("host %d still has %s", i, left)
		}
	}
}

// holdPort listens in a namespace, as an agent does.
func holdPort(t *testing.T, path, at string) (l net.Listener) {
	t.Helper()
	err := netns.Do(path, func() (err error) {
		l, err = net.Listen("tcp", at)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
