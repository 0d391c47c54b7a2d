package firewalld

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	// busSocket is the system bus (D-Bus specification, "Well-known Message Bus Instances").
	busSocket = "/run/dbus/system_bus_socket"

	busName       = "org.fedoraproject.FirewallD1"
	objectPath    = "/org/fedoraproject/FirewallD1"
	zoneInterface = busName + ".zone"

	// trustedZone is the zone that accepts everything (firewalld.zones(5)).
	trustedZone = "trusted"

	// callTimeout ends a call to a firewalld that hangs, which would hang Podman. A call takes 20 ms.
	callTimeout = 2 * time.Second
	// hangPause is how long a firewalld that hung is not asked again: a program with many networks would
	// wait for each of them.
	hangPause = 30 * time.Second
)

// errHangs says that firewalld was not asked.
var errHangs = fmt.Errorf("not asked, as it did not answer less than %v ago; see `systemctl status firewalld`", hangPause)

// Zones are the zones of the host's firewalld. Without firewalld its methods do nothing.
type Zones struct {
	Socket string // of the system bus; "": the usual one

	mu   sync.Mutex
	hung time.Time // when it last did not answer
}

// Trust puts a device into the trusted zone, which accepts what comes from it and goes to it. It is
// safe to repeat, and must be repeated after firewalld reloads, which forgets it.
func (z *Zones) Trust(device string) error {
	return z.callIfRunning("trust device "+device, func(ctx context.Context, f dbus.BusObject) error {
		var zone string
		if err := f.CallWithContext(ctx, zoneInterface+".getZoneOfInterface", 0, device).Store(&zone); err != nil || zone == trustedZone {
			return err
		}
		return f.CallWithContext(ctx, zoneInterface+".changeZoneOfInterface", 0, trustedZone, device).Err
	})
}

// Untrust takes a device out of its zone, whichever that is by now.
func (z *Zones) Untrust(device string) error {
	return z.callIfRunning("forget device "+device, func(ctx context.Context, f dbus.BusObject) error {
		err := f.CallWithContext(ctx, zoneInterface+".removeInterface", 0, "", device).Err
		if err != nil && strings.Contains(err.Error(), "UNKNOWN_INTERFACE") {
			return nil
		}
		return err
	})
}

// callIfRunning calls firewalld if it runs, and does not start it.
func (z *Zones) callIfRunning(what string, call func(context.Context, dbus.BusObject) error) error {
	socket := z.Socket
	if socket == "" {
		socket = busSocket
	}
	if _, err := os.Stat(socket); err != nil {
		return nil
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if !z.hung.IsZero() && time.Since(z.hung) < hangPause {
		return fmt.Errorf("%s in firewalld: %w", what, errHangs)
	}
	err := callBus(socket, call)
	if errors.Is(err, context.DeadlineExceeded) {
		z.hung = time.Now()
		err = fmt.Errorf("it has not answered for %v; see `systemctl status firewalld`", callTimeout)
	}
	if err != nil {
		return fmt.Errorf("%s in firewalld: %w", what, err)
	}
	return nil
}

// callBus calls firewalld if the system bus knows it.
func callBus(socket string, call func(context.Context, dbus.BusObject) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	conn, err := connectBus(ctx, socket)
	if isTimeout(ctx, err) {
		return context.DeadlineExceeded
	}
	if err != nil {
		return nil // no bus, so no firewalld
	}
	defer conn.Close()
	var running bool
	err = conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, busName).Store(&running)
	if err == nil && running {
		err = call(ctx, conn.Object(busName, objectPath))
	}
	if isTimeout(ctx, err) {
		return context.DeadlineExceeded
	}
	return err
}

// isTimeout tells whether the time is over, whatever the library made of that.
func isTimeout(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded)
}

// connectBus connects to the bus. The library's own way does not end with the context while the bus says nothing.
func connectBus(ctx context.Context, socket string) (*dbus.Conn, error) {
	stream, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		// Calls end with the context, which comes first: of a stream that ended the library says less.
		_ = stream.SetDeadline(deadline.Add(200 * time.Millisecond))
	}
	conn, err := dbus.NewConn(stream, dbus.WithContext(ctx))
	if err != nil {
		stream.Close()
		return nil, err
	}
	if err := conn.Auth(nil); err != nil {
		conn.Close()
		return nil, err
	}
	if err := conn.Hello(); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
