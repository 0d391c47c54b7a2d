package firewalld

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// A bus that does not answer, and a firewalld that owns its name and does not answer, hold nobody
// up for long, and are asked once by a program with many networks.
func TestFirewalldThatHangs(t *testing.T) {
	for name, socket := range map[string]string{"the bus": silentSocket(t), "firewalld": busWithSilentFirewalld(t)} {
		t.Run(name, func(t *testing.T) {
			if socket == "" {
				t.Skip("no dbus-daemon here")
			}
			z := &Zones{Socket: socket}
			began := time.Now()
			if err := z.Trust("br-blue"); err == nil || !strings.Contains(err.Error(), "has not answered for 2s") {
				t.Errorf("got %v", err)
			}
			for range 20 {
				if err := z.Untrust("br-blue"); !errors.Is(err, errHangs) {
					t.Errorf("got %v", err)
				}
			}
			if took := time.Since(began); took > 10*callTimeout { // each of the others would take as long as the first
				t.Errorf("took %v", took)
			}
			z.hung = z.hung.Add(-hangPause)
			if err := z.Trust("br-blue"); err == nil || errors.Is(err, errHangs) {
				t.Errorf("it is not asked again: %v", err)
			}
		})
	}
}

func TestWithoutBus(t *testing.T) {
	if err := (&Zones{Socket: filepath.Join(t.TempDir(), "none")}).Trust("br-blue"); err != nil {
		t.Error(err)
	}
}

// silentSocket takes connections, and answers nothing.
func silentSocket(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path
}

// busWithSilentFirewalld is a bus on which somebody has firewalld's name and answers nothing; ""
// where no bus can be had.
func busWithSilentFirewalld(t *testing.T) string {
	dir := t.TempDir()
	config, socket := filepath.Join(dir, "bus.conf"), filepath.Join(dir, "bus")
	text := `<busconfig><listen>unix:path=` + socket + `</listen><auth>EXTERNAL</auth>
	  <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command("dbus-daemon", "--nofork", "--nosyslog", "--config-file="+config)
	if daemon.Start() != nil {
		return ""
	}
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	for range 200 {
		if conn, err := dbus.Connect("unix:path=" + socket); err == nil {
			t.Cleanup(func() { conn.Close() })
			if _, err := conn.RequestName(busName, 0); err != nil {
				t.Fatal(err)
			}
			conn.Eavesdrop(make(chan *dbus.Message, 100)) // takes what comes instead of an answer
			return socket
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("no bus")
	return ""
}
