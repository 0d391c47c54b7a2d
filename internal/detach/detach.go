package detach

import (
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrKilled says that a signal has ended a process. That may be nothing of its own, and the next one may live.
var ErrKilled = errors.New("not by itself")

// Start starts a program in a session of its own, with out as its output, and sends how it ended. It does without
// os/exec, which would make the plugin larger by 100 kB, and os.StartProcess, which first starts a process to see what the kernel can do.
func Start(out *os.File, argv ...string) (<-chan error, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	if out == nil {
		out = null
	}
	// What the plugin was given open, such as a pipe whose reader waits for its end,
	// must not stay open in the other. Before Linux 5.11 it does.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Dir: "/", Env: []string{"PATH=" + os.Getenv("PATH")},
		Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, &os.PathError{Op: "start", Path: argv[0], Err: err}
	}
	ended := make(chan error, 1)
	go func() { ended <- wait(pid) }()
	return ended, nil
}

// wait returns how a process ended, nil if well.
func wait(pid int) error {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("wait for process %d: %w", pid, err)
		case status.Signaled():
			return fmt.Errorf("signal: %v, %w", status.Signal(), ErrKilled)
		case status.ExitStatus() != 0:
			return fmt.Errorf("exit status %d", status.ExitStatus())
		default:
			return nil
		}
	}
}
