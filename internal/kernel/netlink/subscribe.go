package netlink

import (
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Subscription says which reports of the kernel to receive.
type Subscription struct {
	Name     string // of the file that Subscribe returns
	Protocol int
	Groups   []int
	// Ignored is a type of message that is not delivered, or 0. Only are those that are, if there are
	// any. Of several messages in one buffer the first counts.
	Ignored uint16
	Only    []uint16
}

// Subscribe returns a file that reads the kernel's reports in the namespace that the caller is in.
// To close it ends a read.
func Subscribe(s Subscription) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, s.Protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), s.Name) // the runtime waits on it
	err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	for _, g := range s.Groups {
		if err == nil {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g))
		}
	}
	if err == nil && s.Ignored != 0 {
		err = filterMessages(fd, []uint16{s.Ignored}, false)
	}
	if err == nil && len(s.Only) > 0 {
		err = filterMessages(fd, s.Only, true)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// filterMessages makes the kernel drop messages before they wake up the reader: those of the types,
// or with keep all others. The filter sees the first message in a buffer (socket(7)); rtnetlink sends
// one in each.
func filterMessages(fd int, types []uint16, keep bool) error {
	const typeOffset = 4 // struct nlmsghdr
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: typeOffset}}
	for i, t := range types {
		// A filter reads numbers in network byte order, and the type is in the machine's.
		asRead := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, t))
		filter = append(filter, unix.SockFilter{
			Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(len(types) - i), K: uint32(asRead),
		})
	}
	whole, nothing := uint32(1<<32-1), uint32(0)
	others, these := whole, nothing
	if keep {
		others, these = nothing, whole
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: others},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: these})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program))
}
