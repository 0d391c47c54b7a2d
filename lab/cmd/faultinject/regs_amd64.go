package main

import "golang.org/x/sys/unix"

// skipSyscall replaces the call that a thread enters by one that does not exist.
func skipSyscall(thread int) {
	var regs unix.PtraceRegs
	if unix.PtraceGetRegs(thread, &regs) == nil {
		regs.Orig_rax = ^uint64(0)
		_ = unix.PtraceSetRegs(thread, &regs)
	}
}

// setSyscallResult sets the error of the call that a thread leaves.
func setSyscallResult(thread int, errno unix.Errno) {
	var regs unix.PtraceRegs
	if unix.PtraceGetRegs(thread, &regs) == nil {
		regs.Rax = uint64(-int64(errno))
		_ = unix.PtraceSetRegs(thread, &regs)
	}
}
