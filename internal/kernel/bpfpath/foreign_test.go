package bpfpath

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
)

const tcxDrop = 2 // TCX_DROP (linux/bpf.h)

// attachForeign attaches a program that drops all packets to a link, as another program may.
func (h *realHost) attachForeign(name string, at ebpf.AttachType) link.Link {
	h.Helper()
	var l link.Link
	err := netns.Do(h.path, func() error {
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.SchedCLS, Name: "guard", License: "Apache-2.0",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, tcxDrop), asm.Return()},
		})
		if err != nil {
			return err
		}
		defer program.Close()
		index, err := h.net.ns.Index(name)
		if err != nil {
			return err
		}
		l, err = link.AttachTCX(link.TCXOptions{Interface: index, Program: program, Attach: at})
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { l.Close() })
	return l
}

// waitForDetached waits until no program is attached to the underlay interface: the kernel detaches what is no
// longer pinned a moment later.
func (h *realHost) waitForDetached() {
	h.Helper()
	index, err := h.net.ns.Index("eth0")
	if err != nil {
		h.Fatal(err)
	}
	for range 500 {
		count := 0
		err := netns.Do(h.path, func() error {
			have, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXIngress})
			if err == nil {
				count = len(have.Programs)
			}
			return err
		})
		if err != nil {
			h.Fatal(err)
		}
		if count == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.Fatal("a program is still attached to eth0")
}

// Programs that others have attached to a container's port, or to the VXLAN device, are not passed by.
func TestProgramsOfOthers(t *testing.T) {
	for name, test := range map[string]struct {
		link string
		at   ebpf.AttachType
		want State
	}{
		"to a container": {"c0", ebpf.AttachTCXEgress,
			State{LeftOut: 1, LeftOutReason: "another program has attached eBPF programs to c0"}},
		"to the device": {"vx.0", ebpf.AttachTCXIngress,
			State{Reason: "another program has attached eBPF programs to vx.0"}},
		"from the device": {"vx.0", ebpf.AttachTCXEgress,
			State{Reason: "another program has attached eBPF programs to vx.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t, underlay{})
			connectPair(a, b)
			if !takes(a, b) {
				t.Fatal("not by the programs")
			}
			guard := b.attachForeign(test.link, test.at)
			if err := b.net.Set(b.want(a)); err != nil {
				t.Fatal(err)
			}
			if s := b.programs.State("vx.0"); s != test.want {
				t.Errorf("the state is %+v", s)
			}
			b.hasPins("")
			b.waitForDetached()
			wire := packetSocket(t, b.container, "eth0")
			if _, err := a.dial("udp", containerB).Write([]byte("past the guard")); err != nil {
				t.Fatal(err)
			}
			isAboutAnswers := test.link == "vx.0" && test.at == ebpf.AttachTCXEgress
			if sees(t, wire, []byte("past the guard")) && !isAboutAnswers {
				t.Error("the container got a packet that another program drops")
			}
			guard.Close()
			b.set(b.want(a))
			if !takes(a, b) {
				t.Error("not by the programs again")
			}
		})
	}
}

// Two containers of a host have one MAC. The bridge decides which of them gets its packets, and the programs
// are not attached to the one and the other in turn.
func TestTwoPortsWithOneMAC(t *testing.T) {
	a, b := newPair(t, underlay{})
	a.sh("ip link add c1 type veth peer name c1-end; ip link set c1 master br0 up; ip link set c1-end up")
	w := a.want(b)
	w.Ports = append(w.Ports, kernel.FastPathPort{Name: "c1", MAC: a.mac()})
	if err := a.net.Set(w); err != nil {
		t.Fatal(err)
	}
	if s := a.programs.State("vx.0"); s != (State{LeftOut: 2,
		LeftOutReason: "two containers have the MAC 02:00:0a:00:00:01"}) {
		t.Errorf("the state is %+v", s)
	}
	a.set(a.want(b))
}

// Two networks have one VNI on two UDP ports. What comes by the port of one is not of the other.
func TestOneVNIOnTwoPorts(t *testing.T) {
	m := newMachine(t, here)
	other := m.network
	other.Port, other.Device = toNetwork16(8472), loopback+1
	put(t, m.objects.Tunnels, tunnelOf(other), tunnelEndOf(other))
	for port, want := range map[uint16]uint32{4789: redirect, 8472: next} {
		o := received(fromPeer())
		o.port = port
		if got, _ := m.run(m.objects.FromUnderlay, o.wrap(t, fromB(udpFrame(9)).bytes(t), 7, 50000), skBuff{}); got != want {
			t.Errorf("port %d: verdict %d", port, got)
		}
	}
}

// Packets of a network are taken from its own underlay interface only. Those of another, on which the
// kernel may not want them (rp_filter), are its matter.
func TestOtherUnderlay(t *testing.T) {
	m := newMachine(t, here)
	end := tunnelEndOf(m.network)
	end.Underlay++
	put(t, m.objects.Tunnels, tunnelOf(m.network), end)
	packet := received(fromPeer()).wrap(t, fromB(udpFrame(9)).bytes(t), 7, 50000)
	if got, _ := m.run(m.objects.FromUnderlay, packet, skBuff{}); got != next {
		t.Errorf("verdict %d", got)
	}
}

// A chain for all devices whose names begin the same is about the ports among them.
func TestPortsOfOthersByPrefix(t *testing.T) {
	a, _ := newPair(t, underlay{})
	o := others{ns: a.stack, filtered: map[string]string{"c*": "netdev mine"}}
	fit, why := o.leaveOut([]kernel.FastPathPort{{Name: "c0", MAC: a.mac()}})
	if want := "the table netdev mine of another program filters packets of c0"; len(fit) > 0 || why != want {
		t.Errorf("%v, %q", fit, why)
	}
	if table := o.filterOf("vx.0"); table != "" {
		t.Errorf("it is about vx.0 too: %s", table)
	}
}

// An XDP program on the VXLAN device sees what the kernel unwraps, and is not passed by either.
func TestXDPOnDevice(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	var guard link.Link
	err := netns.Do(b.path, func() error {
		const drop = 1 // XDP_DROP (linux/bpf.h)
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.XDP, License: "Apache-2.0", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, drop), asm.Return()},
		})
		if err != nil {
			return err
		}
		defer program.Close()
		index, err := b.net.ns.Index("vx.0")
		if err != nil {
			return err
		}
		guard, err = link.AttachXDP(link.XDPOptions{Program: program, Interface: index, Flags: link.XDPGenericMode})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	if err := b.net.Set(b.want(a)); err != nil {
		t.Fatal(err)
	}
	if s := b.programs.State("vx.0"); s != (State{Reason: "an XDP program sees packets of vx.0"}) {
		t.Errorf("the state is %+v", s)
	}
	b.waitForDetached()
	wire := packetSocket(t, b.container, "eth0")
	if _, err := a.dial("udp", containerB).Write([]byte("past the guard")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if sees(t, wire, []byte("past the guard")) {
		t.Error("the container got a packet that another program drops")
	}
	guard.Close()
	b.set(b.want(a))
	if !takes(a, b) {
		t.Error("not by the programs again")
	}
}
