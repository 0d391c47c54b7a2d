package netlink

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

// What is built is read as the same: messages of a batch, and attributes within attributes.
func TestMessagesRoundTrip(t *testing.T) {
	var b Batch
	for _, text := range []string{"a", "four"} {
		b.Message(7, unix.NLM_F_ACK, func() {
			b.Attrs(NestAttr(1, TextAttr(2, text), Uint32Attr(3, 0x01020304)))
			b.Nest(4, func() { b.Uint32BE(5, 6) })
		})
	}
	var seen []string
	for m := range Messages(b.finishBatch(1)) {
		if m.Type != 7 || m.Flags != unix.NLM_F_REQUEST|unix.NLM_F_ACK || int(m.Seq) != len(seen)+1 {
			t.Errorf("got %+v", m)
		}
		if Uint32(Find(m.Body, 1, 3)) != 0x01020304 || !bytes.Equal(Find(m.Body, 4, 5), []byte{0, 0, 0, 6}) {
			t.Errorf("got %x", m.Body)
		}
		seen = append(seen, Text(Find(m.Body, 1, 2)))
	}
	if len(seen) != 2 || seen[0] != "a" || seen[1] != "four" || b.Len() != 2 {
		t.Errorf("got %q", seen)
	}
}

// Whatever the bytes are, reading them ends, and yields nothing from beyond them.
func FuzzMessages(f *testing.F) {
	request := NewRequest(7, 0)
	request.Attrs(NestAttr(1, TextAttr(2, "text")))
	f.Add(request.finishRequest(1))
	f.Fuzz(func(t *testing.T, b []byte) {
		for m := range Messages(b) {
			for _, payload := range Attrs(m.Body) {
				if len(payload) > len(b) {
					t.Error("an attribute is longer than all")
				}
			}
			_ = m.refusal()
		}
	})
}

// The kernel's error comes with its number and its own words; of a batch, with the message that it
// is of.
func TestRefusals(t *testing.T) {
	ns := netnstest.New(t)
	c, err := Open(ns, unix.NETLINK_ROUTE, StrictChecks)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body := make([]byte, unix.SizeofIfInfomsg)
	getLink := func(name string) *Builder {
		request := NewRequest(unix.RTM_GETLINK, 0)
		request.Raw(body...)
		request.Text(unix.IFLA_IFNAME, name)
		return request
	}
	if answers, err := c.Execute(getLink("lo")); err != nil || len(answers) != 1 {
		t.Errorf("got %d answers, %v", len(answers), err)
	}
	if _, err := c.Execute(getLink("none")); err != unix.ENODEV {
		t.Errorf("got %v", err)
	}
	var b Batch
	for _, name := range []string{"lo", "none"} {
		b.Message(unix.RTM_SETLINK, 0, func() {
			b.Raw(body...)
			b.Text(unix.IFLA_IFNAME, name)
		})
	}
	refusals, err := c.ExecuteBatch(&b)
	if err != nil || len(refusals) != 1 || refusals[0].Index != 1 || refusals[0].Err != unix.ENODEV {
		t.Errorf("got %v, %v", refusals, err)
	}
	if _, err := Open("/nowhere", unix.NETLINK_ROUTE); !netns.Gone(err) {
		t.Errorf("got %v", err)
	}
}

// An answer that could not be read when it came is not taken for that of a later request.
func TestLateAnswersAreSkipped(t *testing.T) {
	c, err := Open(netnstest.New(t), unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request := func(typ, flags uint16, name string) *Builder {
		b := NewRequest(typ, flags)
		b.Raw(make([]byte, unix.SizeofIfInfomsg)...)
		b.Text(unix.IFLA_IFNAME, name)
		return b
	}
	late := func() {
		t.Helper()
		c.seq++
		if err := c.send(request(unix.RTM_DELLINK, unix.NLM_F_ACK, "none").finishRequest(c.seq)); err != nil {
			t.Fatal(err)
		}
	}
	late()
	if answers, err := c.Execute(request(unix.RTM_GETLINK, 0, "lo")); err != nil || len(answers) != 1 {
		t.Errorf("got %d answers, %v", len(answers), err)
	}
	late()
	var b Batch
	b.Message(unix.RTM_SETLINK, 0, func() {
		b.Raw(make([]byte, unix.SizeofIfInfomsg)...)
		b.Text(unix.IFLA_IFNAME, "lo")
	})
	if refusals, err := c.ExecuteBatch(&b); err != nil || len(refusals) > 0 {
		t.Errorf("got %v, %v", refusals, err)
	}
}

// Whoever may administer the namespace, as a container with CAP_NET_ADMIN its own, can send to a
// socket of others.
func TestOnlyTheKernelAnswers(t *testing.T) {
	ns := netnstest.New(t)
	c, err := Open(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	forger, err := Open(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer forger.Close()
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	self, err := unix.Getsockname(c.fd)
	if err != nil {
		t.Fatal(err)
	}
	forged := NewRequest(unix.RTM_NEWLINK, 0)
	forged.Raw(1, 2, 3, 4)
	if err := unix.Sendto(forger.fd, forged.finishRequest(c.seq+1), 0, self); err != nil {
		t.Fatal(err)
	}
	request := NewRequest(unix.RTM_GETLINK, 0)
	request.Raw(make([]byte, unix.SizeofIfInfomsg)...)
	request.Text(unix.IFLA_IFNAME, "lo")
	if answers, err := c.Execute(request); err != nil || len(answers) != 1 || len(answers[0]) < unix.SizeofIfInfomsg {
		t.Errorf("got %x, %v", answers, err)
	}
}

// The kernel sends no more to a socket that overflowed until all in it was read: silence would be
// taken for success.
func TestAfterOverflowRefusalsAreHeard(t *testing.T) {
	c, err := Open(netnstest.New(t), unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetReceiveBuffer(2048); err != nil {
		t.Fatal(err)
	}
	batch := func(count int) *Batch {
		b := new(Batch)
		for range count {
			b.Message(unix.RTM_SETLINK, 0, func() {
				b.Raw(make([]byte, unix.SizeofIfInfomsg)...)
				b.Text(unix.IFLA_IFNAME, "none")
			})
		}
		return b
	}
	if _, err := c.ExecuteBatch(batch(256)); !errors.Is(err, unix.ENOBUFS) {
		t.Fatalf("got %v", err)
	}
	if refusals, err := c.ExecuteBatch(batch(1)); err != nil || len(refusals) != 1 {
		t.Errorf("got %v, %v", refusals, err)
	}
}
