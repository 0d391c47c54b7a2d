package top

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// insideEnv makes the test program show a screen.
const insideEnv = "TOP_TEST_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) == "" {
		os.Exit(m.Run())
	}
	_, plain := os.LookupEnv("NO_COLOR")
	if err := Run(context.Background(), Config{Read: testScreen, Interval: 50 * time.Millisecond, Colour: !plain, In: os.Stdin, Out: os.Stdout}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// terminal is a pseudo terminal with a program on it.
type terminal struct {
	t       *testing.T
	control *os.File
	cmd     *exec.Cmd
	before  unix.Termios

	mu   sync.Mutex
	text strings.Builder // what the program wrote
}

// startOnTerminal runs the screen on a terminal of its own.
func startOnTerminal(t *testing.T, width, height int, env ...string) *terminal {
	t.Helper()
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(control.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, control: control, cmd: exec.Command("/proc/self/exe")}
	term.resize(width, height)
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	term.before = *before
	term.cmd.Env = append([]string{insideEnv + "=1", "TERM=xterm-256color", "PATH=/usr/bin:/bin"}, env...)
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = tty, tty, tty
	term.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := term.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = term.cmd.Process.Kill()
		_ = term.cmd.Wait() // it has ended, or was killed
		tty.Close()
		control.Close()
	})
	go term.read()
	return term
}

func (term *terminal) read() {
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

func (term *terminal) resize(width, height int) {
	term.t.Helper()
	size := unix.Winsize{Col: uint16(width), Row: uint16(height)}
	if err := unix.IoctlSetWinsize(int(term.control.Fd()), unix.TIOCSWINSZ, &size); err != nil {
		term.t.Fatal(err)
	}
}

func (term *terminal) press(keys string) {
	term.t.Helper()
	if _, err := io.WriteString(term.control, keys); err != nil {
		term.t.Fatal(err)
	}
}

// written returns what the program has written so far.
func (term *terminal) written() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.text.String()
}

// waitFor waits until the program has written a text after the first so many bytes.
func (term *terminal) waitFor(after int, text string) {
	term.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(term.written()[after:], text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			term.t.Fatalf("never wrote %q, but\n%q", text, term.written()[after:])
		}
	}
}

// wantEnd wants that the program has ended well, and that the terminal is as it was.
func (term *terminal) wantEnd() {
	term.t.Helper()
	if err := term.cmd.Wait(); err != nil {
		term.t.Errorf("ended with %v\n%q", err, term.written())
	}
	term.waitFor(0, "\x1b[?1049l") // the screen of before
	term.waitFor(0, "\x1b[?25h")   // the cursor is there again
	tty := term.cmd.Stdin.(*os.File)
	after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil || after.Lflag != term.before.Lflag || after.Iflag != term.before.Iflag || after.Oflag != term.before.Oflag {
		term.t.Errorf("the terminal is not as it was: %+v, %v", after, err)
	}
}

// On a real terminal the screen is drawn, follows keys and its size, and leaves the terminal as it
// was.
func TestOnTerminal(t *testing.T) {
	term := startOnTerminal(t, 120, 40)
	term.waitFor(0, "host-a: 1 failure, 1 warning; 2 networks")
	if !strings.Contains(term.written(), "\x1b[31m") {
		t.Error("there are no colours")
	}
	// Only what differs is drawn, and where the events begin now was another table.
	after := len(term.written())
	term.resize(80, 24)
	term.waitFor(after, "Events 1–5 of 30")
	after = len(term.written())
	term.press("?")
	term.waitFor(after, "Any key goes back")
	after = len(term.written())
	term.press("xp")
	term.waitFor(after, "paused")
	term.press("q")
	term.wantEnd()
}

func TestOnTerminalWithoutColours(t *testing.T) {
	term := startOnTerminal(t, 80, 24, "NO_COLOR=1")
	term.waitFor(0, "peer-05")
	if err := term.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	term.wantEnd()
	for _, colour := range []string{"\x1b[31m", "\x1b[33m", "\x1b[38;"} {
		if strings.Contains(term.written(), colour) {
			t.Errorf("wrote the colour %q", colour)
		}
	}
}
