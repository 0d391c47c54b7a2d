package bpfpath

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// keepValid lets a host's programs go on until the test's end, as an agent does.
func (h *realHost) keepValid() {
	ctx, cancel := context.WithCancel(context.Background())
	done, programs := make(chan struct{}), h.programs
	go func() {
		programs.KeepValid(ctx, h.path)
		close(done)
	}()
	h.Cleanup(func() {
		cancel()
		<-done
	})
}

// Once their time is over, programs leave all packets to the VXLAN device.
func TestExpiredPrograms(t *testing.T) {
	m := newMachine(t, here)
	for until, want := range map[uint64]uint32{^uint64(0): redirect, 1: next, 0: next} {
		put(t, m.objects.ValidJiffies, uint32(0), until)
		if got, _ := m.run(m.objects.FromContainer, udpFrame(9).bytes(t), skBuff{}); got != want {
			t.Errorf("until %d: on sending %d", until, got)
		}
		packet := received(fromPeer()).wrap(t, fromB(udpFrame(9)).bytes(t), 7, 50000)
		if got, _ := m.run(m.objects.FromUnderlay, packet, skBuff{}); got != want {
			t.Errorf("until %d: on receiving %d", until, got)
		}
		if got, _ := m.run(m.objects.FromDevice, fromB(udpFrame(9)).bytes(t), skBuff{}); got != want {
			t.Errorf("until %d: on receiving from the device %d", until, got)
		}
	}
}

// The agent is gone for long. Packets go on by the other ways, and by the programs with the next agent.
func TestAgentGoneForLong(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	for _, h := range []*realHost{a, b} {
		put(t, h.programs.objects.ValidJiffies, uint32(0), uint64(1))
	}
	if takes(a, b) {
		t.Error("the programs still take packets")
	}
	for _, h := range []*realHost{a, b} {
		h.newAgent()
	}
	connectPair(a, b)
	if !takes(a, b) {
		t.Error("not by the programs of the new agents")
	}
}

// The agent was gone for long, and the next one has set up another network. The programs take nothing of one that it
// has not looked at: its containers may have moved.
func TestOtherNetworkAfterLong(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	for _, h := range []*realHost{a, b} {
		put(t, h.programs.objects.ValidJiffies, uint32(0), uint64(1))
		h.newAgent()
		if err := errors.Join(h.programs.load(), h.programs.renewLease(h.path)); err != nil {
			t.Fatal(err)
		}
	}
	if takes(a, b) {
		t.Error("the programs take packets")
	}
	connectPair(a, b)
	if !takes(a, b) {
		t.Error("not by the programs of the new agents")
	}
}

// What an agent long gone has left cannot be taken out of a table. The programs are not used with it, however often the
// next agent tries.
func TestTablesThatCannotBeEmptied(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	put(t, a.programs.objects.ValidJiffies, uint32(0), uint64(1))
	if err := a.programs.objects.Ports.Freeze(); err != nil {
		t.Fatal(err)
	}
	a.newAgent()
	for range 2 {
		if err := a.programs.load(); err == nil || a.programs.objects != nil {
			t.Errorf("they are used, with %v", err)
		}
	}
}

// While no agent is there, somebody adds an IPsec policy for which there are no keys yet. No packet leaves
// unencrypted once the programs' time is over, and none with the next agent.
func TestIPsecWithoutAgent(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	if !takes(a, b) {
		t.Fatal("not by the programs")
	}
	put(t, a.programs.objects.ValidJiffies, uint32(0), uint64(1))
	a.sh("ip xfrm policy add src 198.18.0.1 dst 198.18.0.2 dir out tmpl proto esp mode transport")
	wire := packetSocket(t, b.path, "eth0")
	secret := []byte("a secret of the container's")
	send := func() {
		t.Helper()
		c := a.dial("udp", containerB)
		for range 3 {
			_, _ = c.Write(secret) // the kernel may say that it waits for keys
		}
		if sees(t, wire, secret) {
			t.Error("it left unencrypted")
		}
	}
	send()
	a.newAgent()
	if err := a.net.Set(a.want(b)); err != nil {
		t.Fatal(err)
	}
	if s := a.programs.State("vx.0"); s.Attached || s.Reason == "" {
		t.Errorf("the state is %+v", s)
	}
	send()
}

// sees tells whether something is in a packet that a socket has.
func sees(t *testing.T, socket int, what []byte) bool {
	t.Helper()
	return findFrame(t, socket, func(frame []byte) bool { return bytes.Contains(frame, what) }) != nil
}

// findFrame returns the first frame that a socket has received and that is wanted, or nil.
func findFrame(t testing.TB, socket int, wanted func(frame []byte) bool) []byte {
	t.Helper()
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(socket, buffer, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		if wanted(buffer[:n]) {
			return buffer[:n]
		}
	}
}

// An agent lets no program go on while IPsec is about the packets of any network in the tables, though it
// may not have looked at that network yet.
func TestLeaseNeedsAbsenceOfIPsec(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	renew := func() uint64 {
		t.Helper()
		a.programs.mu.Lock()
		defer a.programs.mu.Unlock()
		if err := a.programs.renewLease(a.path); err != nil {
			t.Fatal(err)
		}
		return endOf(t, a.programs.objects.ValidJiffies)
	}
	if renew() == 0 {
		t.Error("without IPsec: they may take nothing")
	}
	a.sh("ip xfrm policy add src 198.18.0.1 dst 198.18.0.2 dir out tmpl proto esp mode transport")
	if end := renew(); end != 0 {
		t.Errorf("with IPsec: they may take packets until %d", end)
	}
	a.sh("ip xfrm policy flush")
	a.set(a.want(b))
	if !takes(a, b) {
		t.Error("not by the programs again")
	}
}
