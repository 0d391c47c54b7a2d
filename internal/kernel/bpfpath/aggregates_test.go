package bpfpath

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netns"
)

func requireAggregates(t testing.TB) {
	t.Helper()
	if !canTakeAggregates() {
		t.Skip("the kernel lacks BPF_F_ADJ_ROOM_DECAP_L4_UDP (Linux 7.3)")
	}
}

// aggregateMaker makes aggregates come to the second host.
type aggregateMaker struct {
	name    string
	prepare func(from, to *realHost)
}

var aggregateMakers = []aggregateMaker{
	{"not cut up", func(from, to *realHost) {}},
	{"put together", joinOnTheWay},
}

// TestAggregatesTaken sends streams, of which the other host gets aggregates. Its program takes them all from the
// underlay interface.
func TestAggregatesTaken(t *testing.T) {
	requireAggregates(t)
	for name, u := range underlays {
		for _, maker := range aggregateMakers {
			t.Run(name+"/"+maker.name, func(t *testing.T) {
				a, b := newPair(t, u)
				maker.prepare(a, b)
				if got := receiveAggregates(t, a, b); got.UnwrappedPackets != 0 {
					t.Errorf("left to the VXLAN device: %+v", got)
				}
			})
		}
	}
}

// TestAggregatesLeft does the same with programs as older kernels have them. The VXLAN device takes the aggregates
// apart.
func TestAggregatesLeft(t *testing.T) {
	for _, maker := range aggregateMakers {
		t.Run(maker.name, func(t *testing.T) {
			a, b := newPair(t, underlay{})
			maker.prepare(a, b)
			a.programs.leaveAggregates, b.programs.leaveAggregates = true, true
			if got := receiveAggregates(t, a, b); got.UnwrappedPackets < 1000 {
				t.Errorf("the VXLAN device unwrapped too few: %+v", got)
			}
		})
	}
}

// TestAggregatesOfLongSegments sends datagrams in one piece. The other host's program takes the piece if each
// datagram fits, though the piece does not.
func TestAggregatesOfLongSegments(t *testing.T) {
	requireAggregates(t)
	const size = 1372
	for name, test := range map[string]struct {
		mtu  int
		want programsCounters // of packets
	}{
		"longest":  {size + 28, programsCounters{ReceivedPackets: 21}},
		"too long": {size + 27, programsCounters{UnwrappedPackets: 21}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t, underlay{})
			a.in("ping -c 1 -W 5 10.0.0.2")
			connectPair(a, b)
			for _, link := range []string{"vx.0", "br0", "c0"} {
				b.sh(fmt.Sprintf("ip link set %s mtu %d", link, test.mtu))
			}
			b.set(b.want(a))
			sendSegments(t, a, b, size)
			got := b.ownCounters()
			if got.ReceivedPackets != test.want.ReceivedPackets || got.UnwrappedPackets != test.want.UnwrappedPackets {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// receiveAggregates sends streams, and wants that they come as aggregates. Each counts as its segments.
func receiveAggregates(t *testing.T, a, b *realHost) programsCounters {
	t.Helper()
	connectPair(a, b)
	wire := packetSocket(t, b.path, "eth0")
	exchangeStream(t, a, b, "10.0.0.2:80")
	exchangeStream(t, a, b, "[fd00::2]:80")
	if longest := longestIn(t, wire); longest < 4000 {
		t.Errorf("no aggregates: the longest packet has %d bytes", longest)
	}
	got := b.ownCounters()
	packets, bytes := got.ReceivedPackets+got.UnwrappedPackets, got.ReceivedBytes+got.UnwrappedBytes
	if bytes < 4_000_000 || packets < bytes/1464 {
		t.Errorf("counted %d packets of %d bytes", packets, bytes)
	}
	return got
}

// Commands of SIOCETHTOOL (linux/ethtool.h).
const (
	setTSO = 0x1f
	setGRO = 0x2c
)

// joinOnTheWay makes one host cut up what it sends on the underlay, and the other put it together again, as cards
// and their drivers do.
func joinOnTheWay(from, to *realHost) {
	from.setOffload(setTSO, 0)
	to.setOffload(setGRO, 1)
}

// setOffload switches a feature of the underlay interface.
func (h *realHost) setOffload(command, value uint32) {
	h.Helper()
	argument := [2]uint32{command, value} // struct ethtool_value
	request := struct {                   // struct ifreq
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&argument)}
	copy(request.name[:], "eth0")
	err := netns.Do(h.path, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
		if errno != 0 {
			return errno
		}
		return nil
	})
	if err != nil {
		h.Fatal(err)
	}
}

// markCongestion marks all IPv4 packets that leave on the underlay, as a router does whose queue is long (CE).
func (h *realHost) markCongestion() {
	h.Helper()
	const typeAt, versionAt, tosAt, checksumAt = 12, 14, 15, 24
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.LoadAbs(typeAt, asm.Half), asm.JNE.Imm(asm.R0, unix.ETH_P_IP, "end"),
			asm.LoadAbs(versionAt, asm.Half), asm.Mov.Reg(asm.R3, asm.R0), asm.Mov.Reg(asm.R4, asm.R0), asm.Or.Imm(asm.R4, 3),
			asm.StoreMem(asm.R10, -8, asm.R4, asm.Byte),
			asm.HostTo(asm.BE, asm.R3, asm.Half), asm.HostTo(asm.BE, asm.R4, asm.Half),
			asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, checksumAt), asm.Mov.Imm(asm.R5, 2), asm.FnL3CsumReplace.Call(),
			asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, tosAt), asm.Mov.Reg(asm.R3, asm.R10), asm.Add.Imm(asm.R3, -8),
			asm.Mov.Imm(asm.R4, 1), asm.Mov.Imm(asm.R5, 0), asm.FnSkbStoreBytes.Call(),
			asm.Mov.Imm(asm.R0, -1).WithSymbol("end"), asm.Return(),
		},
	})
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { program.Close() })
	err = netns.Do(h.path, func() error {
		index, err := linkIndex("eth0")
		if err != nil {
			return err
		}
		l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: program, Attach: ebpf.AttachTCXEgress})
		if err == nil {
			h.Cleanup(func() { l.Close() })
		}
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
}
