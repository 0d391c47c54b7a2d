package main

import (
	"fmt"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tracer follows a program and its threads from system call to system call (ptrace(2)).
type tracer struct {
	calls map[uint64]call
	at    int
	kill  bool
	then  int  // which later call is the second fault; 0: none
	all   bool // all later calls that can fail do

	pid          int
	count        int
	injected     string
	pendingErrno map[int]unix.Errno // by thread: the error of its current call
	knownThreads map[int]bool
}

// syscallStop has a bit that tells stops at system calls from signals.
const (
	options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
		unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_EXITKILL
	syscallStop = unix.SIGTRAP | 0x80
)

// runTraced runs the program to its end and returns its exit status, 137 if it was killed.
func (t *tracer) runTraced(cmd *exec.Cmd) (int, error) {
	t.pendingErrno, t.knownThreads = map[int]unix.Errno{}, map[int]bool{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	t.pid = cmd.Process.Pid
	t.knownThreads[t.pid] = true
	var status unix.WaitStatus
	if _, err := unix.Wait4(t.pid, &status, 0, nil); err != nil {
		return 0, fmt.Errorf("wait for start: %w", err)
	}
	if err := unix.PtraceSetOptions(t.pid, options); err != nil {
		return 0, fmt.Errorf("trace: %w", err)
	}
	t.resumeThread(t.pid, 0)
	for {
		thread, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("wait for program: %w", err)
		case status.Stopped():
			t.handleStop(thread, status)
		case thread == t.pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		case thread == t.pid:
			return status.ExitStatus(), nil
		}
	}
}

// resumeThread lets a thread go on to its next call. One that was killed meanwhile cannot, and need
// not.
func (t *tracer) resumeThread(thread int, signal unix.Signal) {
	_ = unix.PtraceSyscall(thread, int(signal))
}

func (t *tracer) handleStop(thread int, status unix.WaitStatus) {
	signal := status.StopSignal()
	switch {
	case signal == syscallStop:
		t.handleSyscallStop(thread)
		signal = 0
	case signal == unix.SIGTRAP: // a thread was made
		signal = 0
	case signal == unix.SIGSTOP && !t.knownThreads[thread]: // by which a new thread begins
		signal = 0
	}
	t.knownThreads[thread] = true
	t.resumeThread(thread, signal)
}

// syscallInfo is the head of struct ptrace_syscall_info (ptrace(2)): what kind of stop it is, and
// at the entry to which call.
type syscallInfo struct {
	op uint8
	_  [23]byte
	nr uint64
	_  [8 * 7]byte
}

const (
	infoEntry = 1
	infoExit  = 2
)

func (t *tracer) handleSyscallStop(thread int) {
	var info syscallInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(thread), unsafe.Sizeof(info),
		uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return // killed meanwhile
	}
	switch info.op {
	case infoEntry:
		t.handleSyscallEntry(thread, info.nr)
	case infoExit:
		if errno, failed := t.pendingErrno[thread]; failed {
			delete(t.pendingErrno, thread)
			setSyscallResult(thread, errno)
		}
	}
}

func (t *tracer) handleSyscallEntry(thread int, nr uint64) {
	c, counts := t.calls[nr]
	if !counts {
		return
	}
	t.count++
	isSecond := t.then > 0 && t.count == t.at+t.then
	switch {
	case t.count == t.at:
		t.injected = c.name
	case !isSecond && (!t.all || t.count < t.at):
		return
	}
	if t.kill || isSecond {
		_ = unix.Kill(t.pid, unix.SIGKILL)
		return
	}
	t.pendingErrno[thread] = c.errno
	skipSyscall(thread)
}
