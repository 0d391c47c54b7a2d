package firewalld

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// What firewalld is asked, and what its answers lead to.
func TestFirewalldIsAsked(t *testing.T) {
	const owned, zone, change, remove = "NameHasOwner " + busName, "getZoneOfInterface br-blue", "changeZoneOfInterface trusted br-blue", "removeInterface  br-blue"
	for name, test := range map[string]struct {
		do      func(*Zones, string) error
		answers map[string]*dbus.Message
		calls   []string
		err     string
	}{
		"no firewalld": {
			do: (*Zones).Trust, answers: map[string]*dbus.Message{owned: answerWith(false)}, calls: []string{owned},
		},
		"another zone": {
			do: (*Zones).Trust, answers: map[string]*dbus.Message{owned: answerWith(true), zone: answerWith("public"), change: answerWith("trusted")},
			calls: []string{owned, zone, change},
		},
		"no zone": {
			do: (*Zones).Trust, answers: map[string]*dbus.Message{owned: answerWith(true), zone: answerWith(""), change: answerWith("trusted")},
			calls: []string{owned, zone, change},
		},
		"trusted already": {
			do: (*Zones).Trust, answers: map[string]*dbus.Message{owned: answerWith(true), zone: answerWith("trusted")},
			calls: []string{owned, zone},
		},
		"refused": {
			do: (*Zones).Trust, answers: map[string]*dbus.Message{owned: answerWith(true), zone: errorWith("org.example.AccessDenied", "not you")},
			calls: []string{owned, zone}, err: "trust device br-blue in firewalld: getZoneOfInterface: org.example.AccessDenied: not you",
		},
		"taken out": {
			do: (*Zones).Untrust, answers: map[string]*dbus.Message{owned: answerWith(true), remove: answerWith("trusted")},
			calls: []string{owned, remove},
		},
		"in no zone": {
			do: (*Zones).Untrust, answers: map[string]*dbus.Message{owned: answerWith(true), remove: errorWith(busName+".Exception", "UNKNOWN_INTERFACE: 'br-blue'")},
			calls: []string{owned, remove},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bus := startFakeBus(t, test.answers)
			err := test.do(&Zones{Socket: bus.socket}, "br-blue")
			if (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
				t.Errorf("got %v, want %q", err, test.err)
			}
			if calls := <-bus.calls; !slices.Equal(calls, append([]string{"Hello"}, test.calls...)) {
				t.Errorf("asked %q", calls)
			}
		})
	}
}

// A bus that does not let us in is like none, as for a user whose namespace it does not know.
func TestBusThatRejects(t *testing.T) {
	socket := serveSocket(t, func(c net.Conn) { fmt.Fprint(c, "REJECTED KERBEROS_V4\r\n"); _, _ = io.Copy(io.Discard, c) })
	if err := (&Zones{Socket: socket}).Trust("br-blue"); err != nil {
		t.Error(err)
	}
	_, err := connectBus(socket, time.Now().Add(callTimeout))
	if err == nil || !strings.Contains(err.Error(), `it answers "REJECTED KERBEROS_V4\r\n"`) {
		t.Errorf("got %v", err)
	}
}

// Neither half an answer nor any number of signals holds anybody up beyond the bound.
func TestBusThatTalksInstead(t *testing.T) {
	signal := string(encodeMessage(t, newSignal(), binary.LittleEndian))
	for name, talk := range map[string]func(net.Conn){
		"half a line":    func(c net.Conn) { fmt.Fprint(c, "OK 12"); _, _ = io.Copy(io.Discard, c) },
		"half a message": func(c net.Conn) { fmt.Fprint(c, "OK 1234\r\n", signal[:20]); _, _ = io.Copy(io.Discard, c) },
		"signals": func(c net.Conn) {
			for _, err := fmt.Fprint(c, "OK 1234\r\n"); err == nil; {
				_, err = fmt.Fprint(c, signal)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := connectBus(serveSocket(t, talk), began.Add(200*time.Millisecond))
			if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took > 10*time.Second { // as good as never
				t.Errorf("%v after %v", err, took)
			}
		})
	}
}

// A bus that takes no connections any more is one that hangs, not none.
func TestBusWhoseQueueIsFull(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "bus")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: socket}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	waiting, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	began := time.Now()
	if err := (&Zones{Socket: socket}).Trust("br-blue"); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > callTimeout {
		t.Errorf("took %v", took)
	}
}

type fakeBus struct {
	socket string
	calls  chan []string // what was called, when the connection has ended
}

// startFakeBus starts a bus that another implementation encodes and decodes for. Before each answer
// it sends what is to be skipped: a signal, and an answer to another call. The answers are by
// method and arguments.
func startFakeBus(t *testing.T, answers map[string]*dbus.Message) *fakeBus {
	b := &fakeBus{calls: make(chan []string, 1)}
	b.socket = serveSocket(t, func(c net.Conn) {
		var calls []string
		defer func() { b.calls <- calls }()
		r := bufio.NewReader(c)
		line, _ := r.ReadString('\n')
		if want := fmt.Sprintf("\x00AUTH EXTERNAL %x\r\n", fmt.Sprint(os.Geteuid())); line != want {
			t.Errorf("authenticates by %q, not %q", line, want)
		}
		fmt.Fprint(c, "OK 1234deadbeef\r\n")
		if line, _ = r.ReadString('\n'); line != "BEGIN\r\n" {
			t.Errorf("begins by %q", line)
		}
		for {
			call, err := dbus.DecodeMessage(r)
			if err != nil {
				return
			}
			text := call.Headers[dbus.FieldMember].Value().(string)
			for _, arg := range call.Body {
				text += " " + arg.(string)
			}
			calls = append(calls, text)
			answer := answers[text]
			if text == "Hello" {
				answer = answerWith(":1.7")
			}
			if answer == nil {
				answer = errorWith("org.freedesktop.DBus.Error.UnknownMethod", text)
			}
			other := answerWith("for somebody else")
			other.Headers[dbus.FieldReplySerial] = dbus.MakeVariant(call.Serial() + 100)
			answer.Headers[dbus.FieldReplySerial] = dbus.MakeVariant(call.Serial())
			for _, m := range []*dbus.Message{newSignal(), other, answer} {
				_, _ = c.Write(encodeMessage(t, m, binary.LittleEndian))
			}
		}
	})
	return b
}

func newSignal() *dbus.Message {
	return &dbus.Message{Type: dbus.TypeSignal, Body: []any{":1.7", uint32(1)}, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath:      dbus.MakeVariant(dbus.ObjectPath("/org/freedesktop/DBus")),
		dbus.FieldInterface: dbus.MakeVariant("org.freedesktop.DBus"),
		dbus.FieldMember:    dbus.MakeVariant("NameAcquired"),
		dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf("", uint32(0))),
	}}
}

// serveSocket serves each connection to a socket, and waits for the end of all.
func serveSocket(t *testing.T, serve func(net.Conn)) string {
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return path
}
