package labtest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/lab"
)

// Terminal is a pseudo terminal on which a program of a host runs.
type Terminal struct {
	t            testing.TB
	control, tty *os.File
	cmd          *exec.Cmd
	before       unix.Termios

	mu   sync.Mutex
	text strings.Builder // what the program wrote
}

// OnTerminal starts a program of a host on a terminal of 80 columns and 24 lines.
func OnTerminal(t testing.TB, h *lab.Host, argv ...string) *Terminal {
	t.Helper()
	term := &Terminal{t: t}
	term.open()
	term.cmd = h.Interactive(t.Context(), argv...)
	term.cmd.Env = append(term.cmd.Env, "TERM=xterm-256color")
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = term.tty, term.tty, term.tty
	term.cmd.SysProcAttr.Setsid, term.cmd.SysProcAttr.Setctty = true, true
	if err := term.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = term.cmd.Process.Kill()
		_ = term.cmd.Wait() // it has ended, or was killed
		term.tty.Close()
		term.control.Close()
	})
	go term.read()
	return term
}

func (term *Terminal) open() {
	term.t.Helper()
	var err error
	if term.control, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err != nil {
		term.t.Fatal(err)
	}
	fd := int(term.control.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		term.t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: 80, Row: 24}); err != nil {
		term.t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		term.t.Fatal(err)
	}
	if term.tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		term.t.Fatal(err)
	}
	term.before = term.settings()
}

// settings are how the terminal treats what is typed and written.
func (term *Terminal) settings() unix.Termios {
	term.t.Helper()
	s, err := unix.IoctlGetTermios(int(term.tty.Fd()), unix.TCGETS)
	if err != nil {
		term.t.Fatal(err)
	}
	return *s
}

func (term *Terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := term.control.Read(buf)
		term.mu.Lock()
		term.text.Write(buf[:n])
		term.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Written is what the program has written so far.
func (term *Terminal) Written() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.text.String()
}

// Press types keys.
func (term *Terminal) Press(keys string) {
	term.t.Helper()
	if _, err := term.control.WriteString(keys); err != nil {
		term.t.Fatal(err)
	}
}

// WaitFor waits until the program has written a text after the first so many bytes.
func (term *Terminal) WaitFor(after int, text string) {
	term.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(term.Written()[after:], text); {
		if time.Now().After(deadline) {
			term.t.Fatalf("never wrote %q, but\n%q", text, term.Written()[after:])
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// WantEnd wants that the program ends well, and that the terminal is as it was.
func (term *Terminal) WantEnd() {
	term.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- term.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			term.t.Errorf("it ended with %v\n%q", err, term.Written())
		}
	case <-time.After(10 * time.Second):
		_ = term.cmd.Process.Signal(syscall.SIGKILL)
		term.t.Fatalf("it did not end\n%q", term.Written())
	}
	term.WaitFor(0, "\x1b[?1049l") // the screen of before
	term.WaitFor(0, "\x1b[?25h")   // the cursor is there again
	if after := term.settings(); after != term.before {
		term.t.Errorf("the terminal is not as it was: %+v, was %+v", after, term.before)
	}
}
