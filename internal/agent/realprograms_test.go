package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel/bpfpath"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/plugin"
)

// usePrograms lets the agent attach eBPF programs, pinned in a file system of the test's.
func (b *bigHost) usePrograms() *bpfpath.Programs {
	b.t.Helper()
	dir := b.t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		b.t.Skipf("no BPF file system: %v", err)
	}
	b.t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			b.t.Error(err)
		}
	})
	programs := &bpfpath.Programs{Dir: filepath.Join(dir, "vxlan-driver", "netns-1")}
	b.followPrograms(programs)
	return programs
}

// followPrograms lets the agent use them, as cmd/vxland does.
func (b *bigHost) followPrograms(programs *bpfpath.Programs) {
	b.openHost = func(path string) (hoststate.Namespace, error) { return programs.Open(path) }
	b.Host.AttachNext = func(device string) error { return programs.AttachNext(b.ns, device) }
	b.Host.FastPathChecksSenders = func(device string) bool { return programs.State(device).Reason == "" }
}

// The tables of eBPF programs have what is wanted after any news. With the host's last container all goes.
func TestProgramsFollowNews(t *testing.T) {
	for name, network := range map[string]string{"plain": manyHostsNetwork, "port security": withOption(manyHostsNetwork, "port_security", "true")} {
		t.Run(name, func(t *testing.T) {
			b := newBigHostOn(t, network, 30, 5, 2)
			programs := b.usePrograms()
			wantNone := func(when string) {
				t.Helper()
				if keys := b.drifted(); len(keys.MACs) > 0 {
					t.Errorf("%s: these are not as wanted: %v", when, keys.MACs)
				}
				if s := programs.State("vxlan-blue"); !s.Attached {
					t.Errorf("%s: %+v", when, s)
				}
			}
			settle := func() {
				t.Helper()
				for range 2 { // the first may attach the programs, the second sees what their tables lack
					b.listSoon()
					b.mustTurn(scopeFull)
					b.drain()
				}
			}
			settle()
			wantNone("at first")
			for range 20 {
				b.startRemote()
				b.stopRemote()
				b.mustTurn(scopeForwarding)
			}
			b.addHost()
			b.mustTurn(scopeForwarding)
			b.drain()
			wantNone("after news")
			sh := netnstest.Shell(t, b.ns)
			sh("ip xfrm policy add src 198.18.0.0/15 dst 198.18.0.0/15 dir out tmpl proto esp mode transport")
			b.mustTurn(scopeFull)
			if s := programs.State("vxlan-blue"); s.Attached || s.Reason == "" {
				t.Errorf("with IPsec: %+v", s)
			}
			if _, err := os.Stat(programs.Dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("with IPsec: %v", err)
			}
			sh("ip xfrm policy flush")
			settle()
			settle()
			wantNone("without IPsec again")
			b.stopOwn(2)
			if _, err := os.Stat(programs.Dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after the last container: %v", err)
			}
		})
	}
}

// The ports of many containers get their programs one after the other. Whoever starts a container has the
// lock in between.
func TestProgramsComeOneAtATime(t *testing.T) {
	const own = 6
	b := newBigHostOn(t, manyHostsNetwork, 3, 2, own)
	programs := b.usePrograms()
	programs.AttachLater = true
	count := func() int {
		pins, err := filepath.Glob(filepath.Join(programs.Dir, "*", "networks", "*", "port-*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(pins)
	}
	b.listSoon()
	b.mustTurn(scopeFull)
	b.drain()
	if n := count(); n > 0 {
		t.Errorf("%d ports have programs at once", n)
	}
	for range 1 + own + 2 { // they are loaded; the VXLAN device and the underlay interface have programs, too
		if after, pending := b.forwarder.Pending(); pending && after > portsGap {
			t.Fatalf("the next comes after %v", after)
		}
		time.Sleep(portsGap)
		if err := b.forward(b.followed); err != nil {
			t.Fatal(err)
		}
		b.drain()
	}
	if _, pending := b.forwarder.Pending(); pending || count() != own {
		t.Errorf("%d of %d ports have programs, more are to come: %v", count(), own, pending)
	}
}

// A container moves to another host while no agent is there. The tables that the next agent takes over lead to
// the right host, as soon as it lets the programs go on.
func TestContainerMovesWithoutAgent(t *testing.T) {
	b := newBigHostOn(t, manyHostsNetwork, 5, 3, 2)
	programs := b.usePrograms()
	for range 2 {
		b.listSoon()
		b.mustTurn(scopeFull)
		b.drain()
	}
	moved := containerOn(1, 2)
	b.hear(1, func(all []cluster.Endpoint) []cluster.Endpoint { return all[:2] })
	b.hear(2, func(all []cluster.Endpoint) []cluster.Endpoint { return append(all, moved) })
	next := &bpfpath.Programs{Dir: programs.Dir, AttachLater: true}
	b.followPrograms(next)
	b.forwarder.networks = nil
	b.mustTurn(scopeFull)
	for began := time.Now(); !next.State("vxlan-blue").Attached; time.Sleep(portsGap) {
		if time.Since(began) > time.Minute {
			t.Fatal("the next agent does not attach the programs")
		}
		b.drain()
		if err := b.forward(b.followed); err != nil {
			t.Fatal(err)
		}
	}
	if keys := b.drifted(); len(keys.MACs) > 0 {
		t.Errorf("these are not as wanted: %v", keys.MACs)
	}
}

// stopOwn stops this host's first containers.
func (b *bigHost) stopOwn(count int) {
	b.t.Helper()
	p := &plugin.Plugin{Host: b.Host, Agent: grantingAgent{}}
	for i := range count {
		err := p.Teardown("", netavark.Request{
			ContainerID: fmt.Sprintf("%064x", 0xf00+i), ContainerName: fmt.Sprint("own-", i), Network: json.RawMessage(b.config),
			Options: json.RawMessage(`{"interface_name": "eth0"}`),
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// withOption returns a network with one more option.
func withOption(network, name, value string) string {
	var n map[string]any
	if err := json.Unmarshal([]byte(network), &n); err != nil {
		panic(err)
	}
	n["options"].(map[string]any)[name] = value
	out, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	return string(out)
}
