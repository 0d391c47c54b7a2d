package firewalld

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// busSocket is the system bus (D-Bus specification, "Well-known Message Bus Instances").
	busSocket = "/run/dbus/system_bus_socket"

	busName       = "org.fedoraproject.FirewallD1"
	objectPath    = "/org/fedoraproject/FirewallD1"
	zoneInterface = busName + ".zone"

	// trustedZone is the zone that accepts everything (firewalld.zones(5)).
	trustedZone = "trusted"

	// callTimeout ends a call to a firewalld that hangs, which would hang Podman. A call takes 20
	// ms.
	callTimeout = 2 * time.Second
	// hangPause is how long a firewalld that hung is not asked again: a program with many networks
	// would wait for each of them.
	hangPause = 30 * time.Second
)

// errHangs says that firewalld was not asked.
var errHangs = fmt.Errorf("not asked, as it did not answer less than %v ago; see `systemctl status firewalld`",
	hangPause)

// Zones are the zones of the host's firewalld. Without firewalld its methods do nothing.
type Zones struct {
	Socket string // of the system bus; "": the usual one

	mu   sync.Mutex
	hung time.Time // when it last did not answer
}

// Trust puts a device into the trusted zone, which accepts what comes from it and goes to it. It is
// safe to repeat, and must be repeated after firewalld reloads, which forgets it.
func (z *Zones) Trust(device string) error {
	return z.callIfRunning("trust device "+device, func(b *busConn) error {
		zone, err := b.call(zoneCall("getZoneOfInterface", device))
		if err != nil || zone.text == trustedZone {
			return err
		}
		_, err = b.call(zoneCall("changeZoneOfInterface", trustedZone, device))
		return err
	})
}

// ZoneOf returns the zone of a device, "" if it is in none, and whether firewalld runs.
func (z *Zones) ZoneOf(device string) (zone string, running bool, err error) {
	err = z.callIfRunning("look up device "+device, func(b *busConn) error {
		found, err := b.call(zoneCall("getZoneOfInterface", device))
		zone, running = found.text, true
		return err
	})
	return zone, running, err
}

// Untrust takes a device out of its zone, whichever that is by now.
func (z *Zones) Untrust(device string) error {
	return z.callIfRunning("forget device "+device, func(b *busConn) error {
		_, err := b.call(zoneCall("removeInterface", "", device))
		if err != nil && strings.Contains(err.Error(), "UNKNOWN_INTERFACE") {
			return nil
		}
		return err
	})
}

// zoneCall calls a method of firewalld's zones. Those used here return the zone's name
// (firewalld.dbus(5)).
func zoneCall(method string, args ...string) methodCall {
	return methodCall{busName, objectPath, zoneInterface, method, args, "s"}
}

// callIfRunning calls firewalld if it runs, and does not start it.
func (z *Zones) callIfRunning(what string, call func(*busConn) error) error {
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
	if errors.Is(err, os.ErrDeadlineExceeded) {
		z.hung = time.Now()
		err = fmt.Errorf("it has not answered for %v; see `systemctl status firewalld`", callTimeout)
	}
	if err != nil {
		return fmt.Errorf("%s in firewalld: %w", what, err)
	}
	return nil
}

// callBus calls firewalld if the system bus knows it. Without a bus there is no firewalld.
func callBus(socket string, call func(*busConn) error) error {
	b, err := connectBus(socket, time.Now().Add(callTimeout))
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.EAGAIN) { // there is one, which hangs
		return err
	}
	if err != nil {
		return nil
	}
	defer b.stream.Close()
	running, err := b.call(driverCall("NameHasOwner", "b", busName))
	if err == nil && running.truth {
		err = call(b)
	}
	return err
}
