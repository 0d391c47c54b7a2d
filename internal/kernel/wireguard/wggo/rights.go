package wggo

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// neededRights are what wireguard-go needs once its device is open: to make the buffers of its sockets
// large, to open the device again when it is executed anew, and to listen on a port below 1024.
const neededRights = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_BIND_SERVICE

// dropRights gives up all other rights of root, also for programs that this one may execute. Under systemd
// the unit has done so before. A process that is linked with C cannot: only tests are.
func dropRights() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var rights [2]unix.CapUserData
	if err := unix.Capget(&header, &rights[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	has := uint64(rights[1].Permitted)<<32 | uint64(rights[0].Permitted)
	if has&^neededRights == 0 {
		return nil
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); errno != 0 {
		return fmt.Errorf("give up new privileges: %w", errno)
	}
	for right := uintptr(0); right <= unix.CAP_LAST_CAP; right++ {
		if neededRights&(1<<right) != 0 {
			continue
		}
		_, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, right, 0)
		if errno != 0 && !errors.Is(errno, unix.EINVAL) { // this kernel has no such right
			return fmt.Errorf("give up capability %d: %w", right, errno)
		}
	}
	for i := range rights {
		mask := uint32(uint64(neededRights) >> (32 * i))
		rights[i].Effective &= mask
		rights[i].Permitted &= mask
		rights[i].Inheritable = 0
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)),
		uintptr(unsafe.Pointer(&rights[0])), 0)
	if errno != 0 {
		return fmt.Errorf("give up capabilities: %w", errno)
	}
	return nil
}
