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
// os/exec, which would make the plugin larger by 100 kB.
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
	process, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Dir: "/", Env: []string{"PATH=" + os.Getenv("PATH")},
		Files: []*os.File{null, out, out},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() {
		state, err := process.Wait()
		if err == nil && !state.Success() {
			err = errors.New(state.String())
			if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
				err = fmt.Errorf("%w, %w", err, ErrKilled)
			}
		}
		ended <- err
	}()
	return ended, nil
}
