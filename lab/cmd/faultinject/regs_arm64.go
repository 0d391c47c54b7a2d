package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ntARMSystemCall is the register set that holds the number of the call (NT_ARM_SYSTEM_CALL of
// linux/elf.h).
const ntARMSystemCall = 0x404

// skipSyscall replaces the call that a thread enters by one that does not exist.
func skipSyscall(thread int) {
	none := int32(-1)
	iov := unix.Iovec{Base: (*byte)(unsafe.Pointer(&none)), Len: 4}
	_, _, _ = unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SETREGSET, uintptr(thread), ntARMSystemCall,
		uintptr(unsafe.Pointer(&iov)), 0, 0)
}

// setSyscallResult sets the error of the call that a thread leaves.
func setSyscallResult(thread int, errno unix.Errno) {
	var regs unix.PtraceRegs
	if unix.PtraceGetRegs(thread, &regs) == nil {
		regs.Regs[0] = uint64(-int64(errno))
		_ = unix.PtraceSetRegs(thread, &regs)
	}
}
