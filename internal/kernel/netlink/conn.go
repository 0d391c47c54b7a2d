package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netns"
)

// Conn is a netlink socket of one network namespace. It is for one goroutine at a time.
type Conn struct {
	fd     int
	seq    uint32
	buffer *[64 << 10]byte // for what is received
}

// Option is a setting of a socket.
type Option struct{ level, name, value int }

// StrictChecks makes rtnetlink filter dumps by the attributes of the request (Linux 4.20).
// Otherwise it ignores most of them, and sends everything.
var StrictChecks = Option{unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1}

// BufferSizes sets the limits of what may wait in the socket, in bytes, above those that the system
// has for users.
func BufferSizes(bytes int) []Option {
	return []Option{{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bytes}, {unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes}}
}

// Open opens a socket in the namespace at nspath, or for "" in the one that the caller is in. An
// error about the path is one of netns.Open.
func Open(nspath string, protocol int, options ...Option) (*Conn, error) {
	c := new(Conn)
	err := netns.DoIn(nspath, func() (err error) {
		c.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return nil, err
	}
	options = append(options,
		Option{unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1},
		Option{unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1}) // an error need not repeat what was sent
	for _, o := range options {
		if err := c.setOption(o); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// setOption sets an option. Root of a user namespace (an unprivileged container in which Podman
// runs) may not go beyond the limits that the system has for users, and gets what they allow.
func (c *Conn) setOption(o Option) error {
	err := unix.SetsockoptInt(c.fd, o.level, o.name, o.value)
	if unforced, ok := unforcedOptions[o.name]; ok && o.level == unix.SOL_SOCKET && errors.Is(err, unix.EPERM) {
		err = unix.SetsockoptInt(c.fd, o.level, unforced, o.value)
	}
	return os.NewSyscallError("setsockopt", err)
}

// unforcedOptions are those that everybody may set, in place of those that take CAP_NET_ADMIN on
// the host.
var unforcedOptions = map[int]int{unix.SO_SNDBUFFORCE: unix.SO_SNDBUF, unix.SO_RCVBUFFORCE: unix.SO_RCVBUF}

// Close closes the socket.
func (c *Conn) Close() {
	unix.Close(c.fd)
	if c.buffer != nil {
		buffers.Put(c.buffer)
		c.buffer = nil
	}
}

// buffers are those of connections that were closed. The agent opens some in each turn.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// SetReceiveBuffer sets how many bytes of answers may wait in the socket; the kernel doubles the
// number. By force, as root may: the usual limit (net.core.rmem_max) is 200 kB. Root of a user
// namespace may not, and then the limit holds.
func (c *Conn) SetReceiveBuffer(bytes int) error {
	return c.setOption(Option{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes})
}

// dumpTries is how often a list is asked for that keeps changing while the kernel writes it.
const dumpTries = 10

// Execute sends one request and returns the bodies of the messages that answer it: of a dump all,
// of a request for an acknowledgement (NLM_F_ACK) all before that, of any other one. A dump during
// which something changed may lack an object or have it twice (NLM_F_DUMP_INTR), and is asked for
// again.
func (c *Conn) Execute(request *Builder) (bodies [][]byte, err error) {
	bodies, _, err = c.ExecuteUpTo(request, math.MaxInt)
	return bodies, err
}

// ExecuteUpTo is Execute for a list that may be too long to be worth reading. It stops when the
// answer has more bytes than most. The rest is not read, and the connection can only be closed.
func (c *Conn) ExecuteUpTo(request *Builder, most int) (bodies [][]byte, isMore bool, err error) {
	var left int
	begin := func() { bodies, isMore, left = nil, false, most }
	err = c.executeInTries(request, true, begin, func(body []byte) bool {
		bodies = append(bodies, body)
		left -= len(body)
		isMore = left < 0
		return !isMore
	})
	if err != nil {
		return nil, false, err
	}
	return bodies, isMore, nil
}

// ExecuteEach is Execute for a long list, of which it keeps nothing: one of 100,000 entries has
// 10 MB. A body is valid during the call of each. Before the first one begin is called, and again
// where the list is read anew.
func (c *Conn) ExecuteEach(request *Builder, begin func(), each func(body []byte)) error {
	return c.executeInTries(request, false, begin, func(body []byte) bool {
		each(body)
		return true
	})
}

// executeInTries calls each with the bodies of an answer until it wants no more. They stay valid if
// they are kept.
func (c *Conn) executeInTries(request *Builder, keep bool, begin func(),
	each func(body []byte) (more bool)) (err error) {
	for range dumpTries {
		begin()
		if err = c.executeOnce(request, keep, each); !errors.Is(err, errInterrupted) {
			break
		}
	}
	return err
}

// errInterrupted says that a list changed while the kernel wrote it.
var errInterrupted = errors.New("the list kept changing while it was read")

func (c *Conn) executeOnce(request *Builder, keep bool, each func(body []byte) (more bool)) error {
	c.seq++
	message := request.finishRequest(c.seq)
	if err := c.send(message); err != nil {
		return err
	}
	acknowledged := binary.NativeEndian.Uint16(message[6:])&unix.NLM_F_ACK != 0
	complete, interrupted, enough := false, false, false
	var refusal error
	err := c.receive(keep, func(m Message) (isLast bool) {
		if m.Seq != c.seq || enough {
			return enough // else of an earlier request whose answer could not be read
		}
		interrupted = interrupted || m.Flags&unix.NLM_F_DUMP_INTR != 0
		if m.ends() {
			refusal, complete = m.refusal(), true
			return true
		}
		enough = !each(m.Body)
		complete = m.Flags&unix.NLM_F_MULTI == 0 && !acknowledged
		return enough || complete
	})
	switch {
	case err != nil:
		return err
	case refusal != nil:
		return refusal
	case enough:
		return nil
	case interrupted:
		return errInterrupted
	case !complete:
		return errors.New("the kernel's answer is incomplete")
	}
	return nil
}

// Refusal says that the kernel refused a message of a batch.
type Refusal struct {
	Index int // of the message in the batch
	Err   error
}

// ExecuteBatch sends messages in one system call, and returns which of them the kernel refused.
// Silence is success: no message needs to ask for an acknowledgement. Where refusals do not fit
// into the receive buffer the error is ENOBUFS.
func (c *Conn) ExecuteBatch(b *Batch) (refusals []Refusal, err error) {
	first := c.seq + 1
	c.seq += uint32(b.count)
	if err := c.send(b.finishBatch(first)); err != nil {
		return nil, err
	}
	err = c.receive(true, func(m Message) (isLast bool) {
		index := m.Seq - first // beyond all for what is of an earlier request
		if err := m.refusal(); err != nil && index < uint32(b.count) {
			refusals = append(refusals, Refusal{int(index), err})
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	return refusals, nil
}

func (c *Conn) send(data []byte) error {
	err := unix.Sendto(c.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	return os.NewSyscallError("send", err)
}

// receive reads messages until handle says that one is the last, or no more is there. The kernel
// makes the rest of a long list as it is read. After an overflow (ENOBUFS) it drops all further
// messages until everything was read, so that silence would be taken for success; therefore receive
// reads the rest before it returns. Messages that are not kept are valid while they are handled.
func (c *Conn) receive(keep bool, handle func(Message) (isLast bool)) (overflow error) {
	if c.buffer == nil {
		c.buffer = buffers.Get().(*[64 << 10]byte)
	}
	for {
		n, from, err := unix.Recvfrom(c.fd, c.buffer[:], unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return overflow
		case errors.Is(err, unix.ENOBUFS):
			overflow = os.NewSyscallError("receive", err)
			continue
		case err != nil:
			return os.NewSyscallError("receive", err)
		}
		if overflow != nil || !isKernel(from) {
			continue
		}
		data, last := c.buffer[:n], false
		if keep {
			data = append([]byte(nil), data...)
		}
		for m := range Messages(data) {
			last = handle(m)
		}
		if last {
			return nil
		}
	}
}

// isKernel tells whether the kernel sent a message. Whoever has CAP_NET_ADMIN in the namespace can
// send some too.
func isKernel(from unix.Sockaddr) bool {
	sender, ok := from.(*unix.SockaddrNetlink)
	return ok && sender.Pid == 0
}

// ends tells whether a message says how a request or a dump ended.
func (m Message) ends() bool { return m.Type == unix.NLMSG_ERROR || m.Type == unix.NLMSG_DONE }

// refusal returns the error of a message that ends a request or a dump, nil if it ended well.
func (m Message) refusal() error {
	if !m.ends() {
		return nil
	}
	errno := unix.Errno(-int32(Uint32(m.Body)))
	if errno == 0 {
		return nil
	}
	if text := m.explanation(); text != "" {
		return fmt.Errorf("%w (%s)", errno, text)
	}
	return errno
}

// explanation returns the kernel's own words on an error (NLMSGERR_ATTR_MSG). They follow the
// request's header, which the answer repeats, or the request itself.
func (m Message) explanation() string {
	const errnoLen = 4
	if m.Flags&unix.NLM_F_ACK_TLVS == 0 || len(m.Body) < errnoLen {
		return ""
	}
	rest := m.Body[errnoLen:]
	if m.Type == unix.NLMSG_ERROR {
		echoed := unix.SizeofNlMsghdr
		if m.Flags&unix.NLM_F_CAPPED == 0 {
			echoed = align(int(Uint32(rest)))
		}
		rest = rest[min(echoed, len(rest)):]
	}
	return strings.TrimSuffix(Text(Find(rest, unix.NLMSGERR_ATTR_MSG)), ".")
}
