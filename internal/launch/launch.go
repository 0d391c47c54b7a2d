package launch

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agentapi"
)

// patience is how long a container start waits for the agent, in all.
const patience = 2 * time.Second

// pollInterval is how often a starting agent is tried; it listens after some 10 ms.
const pollInterval = 5 * time.Millisecond

// startAgain is how often an agent that is killed as it starts is started again.
const startAgain = 3

// Unit is the socket by which systemd starts the agent.
const Unit = "vxland.socket"

// Agent is the agent of this host, running or not.
type Agent struct {
	Socket string
	Log    string // where one that is started without systemd writes
	// Binary is the program, "" to look for it where it is installed.
	Binary string
	// Systemd tells whether systemd runs.
	Systemd bool
	// Warn tells the user what the agent thinks of.
	Warn func(message string)
}

// Sync has the agent act on the store as it is now, and starts it if need be. The error
// says what is wrong with the network.
func (a Agent) Sync(network string) error {
	_, err := a.ask(agentapi.Request{Verb: agentapi.VerbSync, Network: network}, 0)
	return err
}

// EndpointAdded has the agent answer the names of a container that has been set up, and starts it if need be. It tells whether
// the agent has the container announce its addresses, which one of an earlier version does not.
func (a Agent) EndpointAdded(network, container string) (announces bool, err error) {
	r, err := a.ask(agentapi.Request{Verb: agentapi.VerbSync, Network: network, Container: container}, 0)
	return r.Announces, err
}

// assigning is how long the agent may take to assign addresses, once it runs: it asks
// around for a moment, and may have to find the others first.
const assigning = 10 * time.Second

// AssignAddresses has the agent pick addresses for a container whose record is in the store, and
// starts it if need be.
func (a Agent) AssignAddresses(network, container string, wanted []netip.Addr) ([]netip.Addr, error) {
	r, err := a.ask(agentapi.Request{Verb: agentapi.VerbAssignAddresses, Assign: &agentapi.AssignRequest{
		Network: network, Container: container, Wanted: wanted,
	}}, assigning)
	if err == nil && r.Warning != "" {
		a.Warn(r.Warning)
	}
	return r.Addrs, err
}

// ask has an answer from the agent, which it starts if need be. An answer that takes
// longer than starting an agent may is given more time.
func (a Agent) ask(r agentapi.Request, more time.Duration) (agentapi.Response, error) {
	deadline := time.Now().Add(patience)
	call := func() (agentapi.Response, error) {
		return agentapi.Call(a.Socket, r, deadline.Add(more))
	}
	answer, err := call()
	if !errors.Is(err, agentapi.ErrNotRunning) {
		return answer, err
	}
	ended, err := a.start(deadline)
	if err != nil {
		return agentapi.Response{}, fmt.Errorf("start vxland: %w", err)
	}
	for again := startAgain; ; {
		answer, err := call()
		if !errors.Is(err, agentapi.ErrNotRunning) {
			return answer, a.explain(err)
		}
		select {
		case exit := <-ended:
			if errors.Is(exit, errKilled) && again > 0 {
				again--
				if ended, err = a.start(deadline); err == nil {
					continue
				}
				exit = errors.Join(exit, err)
			}
			return agentapi.Response{}, a.explain(fmt.Errorf("start vxland: it ended at once: %w", cmp.Or(exit, errors.New("exit status 0"))))
		case <-time.After(pollInterval):
		}
		if time.Now().After(deadline) {
			return agentapi.Response{}, a.explain(fmt.Errorf("start vxland: it does not answer within %v", patience))
		}
	}
}

// explain says where to read more.
func (a Agent) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case a.Systemd:
		return fmt.Errorf("%w; see `journalctl -u vxland` or %s", err, a.Log)
	}
	return fmt.Errorf("%w; see %s", err, a.Log)
}

// StoreChanged tells the agent, if it runs, that the store has changed. It finds that out by
// itself too, so nothing depends on it.
func (a Agent) StoreChanged() {
	_ = agentapi.Send(a.Socket, agentapi.Request{Verb: agentapi.VerbStoreChanged}, time.Now().Add(patience))
}

// systemctl is where it is on every system that systemd runs on.
const systemctl = "/usr/bin/systemctl"

// start starts the agent: by systemd if it knows the unit, so that the agent is not
// part of whatever service the first container belongs to; else as a process of its
// own. What the channel receives is how that one ended.
func (a Agent) start(deadline time.Time) (<-chan error, error) {
	if a.Systemd && a.Binary == "" && activate(deadline) {
		return nil, nil
	}
	path, err := a.find()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(a.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	return spawn(log, path, "--keep")
}

// activate has systemd start the unit, and tells whether it did.
func activate(deadline time.Time) bool {
	ended, err := spawn(nil, systemctl, "start", Unit)
	if err != nil {
		return false
	}
	select {
	case err := <-ended:
		return err == nil
	case <-time.After(time.Until(deadline)):
		return false
	}
}

// errKilled says that a signal has ended a process. That may be nothing of its own, and the next one may live.
var errKilled = errors.New("not by itself")

// spawn starts a program in a session of its own, with out as its output, and sends how it ended. It does without
// os/exec, which would make the plugin larger by 100 kB, and os.StartProcess, which first starts a process to see what the kernel can do.
func spawn(out *os.File, argv ...string) (<-chan error, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	if out == nil {
		out = null
	}
	// What the plugin was given open, such as a pipe whose reader waits for its end,
	// must not stay open in the other. Before Linux 5.11 it does.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Dir: "/", Env: []string{"PATH=" + os.Getenv("PATH")},
		Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, &os.PathError{Op: "start", Path: argv[0], Err: err}
	}
	ended := make(chan error, 1)
	go func() { ended <- wait(pid) }()
	return ended, nil
}

// wait returns how a process ended, nil if well.
func wait(pid int) error {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("wait for process %d: %w", pid, err)
		case status.Signaled():
			return fmt.Errorf("signal: %v, %w", status.Signal(), errKilled)
		case status.ExitStatus() != 0:
			return fmt.Errorf("exit status %d", status.ExitStatus())
		default:
			return nil
		}
	}
}

// places are where the agent is installed, beside the plugin's own directories.
var places = []string{
	"/usr/local/libexec/vxlan/vxland", "/usr/libexec/vxlan/vxland", "/usr/local/lib/vxlan/vxland", "/usr/lib/vxlan/vxland",
	"/usr/local/sbin/vxland", "/usr/sbin/vxland", "/usr/local/bin/vxland", "/usr/bin/vxland",
}

func (a Agent) find() (string, error) {
	if a.Binary != "" {
		return a.Binary, nil
	}
	all := places
	if self, err := os.Executable(); err == nil {
		all = append([]string{self[:strings.LastIndexByte(self, '/')+1] + "../vxlan/vxland"}, places...)
	}
	for _, path := range all {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("it is not installed; it belongs at %s", places[0])
}
