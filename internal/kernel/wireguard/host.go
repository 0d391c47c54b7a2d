package wireguard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/rtnl"
)

// Host keeps the WireGuard devices of one network namespace. It is the implementation of Devices. Set its
// fields before its first use.
type Host struct {
	// Namespace is a path, or "" for the one of this process.
	Namespace string
	// Start starts wireguard-go's process of a device, or starts it again. See Launcher.
	Start func(ctx context.Context, device string) error
	// WithoutKernel makes new devices wireguard-go's, whatever the kernel has.
	WithoutKernel bool
	Log           *slog.Logger

	once sync.Once
	died chan struct{}

	mu      sync.Mutex // of devices
	devices map[string]*knownDevice
	rules   sync.Mutex // of routing by device
}

// knownDevice is what is remembered of a device, also of one that has gone. Each is locked by itself: to start a
// process may take seconds, and others must not wait for it.
type knownDevice struct {
	sync.Mutex
	process   *process
	port      uint16                 // that it has chosen
	endpoints map[Key]netip.AddrPort // that were wanted last
}

var _ Devices = (*Host)(nil)

// NewHost returns the devices of this host, whose processes are this program's. The argument tells whether
// systemd runs here.
func NewHost(systemd bool, log *slog.Logger) (*Host, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	start := Launcher{Program: strings.TrimSuffix(program, " (deleted)"), Systemd: systemd, Log: os.Stderr}.Start
	return &Host{Start: start, Log: log}, nil
}

// ProcessAlias marks a device that a process has made and that Ensure has not marked yet.
const ProcessAlias = OurAlias + "wireguard"

// OurAlias begins the alias of each device of this driver.
const OurAlias = kernel.OurAlias

// startTimeout is how long a process may take until it can be told its keys. It takes some 10 ms, and
// systemd on a busy host a second.
const startTimeout = 10 * time.Second

func (h *Host) init() {
	h.once.Do(func() {
		h.died = make(chan struct{}, 1)
		h.devices = make(map[string]*knownDevice)
	})
}

// known returns what is remembered of a device.
func (h *Host) known(name string) *knownDevice {
	h.init()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.devices[name] == nil {
		h.devices[name] = new(knownDevice)
	}
	return h.devices[name]
}

// lock keeps other calls for a device waiting until unlock is called.
func (h *Host) lock(name string) (unlock func()) {
	d := h.known(name)
	d.Lock()
	return d.Unlock
}

// Died implements Devices.
func (h *Host) Died() <-chan struct{} {
	h.init()
	return h.died
}

// Ensure implements Devices.
func (h *Host) Ensure(ctx context.Context, want Device) (State, error) {
	defer h.lock(want.Name)()
	c, err := rtnl.Open(h.Namespace)
	if err != nil {
		return State{}, err
	}
	defer c.Close()
	state, err := h.ensure(ctx, c, want)
	if err != nil {
		return State{}, fmt.Errorf("set up WireGuard device %s: %w", want.Name, err)
	}
	return state, nil
}

func (h *Host) ensure(ctx context.Context, c *rtnl.Conn, want Device) (State, error) {
	kind, repaired, err := h.ensureLink(ctx, c, want)
	if err != nil {
		return State{}, err
	}
	more, err := setUpLink(c, kind, want)
	if err != nil {
		return State{}, err
	}
	if !slices.Contains(repaired, Missing) { // all else goes with that
		repaired = append(repaired, more...)
	}
	have, err := h.readRunning(want.Name)
	if err == nil {
		err = h.configure(want, have)
	}
	if err != nil {
		return State{}, err
	}
	state, err := h.read(want.Name)
	h.known(want.Name).port, state.Repaired = state.Port, repaired
	return state, err
}

// ensureLink makes the device if there is none, and starts its process if that does not run.
func (h *Host) ensureLink(ctx context.Context, c *rtnl.Conn, want Device) (kernel.Kind, []Fault, error) {
	have, err := c.Link(want.Name, 0)
	fault := WithoutProcess
	switch {
	case errors.Is(err, kernel.ErrNotFound) && !h.WithoutKernel:
		err := c.CreateWireGuard(want.Name)
		if !errors.Is(err, kernel.ErrNotSupported) {
			return kernel.KindWireGuard, []Fault{Missing}, err
		}
		fault = Missing
	case errors.Is(err, kernel.ErrNotFound):
		fault = Missing
	case err != nil:
		return "", nil, err
	case !isOurs(have):
		return "", nil, fmt.Errorf("another program's device has this name (kind %q, alias %q); remove it or rename it",
			have.Kind, have.Alias)
	case have.Kind == kernel.KindWireGuard:
		return kernel.KindWireGuard, nil, nil
	}
	started, err := h.ensureProcess(ctx, want.Name)
	if started {
		return kernel.KindTun, []Fault{fault}, err
	}
	return kernel.KindTun, nil, err
}

// isOurs tells whether a device is the driver's. A kernel's one without an alias that is down is one whose
// maker was interrupted. A process marks its device before that can outlive it.
func isOurs(l kernel.Link) bool {
	switch l.Kind {
	case kernel.KindWireGuard:
		return strings.HasPrefix(l.Alias, OurAlias) || l.Alias == "" && !l.Up
	case kernel.KindTun:
		return strings.HasPrefix(l.Alias, OurAlias)
	}
	return false
}

