package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/nlmsg"
)

const (
	// batchLen is how many messages go to the kernel at once. With more the time for
	// each falls no further, and their acks must fit into the receive buffer.
	batchLen = 256

	// receiveBuffer has room for a batch of which every message fails: the kernel
	// drops acks that do not fit. Each takes up to 2 KiB there, with what the kernel
	// adds around it, and repeats the request; the kernel doubles this number.
	receiveBuffer = 1 << 20

	// errorsNamed is how many entries that failed an error names. Mostly all fail
	// for one reason, such as a device that is gone or an FDB that is full.
	errorsNamed = 10
)

// batch collects requests and sends them together. All but the last of a send ask
// for no ack, so the kernel answers those only that fail.
type batch struct {
	conn   *Conn
	buf    nlmsg.Builder
	sent   []kernel.Change // since the last send
	last   int             // where the last message begins
	failed int
	errs   []error
}

// add appends a message that fill completes.
func (b *batch) add(ch kernel.Change, typ uint16, flags uint16, fill func(*nlmsg.Builder)) error {
	b.last = b.buf.Header(typ, unix.NLM_F_REQUEST|flags, uint32(len(b.sent)))
	fill(&b.buf)
	b.buf.End(b.last)
	b.sent = append(b.sent, ch)
	if len(b.sent) < batchLen {
		return nil
	}
	return b.send()
}

// send sends what was added. The error is one of the connection; those of single
// requests are collected.
func (b *batch) send() error {
	if len(b.sent) == 0 {
		return nil
	}
	msg := b.buf.Message()
	flags := binary.NativeEndian.Uint16(msg[b.last+6:])
	binary.NativeEndian.PutUint16(msg[b.last+6:], flags|unix.NLM_F_ACK)
	err := unix.Sendto(b.conn.socket.GetFd(), msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err != nil {
		return fmt.Errorf("send %d requests: %w", len(b.sent), err)
	}
	if err := b.receive(); err != nil {
		return err
	}
	b.buf.Reset()
	b.sent = b.sent[:0]
	return nil
}

// receive reads the answers, which are there when the send returns: the kernel has
// carried out the requests by then.
func (b *batch) receive() error {
	answer := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(b.conn.socket.GetFd(), answer, unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("receive answers to %d requests: %w", len(b.sent), err)
		}
		msgs, err := syscall.ParseNetlinkMessage(answer[:n])
		if err != nil {
			return fmt.Errorf("read answers: %w", err)
		}
		for _, m := range msgs {
			if b.answer(m) {
				return nil
			}
		}
	}
}

// answer notes a request's error and tells whether it was the last request's answer.
func (b *batch) answer(m syscall.NetlinkMessage) (done bool) {
	i := int(m.Header.Seq)
	if m.Header.Type != unix.NLMSG_ERROR || i >= len(b.sent) {
		return false
	}
	if errno := syscall.Errno(-int32(nlmsg.U32(m.Data))); errno != 0 {
		b.fail(b.sent[i], errno, remark(m))
	}
	return i == len(b.sent)-1
}

// remark returns the kernel's own explanation of an error (NETLINK_EXT_ACK), which
// follows the request that the answer repeats.
func remark(m syscall.NetlinkMessage) string {
	const echo = 4 // after the error number
	if m.Header.Flags&unix.NLM_F_ACK_TLVS == 0 || len(m.Data) < echo+unix.SizeofNlMsghdr {
		return ""
	}
	n := unix.SizeofNlMsghdr
	if m.Header.Flags&unix.NLM_F_CAPPED == 0 {
		n = int(nlmsg.U32(m.Data[echo:])+3) &^ 3
	}
	for typ, text := range nlmsg.Attrs(m.Data[min(echo+n, len(m.Data)):]) {
		if typ == unix.NLMSGERR_ATTR_MSG {
			return strings.TrimSuffix(nlmsg.Text(text), ".")
		}
	}
	return ""
}

func (b *batch) fail(ch kernel.Change, err error, remark string) {
	switch ch.(type) {
	case kernel.DelFDB, kernel.DelStatic, kernel.DelNeighbour:
		if unlessGone(err) == nil {
			return
		}
	}
	b.failed++
	if len(b.errs) < errorsNamed {
		err = fmt.Errorf("%s: %w", ch, notFound(err))
		if remark != "" {
			err = fmt.Errorf("%w (%s)", err, remark)
		}
		b.errs = append(b.errs, err)
	}
}

func (b *batch) err() error {
	if more := b.failed - len(b.errs); more > 0 {
		return errors.Join(append(b.errs, fmt.Errorf("and %d entries more", more))...)
	}
	return errors.Join(b.errs...)
}
