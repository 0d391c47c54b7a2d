package bpfpath

import (
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

// BenchmarkOneHost is the computing time of packets between two containers of one host: by the bridge, and by
// a program on each port that hands all packets to the other container. It looks nothing up and checks
// nothing, so it is what programs could gain at most. No rules filter the bridge's packets.
func BenchmarkOneHost(b *testing.B) {
	for _, direct := range []bool{false, true} {
		name := map[bool]string{false: "bridge", true: "programs"}[direct]
		b.Run("UDP/"+name, func(b *testing.B) {
			client, server := newNeighbours(b, direct)
			defer reportCPU(b)()
			for i := range b.N {
				sendOne(b, client, server, i)
			}
		})
		b.Run("round trip/"+name, func(b *testing.B) {
			client, server := newNeighbours(b, direct)
			buffer := make([]byte, 100)
			defer reportCPU(b)()
			for range b.N {
				bounce(b, client, server, buffer)
			}
		})
	}
}

// newNeighbours returns sockets in two containers of one host.
func newNeighbours(b *testing.B, direct bool) (client, server int) {
	b.Helper()
	pinToCPU(b)
	h, second := newRealHost(b, 1), netnstest.New(b)
	h.sh("ip link add eth0 type veth peer name eth0-end; ip link set eth0-end up")
	h.connect(underlay{})
	h.sh("ip link add c1 mtu 1450 type veth peer name eth0 mtu 1450 netns " + second + "; ip link set c1 master br0 up")
	netnstest.Shell(b, second)("ip link set lo up; ip link set eth0 up; ip address add 10.0.0.2/24 dev eth0")
	h.in("ping -c 1 -W 5 10.0.0.2")
	if direct {
		h.attachRedirect("c0", "c1")
		h.attachRedirect("c1", "c0")
	}
	return openEnds(b, [2]benchmarkEnd{
		{h.container, netip.MustParseAddr("10.0.0.1")}, {second, netip.MustParseAddr("10.0.0.2")},
	})
}

// attachRedirect hands all that comes from one port's container to another one's.
func (h *realHost) attachRedirect(from, to string) {
	h.Helper()
	err := netns.Do(h.path, func() error {
		target, err := h.net.ns.Index(to)
		if err != nil {
			return err
		}
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.SchedCLS, License: "Apache-2.0",
			Instructions: asm.Instructions{
				asm.Mov.Imm(asm.R1, int32(target)), asm.Mov.Imm(asm.R2, 0), asm.FnRedirectPeer.Call(), asm.Return(),
			},
		})
		if err != nil {
			return err
		}
		defer program.Close()
		index, err := h.net.ns.Index(from)
		if err != nil {
			return err
		}
		l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: program, Attach: ebpf.AttachTCXIngress})
		if err == nil {
			h.Cleanup(func() { l.Close() })
		}
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
}
