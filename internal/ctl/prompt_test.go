package ctl

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"vxlan-driver/lab/terminal"

	"golang.org/x/sys/unix"
)

func showsInput(term *terminal.Terminal) bool { return term.Settings().Lflag&unix.ECHO != 0 }

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
	term := terminal.Open(t)
	ask := &prompted{done: make(chan struct{})}
	go func() {
		<-ask.done
		if showsInput(term) {
			t.Error("it is shown while it is typed")
		}
		term.Press("secret\n")
	}()
	line, err := readSecret(t.Context(), term.Program, ask, "Token: ")
	if err != nil || line != "secret\n" || ask.String() != "Token: \n" || !showsInput(term) {
		t.Errorf("read %q, %v; asked %q; shown again: %v", line, err, ask.String(), showsInput(term))
	}
	_ = term.User.SetReadDeadline(time.Now())
	buf := make([]byte, 100)
	if n, _ := term.User.Read(buf); bytes.Contains(buf[:n], []byte("secret")) {
		t.Errorf("the terminal has shown %q", buf[:n])
	}
}

// Ctrl-C gives the terminal back as it was.
func TestSecretInterrupted(t *testing.T) {
	term := terminal.Open(t)
	ctx, interrupt := context.WithCancel(t.Context())
	ask := &prompted{done: make(chan struct{})}
	go func() {
		<-ask.done
		interrupt()
	}()
	if line, err := readSecret(ctx, term.Program, ask, "Token: "); err == nil || !showsInput(term) {
		t.Errorf("read %q, %v; shown again: %v", line, err, showsInput(term))
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
