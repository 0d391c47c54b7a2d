package netns

import (
	"os"

	"golang.org/x/sys/unix"
)

// Cookie returns the number of the network namespace at path, or for "" of the one that the caller is in.
// No other has the same until the machine is started again. Linux has such numbers since 5.14.
func Cookie(path string) (cookie uint64, err error) {
	err = DoIn(path, func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		defer unix.Close(fd)
		cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		return os.NewSyscallError("getsockopt", err)
	})
	return cookie, err
}
