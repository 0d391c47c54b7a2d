package firewalld

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
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
	callTimeout = 10 * time.Second
)

// Zones are the zones of the host's firewalld. Without firewalld its methods do nothing.
type Zones struct {
	Socket string // of the system bus; "": the usual one
}

// Trust puts a device into the trusted zone, which accepts what comes from it and goes to it. It is
// safe to repeat, and must be repeated after firewalld reloads, which forgets it.
func (z Zones) Trust(device string) error {
	return z.callIfRunning("trust device "+device, func(ctx context.Context, f dbus.BusObject) error {
		var zone string
		if err := f.CallWithContext(ctx, zoneInterface+".getZoneOfInterface", 0, device).Store(&zone); err != nil || zone == trustedZone {
			return err
		}
		return f.CallWithContext(ctx, zoneInterface+".changeZoneOfInterface", 0, trustedZone, device).Err
	})
}

// Untrust takes a device out of its zone, whichever that is by now.
func (z Zones) Untrust(device string) error {
	return z.callIfRunning("forget device "+device, func(ctx context.Context, f dbus.BusObject) error {
		err := f.CallWithContext(ctx, zoneInterface+".removeInterface", 0, "", device).Err
		if err != nil && strings.Contains(err.Error(), "UNKNOWN_INTERFACE") {
			return nil
		}
		return err
	})
}

// callIfRunning calls firewalld if it runs, and does not start it.
func (z Zones) callIfRunning(what string, call func(context.Context, dbus.BusObject) error) error {
	socket := z.Socket
	if socket == "" {
		socket = busSocket
	}
	if _, err := os.Stat(socket); err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	conn, err := dbus.Connect("unix:path="+socket, dbus.WithContext(ctx))
	if err != nil {
		return nil // no bus, so no firewalld
	}
	defer conn.Close()
	var running bool
	err = conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, busName).Store(&running)
	if err == nil && running {
		err = call(ctx, conn.Object(busName, objectPath))
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("firewalld has not answered for %v; see `systemctl status firewalld`", callTimeout)
	}
	if err != nil {
		return fmt.Errorf("%s in firewalld: %w", what, err)
	}
	return nil
}
