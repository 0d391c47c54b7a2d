package ctl

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal returns a terminal, and the side on which its user types and reads.
func openTerminal(t *testing.T) (user, terminal *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = user.Close() })
	number, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return user, terminal
}

func showsInput(t *testing.T, terminal *os.File) bool {
	t.Helper()
	settings, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Error(err)
		return false
	}
	return settings.Lflag&unix.ECHO != 0
}

// prompted is closed when somebody was asked.
type prompted struct {
	bytes.Buffer
	once sync.Once
	done chan struct{}
}

func (p *prompted) Write(text []byte) (int, error) {
	defer p.once.Do(func() { close(p.done) })
	return p.Buffer.Write(text)
}

func TestSecretIsNotShown(t *testing.T) {
	user, terminal := openTerminal(t)
	ask := &prompted{done: make(chan struct{})}
	go func() {
		<-ask.done
		if showsInput(t, terminal) {
			t.Error("it is shown while it is typed")
		}
		_, _ = user.WriteString("secret\n")
	}()
	line, err := readSecret(t.Context(), terminal, ask, "Token: ")
	if err != nil || line != "secret\n" || ask.String() != "Token: \n" || !showsInput(t, terminal) {
		t.Errorf("read %q, %v; asked %q; shown again: %v", line, err, ask.String(), showsInput(t, terminal))
	}
	_ = user.SetReadDeadline(time.Now())
	buf := make([]byte, 100)
	if n, _ := user.Read(buf); bytes.Contains(buf[:n], []byte("secret")) {
		t.Errorf("the terminal has shown %q", buf[:n])
	}
}

// Ctrl-C gives the terminal back as it was.
func TestSecretInterrupted(t *testing.T) {
	_, terminal := openTerminal(t)
	ctx, interrupt := context.WithCancel(t.Context())
	ask := &prompted{done: make(chan struct{})}
	go func() {
		<-ask.done
		interrupt()
	}()
	if line, err := readSecret(ctx, terminal, ask, "Token: "); err == nil || !showsInput(t, terminal) {
		t.Errorf("read %q, %v; shown again: %v", line, err, showsInput(t, terminal))
	}
}

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		24 * time.Hour: "24h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 10 * time.Hour: "10h", 30 * time.Second: "30s", 61 * time.Second: "1m1s",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v is printed as %s", d, got)
		}
	}
}
