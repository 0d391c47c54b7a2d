package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what lab to start.
type Config struct {
	// Name tells labs of one machine apart: at most 40 lower-case letters, digits and "-". Default:
	// one that no other lab has.
	Name string `json:"name"`
	// Tree is what hosts see as their root directory; see [Prepare].
	Tree Tree `json:"tree"`
	// Hosts is how many hosts to start, at most 26: host-a, host-b, …
	Hosts int `json:"hosts"`
	// Outside starts one more host, called "outside", on the underlay but without the plugin.
	Outside bool `json:"outside"`
	// MTU of the underlay in bytes; default 1500.
	MTU int `json:"mtu"`
	// Plugin is the netavark plugin to install in every host, as /usr/local/libexec/netavark/vxlan.
	// None if empty.
	Plugin string `json:"plugin"`
	// Binaries are further programs to copy to /usr/local/bin of every host, under their own names.
	// They must run on the tree's C library, or without one (CGO_ENABLED=0).
	Binaries []string `json:"binaries"`
	// Detached labs outlive the process that starts them, until [Lab.Close] or `lab down`. Others
	// are removed by [Sweep], or by a start of the same name, once that process is dead.
	Detached bool `json:"detached"`
}

const (
	outsideName   = "outside"
	outsideNumber = 200
	firstNumber   = 11 // last byte of host-a's addresses
	maxHosts      = 26
)

var (
	validName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)
	nameCount atomic.Int64
)

// setDefaults fills in defaults, and refuses values that cannot work.
func (c *Config) setDefaults() error {
	if c.Name == "" {
		c.Name = fmt.Sprintf("lab-%d-%d", os.Getpid(), nameCount.Add(1))
	}
	if c.MTU == 0 {
		c.MTU = 1500
	}
	switch {
	case !validName.MatchString(c.Name):
		return fmt.Errorf("check lab name %q: want 1 to 40 of a-z, 0-9 and -", c.Name)
	case c.Hosts < 0 || c.Hosts > maxHosts:
		return fmt.Errorf("check number of hosts %d: want 0 to %d", c.Hosts, maxHosts)
	case c.MTU < 1280 || c.MTU > 65535:
		return fmt.Errorf("check underlay MTU %d: want 1280 (the least for IPv6) to 65535", c.MTU)
	case c.Tree.Root == "":
		return errors.New("check lab config: no tree; see lab.Prepare")
	}
	// Hosts added later may be added from another working directory.
	c.Binaries = slices.Clone(c.Binaries)
	for i := range c.Binaries {
		if err := checkProgram(&c.Binaries[i]); err != nil {
			return err
		}
	}
	if c.Plugin != "" {
		return checkProgram(&c.Plugin)
	}
	return nil
}

// checkProgram makes the path of a program absolute, and fails if it is missing.
func checkProgram(path *string) error {
	info, err := os.Stat(*path)
	if err != nil || info.IsDir() {
		return fmt.Errorf("check program %q for the hosts: not a file; build it first", *path)
	}
	*path, err = filepath.Abs(*path)
	return err
}

// Lab is a running lab. Its methods may be called from several goroutines.
type Lab struct {
	group    cgroup
	underlay underlay

	mu    sync.Mutex // guards what follows
	rec   record
	hosts []*Host
}

// Start starts a lab. It takes about 0.2 s, more if ctx or the machine are busy; on error nothing
// is left of it.
func Start(ctx context.Context, config Config) (*Lab, error) {
	if err := config.setDefaults(); err != nil {
		return nil, err
	}
	owner, err := identifyProcess(os.Getpid())
	if err != nil {
		return nil, err
	}
	group, err := labCgroup(config.Name)
	if err != nil {
		return nil, err
	}
	// Until the lab is up this process owns it, so that an interrupted start is cleaned up.
	l := &Lab{group: group, rec: record{Config: config, Owner: &owner}}
	if err := claimName(ctx, &l.rec); err != nil {
		return nil, err
	}
	if err := l.startHosts(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start lab %q: %w", config.Name, err), l.Close())
	}
	return l, nil
}

