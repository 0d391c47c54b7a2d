package terminal

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
)

// Terminal is a pseudo terminal. It is closed when the test ends.
type Terminal struct {
	User    *os.File // the side at which somebody types and reads
	Program *os.File // the side that a program has

	t      testing.TB
	cmd    *exec.Cmd
	before unix.Termios // when the program started

	mu   sync.Mutex
	text strings.Builder // what the program wrote
}

// Open makes a terminal of 80 columns and 24 lines.
func Open(t testing.TB) *Terminal {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = user.Close() })
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	term := &Terminal{User: user, Program: program, t: t}
	term.Resize(80, 24)
	return term
}

// Resize sets the size, and tells the program.
func (term *Terminal) Resize(columns, lines int) {
	term.t.Helper()
	size := unix.Winsize{Col: uint16(columns), Row: uint16(lines)}
	if err := unix.IoctlSetWinsize(int(term.User.Fd()), unix.TIOCSWINSZ, &size); err != nil {
		term.t.Fatal(err)
	}
}

// Settings are how the terminal treats what is typed and written.
func (term *Terminal) Settings() unix.Termios {
	term.t.Helper()
	s, err := unix.IoctlGetTermios(int(term.Program.Fd()), unix.TCGETS)
	if err != nil {
		term.t.Fatal(err)
	}
	return *s
}

// Start runs a program on the terminal. It is killed when the test ends.
func (term *Terminal) Start(cmd *exec.Cmd) {
	term.t.Helper()
	term.cmd, term.before = cmd, term.Settings()
	cmd.Env = append(cmd.Env, "TERM=xterm-256color")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = term.Program, term.Program, term.Program
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	if err := cmd.Start(); err != nil {
		term.t.Fatal(err)
	}
	term.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it has ended, or was killed
	})
	go term.read()
}

func (term *Terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := term.User.Read(buf)
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
	if _, err := term.User.WriteString(keys); err != nil {
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
		time.Sleep(5 * time.Millisecond)
	}
}

// WantEnd wants that the program, which had the whole screen, ends well, and that the terminal is as
// it was.
func (term *Terminal) WantEnd() {
	term.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- term.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			term.t.Errorf("it ended with %v\n%q", err, term.Written())
		}
	case <-time.After(20 * time.Second):
		_ = term.cmd.Process.Kill()
		term.t.Fatalf("it did not end\n%q", term.Written())
	}
	term.WaitFor(0, "\x1b[?1049l") // the screen of before
	term.WaitFor(0, "\x1b[?25h")   // the cursor is there again
	if after := term.Settings(); after != term.before {
		term.t.Errorf("the terminal is not as it was: %+v, was %+v", after, term.before)
	}
}
