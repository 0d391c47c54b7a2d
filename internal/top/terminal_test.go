package top

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"vxlan-driver/lab/terminal"
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

// startOnTerminal runs the screen on a terminal of its own.
func startOnTerminal(t *testing.T, columns, lines int, env ...string) (*terminal.Terminal, *exec.Cmd) {
	t.Helper()
	term := terminal.Open(t)
	term.Resize(columns, lines)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append([]string{insideEnv + "=1", "PATH=/usr/bin:/bin"}, env...)
	term.Start(cmd)
	return term, cmd
}

// On a real terminal the screen is drawn, follows keys and its size, and leaves the terminal as it
// was.
func TestOnTerminal(t *testing.T) {
	term, _ := startOnTerminal(t, 120, 40)
	term.WaitFor(0, "host-a: 1 failure, 1 warning; 2 networks")
	if !strings.Contains(term.Written(), "\x1b[31m") {
		t.Error("there are no colours")
	}
	// Only what differs is drawn, and where the events begin now was another table.
	after := len(term.Written())
	term.Resize(80, 24)
	term.WaitFor(after, "Events 1–5 of 30")
	after = len(term.Written())
	term.Press("?")
	term.WaitFor(after, "Any key goes back")
	after = len(term.Written())
	term.Press("xp")
	term.WaitFor(after, "paused")
	term.Press("q")
	term.WantEnd()
}

func TestOnTerminalWithoutColours(t *testing.T) {
	term, cmd := startOnTerminal(t, 80, 24, "NO_COLOR=1")
	term.WaitFor(0, "peer-05")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	term.WantEnd()
	for _, colour := range []string{"\x1b[31m", "\x1b[33m", "\x1b[38;"} {
		if strings.Contains(term.Written(), colour) {
			t.Errorf("wrote the colour %q", colour)
		}
	}
}
