package labtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"vxlan-driver/lab"
)

// reaperEnv makes a test binary the reaper of another process.
const reaperEnv = "VXLAN_LAB_REAPER"

func init() {
	if os.Getenv(reaperEnv) != "" {
		reapLabs()
	}
}

// StartReaper starts a process that removes the labs of this one, should it end without closing
// them: by Ctrl-C, by the time limit of go test, by a kill.
func StartReaper() error {
	// The kernel closes the other end when this process ends, however that comes.
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		return fmt.Errorf("start reaper of labs: %w", err)
	}
	end := os.NewFile(uintptr(pipe[0]), "end of the test")
	defer end.Close()
	reaper := exec.Command("/proc/self/exe")
	reaper.Env = append(os.Environ(), reaperEnv+"=1")
	reaper.Stdin = end
	reaper.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is not for it
	if err := reaper.Start(); err != nil {
		return fmt.Errorf("start reaper of labs: %w", err)
	}
	return nil
}

// reapLabs waits for the end of the process that started this one, and removes labs that nobody
// owns any more.
func reapLabs() {
	parent := os.Getppid()
	_, _ = io.Copy(io.Discard, os.Stdin)
	for os.Getppid() == parent { // its files are closed a moment before it is dead
		time.Sleep(10 * time.Millisecond)
	}
	if err := lab.Sweep(context.Background()); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}
