package firewalld

import (
	"context"
	"time"
)

const (
	// typeSignal is a message that nobody asked for ("Message Format").
	typeSignal = 4

	signalReloaded     = "Reloaded"         // firewalld.dbus(5)
	signalOwnerChanged = "NameOwnerChanged" // "Message Bus Messages"

	// reconnectDelay is how soon a bus is tried again that does not run, or has ended. To try costs
	// 10 µs.
	reconnectDelay = 30 * time.Second
)

// reloadRules say which signals the bus is to send ("Match Rules").
var reloadRules = []string{
	"type='signal',sender='" + busName + "',interface='" + busName + "',member='" + signalReloaded + "'",
	"type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='" + signalOwnerChanged +
		"',arg0='" + busName + "'",
}

// WatchReloads sends when firewalld may have forgotten the devices of its zones: it was reloaded,
// started or stopped, or the bus was away. It ends with ctx.
func WatchReloads(ctx context.Context) <-chan struct{} {
	return watchReloads(ctx, busSocket)
}

func watchReloads(ctx context.Context, socket string) <-chan struct{} {
	reloads := make(chan struct{}, 1)
	report := func() {
		select {
		case reloads <- struct{}{}:
		default: // one is waiting already
		}
	}
	go func() {
		for first := true; ctx.Err() == nil; first = false {
			followBus(ctx, socket, !first, report)
			select {
			case <-ctx.Done():
			case <-time.After(reconnectDelay):
			}
		}
	}()
	return reloads
}

// followBus reports signals until the bus or ctx ends. If something may have been missed, it reports
// as soon as nothing more can be.
func followBus(ctx context.Context, socket string, missed bool, report func()) {
	b, err := connectBus(socket, time.Now().Add(callTimeout))
	if err != nil {
		return
	}
	defer b.stream.Close()
	defer context.AfterFunc(ctx, func() { b.stream.Close() })()
	for _, rule := range reloadRules {
		if _, err := b.call(driverCall("AddMatch", "", rule)); err != nil {
			return
		}
	}
	if err := b.stream.SetDeadline(time.Time{}); err != nil {
		return
	}
	if missed {
		report()
	}
	for {
		m, err := readMessage(b.reader)
		if err != nil {
			return
		}
		if m.kind == typeSignal && (m.member == signalReloaded || m.member == signalOwnerChanged) {
			report()
		}
	}
}
