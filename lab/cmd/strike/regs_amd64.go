package main

import "golang.org/x/sys/unix"

// skip makes the call that a thread enters one that does not exist.
func skip(thread int) {
	var regs unix.PtraceRegs
	if unix.PtraceGetRegs(thread, &regs) == nil {
		regs.Orig_rax = ^uint64(0)
		_ = unix.PtraceSetRegs(thread, &regs)
	}
}

// setResult lets the call that a thread leaves return an error.
func setResult(thread int, errno unix.Errno) {
	var regs unix.PtraceRegs
	if unix.PtraceGetRegs(thread, &regs) == nil {
		regs.Rax = uint64(-int64(errno))
		_ = unix.PtraceSetRegs(thread, &regs)
	}
}