// configure sets key and port where they differ. A port that a device has chosen is kept, since other
// hosts know it.
func (h *Host) configure(want Device, have State) error {
	var port *uint16
	wanted := cmp.Or(want.Port, h.known(want.Name).port)
	if wanted != 0 && wanted != have.Port {
		port = &wanted
	}
	var key *Key
	if want.PrivateKey.Public() != have.PublicKey {
		key = &want.PrivateKey
	}
	if key == nil && port == nil {
		return nil
	}
	err := h.withClient(func(c client) error { return c.configure(want.Name, key, port) })
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	// wireguard-go keeps the number of a port that it did not get, and would not ask again.
	zero := uint16(0)
	_ = h.withClient(func(c client) error { return c.configure(want.Name, nil, &zero) })
	h.known(want.Name).port = 0
	return fmt.Errorf("listen on UDP port %d: %w; `ss -ulnp` says who has it; end that program, or give the network "+
		"another port (`--opt encryption_port=PORT`)", wanted, err)
}

// State implements Devices.
func (h *Host) State(name string) (State, error) {
	defer h.lock(name)()
	s, err := h.read(name)
	if err != nil {
		return State{}, fmt.Errorf("read WireGuard device %s: %w", name, err)
	}
	return s, nil
}

// read returns a device's state.
func (h *Host) read(name string) (s State, err error) {
	err = h.withClient(func(c client) error {
		s, err = c.read(name)
		return err
	})
	if err == nil || !isNotThere(err) {
		return s, err
	}
	l, err := h.link(name)
	switch {
	case errors.Is(err, kernel.ErrNotFound) || err == nil && !isOurs(l):
		return State{}, ErrNotFound
	case err != nil:
		return State{}, err
	case l.Kind == kernel.KindTun:
		return State{Implementation: WireGuardGo, Port: h.known(name).port}, nil
	}
	return State{}, ErrNotFound // it went meanwhile
}

func (h *Host) link(name string) (kernel.Link, error) {
	c, err := rtnl.Open(h.Namespace)
	if err != nil {
		return kernel.Link{}, err
	}
	defer c.Close()
	return c.Link(name, 0)
}

// bindTime is how long wireguard-go may take to see that its device is up. It hears of that from the
// kernel, and looks each second.
const bindTime = 3 * time.Second

// readRunning returns a device's state as soon as it has a UDP port. wireguard-go opens one after its
// device has come up. To be told a port before would be an error that nobody hears of, and with a peer
// it would shake hands five seconds later.
func (h *Host) readRunning(name string) (State, error) {
	for until := time.Now().Add(bindTime); ; time.Sleep(time.Millisecond) {
		s, err := h.read(name)
		switch {
		case err != nil:
			return s, err
		case s.Port != 0:
			return s, nil
		case !s.Running:
			return s, errors.New("its process ended as it was started; its log says why")
		case time.Now().After(until):
			return s, fmt.Errorf("it opens no UDP port within %v", bindTime)
		}
	}
}

// Remove implements Devices.
func (h *Host) Remove(name string) error {
	defer h.lock(name)()
	c, err := rtnl.Open(h.Namespace)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := h.remove(c, name); err != nil {
		return fmt.Errorf("remove WireGuard device %s: %w", name, err)
	}
	return nil
}

func (h *Host) remove(c *rtnl.Conn, name string) error {
	l, err := c.Link(name, 0)
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return err
	}
	isThere := err == nil
	if isThere && !isOurs(l) {
		return nil // ours is gone, and another program has taken its name
	}
	var p *process
	var connectErr error
	if !isThere || l.Kind == kernel.KindTun {
		p, connectErr = h.connect(name) // if it does not answer, it ends by itself
	}
	if p != nil {
		p.expectEnd()
	}
	errs := []error{h.removeRules(func() error { return c.RemoveDeviceRule(name) })}
	if isThere {
		errs = append(errs, c.Apply(kernel.DeleteLink{Name: name}))
	}
	if p != nil {
		errs = append(errs, p.waitEnd())
	}
	if !errors.Is(connectErr, errElsewhere) {
		err := os.Remove(SocketPath(name)) // of a process that was killed
		if l.Kind == kernel.KindTun && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	d := h.known(name)
	d.process, d.port, d.endpoints = nil, 0, nil
	return errors.Join(append(errs, h.removeRules(c.RemoveStaleDeviceRules))...)
}

// removeRules keeps two from removing the same rule.
func (h *Host) removeRules(remove func() error) error {
	h.rules.Lock()
	defer h.rules.Unlock()
	return remove()
}

// List implements Devices.
func (h *Host) List() ([]string, error) {
	c, err := rtnl.Open(h.Namespace)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	links, err := c.UnattachedLinks()
	var names []string
	for _, l := range links {
		if isOurs(l) {
			names = append(names, l.Name)
		}
	}
	slices.Sort(names)
	return names, err
}

// RemoveAll removes all of the driver's devices, as for a host that is to have nothing of it.
func (h *Host) RemoveAll() error {
	names, err := h.List()
	errs := []error{err}
	for _, name := range names {
		errs = append(errs, h.Remove(name))
	}
	return errors.Join(errs...)
}