func (l *Lab) startHosts(ctx context.Context) (err error) {
	config := l.rec.Config
	if err := l.group.makeDir(); err != nil {
		return err
	}
	l.group.shareControllers()
	if l.underlay, err = startUnderlay(ctx, config.Name, l.group); err != nil {
		return fmt.Errorf("start underlay: %w", err)
	}
	l.rec.Holder = l.underlay.holder
	if err := l.rec.writeFile(); err != nil {
		return err
	}
	for range config.Hosts {
		l.newHost()
	}
	if config.Outside {
		l.hosts = append(l.hosts, &Host{lab: l, name: outsideName, number: outsideNumber})
	}
	var wait sync.WaitGroup
	errs := make([]error, len(l.hosts))
	for i, h := range l.hosts {
		wait.Go(func() { errs[i] = h.startHost(ctx) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if config.Detached {
		l.rec.Owner = nil
	}
	return l.saveRecord()
}

// newHost returns the next of host-a, host-b, …, not started yet.
func (l *Lab) newHost() *Host {
	n := 0
	for _, h := range l.hosts {
		if h.name != outsideName {
			n++
		}
	}
	h := &Host{lab: l, name: fmt.Sprintf("host-%c", 'a'+n), number: firstNumber + n}
	l.hosts = append(l.hosts, h)
	return h
}

func (h *Host) startHost(ctx context.Context) error {
	if err := h.writeHostFiles(); err != nil {
		return err
	}
	return h.bootInit(ctx)
}

// saveRecord writes the lab's record.
func (l *Lab) saveRecord() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rec.Hosts = nil
	for _, h := range l.hosts {
		h.mu.Lock()
		l.rec.Hosts = append(l.rec.Hosts, hostRecord{Name: h.name, Number: h.number, Init: h.init})
		h.mu.Unlock()
	}
	return l.rec.writeFile()
}

// Open returns a lab that another process started, such as the command lab. Closing it removes it.
func Open(name string) (*Lab, error) {
	rec, err := loadRecord(name)
	if err != nil {
		return nil, fmt.Errorf("open lab %q: %w", name, err)
	}
	group, err := labCgroup(name)
	if err != nil {
		return nil, err
	}
	l := &Lab{group: group, underlay: underlay{holder: rec.Holder}, rec: *rec}
	for _, r := range rec.Hosts {
		h := &Host{lab: l, name: r.Name, number: r.Number}
		l.hosts = append(l.hosts, h)
		if r.Init.isAlive() {
			if err := h.attachInit(r.Init); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// Name is the lab's name.
func (l *Lab) Name() string { return l.rec.Config.Name }

// Config is what the lab was started with, defaults filled in.
func (l *Lab) Config() Config { return l.rec.Config }

// Hosts are the lab's hosts in the order of their names, without the one outside.
func (l *Lab) Hosts() []*Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	var hosts []*Host
	for _, h := range l.hosts {
		if h.name != outsideName {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// Host is the host of that name, host-a, host-b, … or "outside"; nil if the lab has none.
func (l *Lab) Host(name string) *Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

// AddHost starts one more host.
func (l *Lab) AddHost(ctx context.Context) (*Host, error) {
	if len(l.Hosts()) >= maxHosts {
		return nil, fmt.Errorf("add host to lab %q: it has %d, the most a lab can have", l.Name(), maxHosts)
	}
	l.mu.Lock()
	h := l.newHost()
	l.mu.Unlock()
	if err := h.startHost(ctx); err != nil {
		return nil, err
	}
	return h, l.saveRecord()
}

// UnderlayIP runs the machine's `ip` in the underlay's namespace and returns what it prints. There
// the cable of a host has the host's name, so that "link set host-b down" cuts host-b off.
func (l *Lab) UnderlayIP(ctx context.Context, args ...string) (string, error) {
	return nsIP(ctx, l.underlay.holder.PID, "", args...)
}

// UnderlayNetns is the path of the underlay's network namespace.
func (l *Lab) UnderlayNetns() string { return fmt.Sprintf("/proc/%d/ns/net", l.underlay.holder.PID) }

// Log is the file with what a host's init printed while booting, on the machine.
func (l *Lab) Log(host string) string { return filepath.Join(labDir(l.Name()), host+".log") }

// Close kills all processes of the lab, waits until the kernel has freed what they held, and
// removes the rest. It may be called twice.
func (l *Lab) Close() error {
	// Not the caller's context: it may be the cancelled one that is the reason to close.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l.mu.Lock()
	hosts := l.hosts
	l.mu.Unlock()
	var err error
	for _, h := range hosts {
		err = errors.Join(err, h.detachInit())
	}
	err = errors.Join(err, destroyLab(ctx, l.Name()))
	return errors.Join(err, withStateLock(func() error { return nil })) // removes the state directory if it is empty
}
