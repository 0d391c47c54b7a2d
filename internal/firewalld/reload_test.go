package firewalld

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godbus/dbus/v5"
)

// busProcess is a message bus of its own.
type busProcess struct{ socket string }

// startBus starts a bus; it skips the test where none can be had.
func startBus(t *testing.T) busProcess {
	t.Helper()
	dir := t.TempDir()
	config, socket := filepath.Join(dir, "bus.conf"), filepath.Join(dir, "bus")
	text := `<busconfig><listen>unix:path=` + socket + `</listen><auth>EXTERNAL</auth>
	  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy></busconfig>`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command("dbus-daemon", "--nofork", "--nosyslog", "--print-address=3", "--config-file="+config)
	ready, address, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	daemon.ExtraFiles = []*os.File{address}
	if err := daemon.Start(); err != nil {
		t.Skipf("no dbus-daemon here: %v", err)
	}
	address.Close()
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatalf("the bus does not start: %v", err)
	}
	return busProcess{socket}
}

func (b busProcess) connect(t *testing.T) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect("unix:path=" + b.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// wantReport waits for a report.
func wantReport(t *testing.T, reports <-chan struct{}, after string) {
	t.Helper()
	select {
	case <-reports:
	case <-time.After(20 * time.Second):
		t.Fatalf("no report after %s", after)
	}
}

// Reloads, starts and stops of firewalld are reported, and nothing else.
func TestReloadsAreReported(t *testing.T) {
	bus := startBus(t)
	reports := make(chan struct{}, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		followBus(ctx, bus.socket, true, func() { reports <- struct{}{} })
	}()
	wantReport(t, reports, "a time that may have missed some")

	firewalld, other := bus.connect(t), bus.connect(t)
	if _, err := firewalld.RequestName(busName, 0); err != nil {
		t.Fatal(err)
	}
	wantReport(t, reports, "a start")
	// Another program's signals, and firewalld's others.
	if _, err := other.RequestName("org.example.Other", 0); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{busName + ".Reloaded", "org.example.Reloaded"} {
		if err := other.Emit("/org/fedoraproject/FirewallD1", name); err != nil {
			t.Fatal(err)
		}
	}
	if err := firewalld.Emit(objectPath, zoneInterface+".InterfaceAdded", "public", "eth0"); err != nil {
		t.Fatal(err)
	}
	if err := firewalld.Emit(objectPath, busName+"."+signalReloaded); err != nil {
		t.Fatal(err)
	}
	wantReport(t, reports, "a reload")
	if len(reports) > 0 {
		t.Errorf("%d reports too many", len(reports))
	}
	if _, err := firewalld.ReleaseName(busName); err != nil {
		t.Fatal(err)
	}
	wantReport(t, reports, "a stop")
	cancel()
	<-done
}

// A host without a bus is looked at rarely, and the watch ends with its context.
func TestWatchWithoutBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		reports := watchReloads(ctx, filepath.Join(t.TempDir(), "none"))
		time.Sleep(10 * reconnectDelay)
		if len(reports) > 0 {
			t.Error("something is reported")
		}
		cancel()
	})
}
