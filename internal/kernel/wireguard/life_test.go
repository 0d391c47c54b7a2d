package wireguard_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/kernel/wireguard"
)

// soon is less than the five seconds after which WireGuard tries a handshake again that it has missed. It takes
// tens of milliseconds. A machine without acceleration gets more time, as it needs.
func (h *host) soon() time.Duration { return max(4*time.Second, 30*h.pace) }

// pid returns the process of the host's device.
func (h *host) pid() int {
	h.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: wireguard.SocketPath(h.device.Name)})
	if err != nil {
		h.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		h.Fatal(err)
	}
	var cred *unix.Ucred
	if controlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); errors.Join(err, controlErr) != nil {
		h.Fatal(err, controlErr)
	}
	return int(cred.Pid)
}

// awaitDeath waits until the agent hears that a process has ended.
func (h *host) awaitDeath() {
	h.Helper()
	select {
	case <-h.Died():
	case <-time.After(20 * time.Second):
		h.Fatal("nobody says that the process has ended")
	}
}

// isGone tells whether a process has ended, a zombie included.
func isGone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// In the middle of a flood of echoes the process is killed. Nothing passes until it is started again, and then
// what the other host sends passes too, although only this one has lost its session.
func TestProcessKilled(t *testing.T) {
	for _, ipv6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("ipv6=%v", ipv6), func(t *testing.T) {
			a, b := pair(t, wireguard.WireGuardGo, ipv6)
			waitForPing(t, a)
			index, port, key := a.sh("ip -o link show vx0"), b.state.Port, b.state.PublicKey
			p := a.ping("10.7.0.2")
			p.awaitAnswers(t, 5)
			pid := b.pid()
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			b.awaitDeath()
			if s := b.read(); s.Running || s.Implementation != wireguard.WireGuardGo {
				t.Errorf("without its process: %+v", s)
			}
			if err := b.UpdatePeers(b.device.Name, []wireguard.Peer{a.peer()}, nil); !errors.Is(err, wireguard.ErrNotFound) {
				t.Errorf("peers of a device without a process: %v", err)
			}
			time.Sleep(200 * time.Millisecond) // if something passes without encryption now, it is counted
			_, _ = p.stop(t)
			checkNoPlaintext(a, b)

			p = a.ping("10.7.0.2")
			began := time.Now()
			b.ensure()
			b.setPeers(a.peer())
			restart := time.Since(began)
			took := waitForPing(t, a)
			p.awaitAnswers(t, 1)
			sent, answered := p.stop(t)
			t.Logf("process and peers were there after %v, an echo passed after another %v; %d of %d were answered meanwhile",
				restart, took, answered, sent)
			if restart+took > a.soon() {
				t.Errorf("it took %v", restart+took)
			}
			if b.state.Port != port || b.state.PublicKey != key || a.sh("ip -o link show vx0") != index {
				t.Errorf("after it was started again: %+v instead of port %d", b.state, port)
			}
			checkNoPlaintext(a, b)
			if !isGone(pid) {
				t.Errorf("process %d is still there", pid)
			}
		})
	}
}

// An agent that ends leaves the process and its sessions alone, and the next one takes it up.
func TestAgentRestarts(t *testing.T) {
	a, b := pair(t, wireguard.WireGuardGo, false)
	waitForPing(t, a)
	before, pid := a.read(), a.pid()
	p := a.ping("10.7.0.2")
	p.awaitAnswers(t, 5)
	a.Host = a.newAgent(wireguard.WireGuardGo, "/does/not/exist")
	a.ensure()
	a.setPeers(b.peer())
	p.awaitAll(t)
	if sent, answered := p.stop(t); answered < sent {
		t.Errorf("%d of %d echoes were answered", answered, sent)
	}
	after := a.read()
	if a.pid() != pid || after.Port != before.Port || after.Peers[0].LastHandshake != before.Peers[0].LastHandshake {
		t.Errorf("process %d, %+v\nbefore: %d, %+v", a.pid(), after, pid, before)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	a.awaitDeath()
	if _, err := a.Ensure(t.Context(), a.device); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("a program that is not there was started: %v", err)
	}
}

// A process whose program was replaced executes the new one, with the same number, keys and peers.
func TestProgramReplaced(t *testing.T) {
	a, b := pair(t, wireguard.WireGuardGo, false)
	waitForPing(t, a)
	program := filepath.Join(t.TempDir(), "vxland")
	copyProgram(t, program)
	b.Host.Start = wireguard.Launcher{Program: program, Namespace: b.path, Log: os.Stderr}.Start
	if err := syscall.Kill(b.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.awaitDeath()
	b.ensure()
	b.setPeers(a.peer())
	waitForPing(t, a)
	pid, before := b.pid(), b.read()

	// The other host is the only one that sends, so that it is this one that has to begin.
	a.sh("ping -c 1 10.7.0.2 >/dev/null")
	copyProgram(t, program)
	p := a.ping("10.7.0.2")
	p.awaitAnswers(t, 5)
	began := time.Now()
	b.ensure()
	took := time.Since(began)
	time.Sleep(300 * time.Millisecond)
	sent, answered := p.stop(t)
	recovery := waitForPing(t, a)
	t.Logf("%v until the new program answered; %d of %d echoes were lost, one each 5 ms", took, sent-answered, sent)
	if took > a.soon() || recovery > a.soon() {
		t.Errorf("it took %v, and another %v until an echo was answered", took, recovery)
	}
	after := b.read()
	if b.pid() != pid || after.Port != before.Port || after.PublicKey != before.PublicKey || len(after.Peers) != 1 ||
		after.Peers[0].PublicKey != before.Peers[0].PublicKey {
		t.Errorf("process %d, %+v\nbefore: %d, %+v", b.pid(), after, pid, before)
	}
	running, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	installed, statErr := os.Stat(program)
	if err != nil || statErr != nil || !os.SameFile(running, installed) {
		t.Errorf("it still runs the old program: %v, %v", err, statErr)
	}
	b.ensure() // and not once more
	if b.pid() != pid || strings.Count(b.log.String(), "restarting wireguard-go in place") != 1 {
		t.Error(b.log.String())
	}
	checkNoPlaintext(a, b)
	select {
	case <-b.Died():
		t.Error("a restart in place is taken for an end")
	default:
	}
}

// copyProgram puts this program at a path as installers do: by a rename.
func copyProgram(t *testing.T, path string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close(), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// Keys go by the socket alone, which only root can open; its arguments and environment have none.
func TestKeysAreNotSeen(t *testing.T) {
	paths, vteps := underlay(t, false)
	h := newHost(t, wireguard.WireGuardGo, paths[0], vteps[0])
	info, err := os.Stat(wireguard.SocketPath(h.device.Name))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	for _, file := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", h.pid(), file))
		hasKey := strings.Contains(string(text), h.device.PrivateKey.String())
		if err != nil || hasKey || strings.Contains(string(text), "HOME=") {
			t.Errorf("%s: %q, %v", file, text, err)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.pid()))
	if err != nil {
		t.Fatal(err)
	}
	if rights := "CapEff:\t0000000000001400"; !linkedWithC && !strings.Contains(string(status), rights) {
		t.Errorf("not %q (CAP_NET_ADMIN, CAP_NET_BIND_SERVICE) in\n%s", rights, status)
	}
}

// Nothing is left: no device, process, socket, rule.
func TestRemove(t *testing.T) {
	eachImplementation(t, func(t *testing.T, i wireguard.Implementation, ipv6 bool) {
		paths, vteps := underlay(t, ipv6)
		needImplementation(t, i, paths[0])
		before := netState(t, paths[0])
		for _, killed := range []bool{false, true} {
			h := newHost(t, i, paths[0], vteps[0])
			pid := 0
			if i == wireguard.WireGuardGo {
				pid = h.pid()
			}
			if killed && pid != 0 {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				h.awaitDeath()
			}
			for range 2 {
				if err := h.Remove(h.device.Name); err != nil {
					t.Error(err)
				}
			}
			if got := netState(t, paths[0]); got != before {
				t.Errorf("left is\n%s\ninstead of\n%s", got, before)
			}
			if _, err := os.Lstat(wireguard.SocketPath(h.device.Name)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("socket: %v", err)
			}
			for until := time.Now().Add(10 * time.Second); pid != 0 && !isGone(pid); time.Sleep(time.Millisecond) {
				if time.Now().After(until) {
					t.Fatalf("process %d is still there", pid)
				}
			}
			if _, err := h.State(h.device.Name); !errors.Is(err, wireguard.ErrNotFound) {
				t.Error(err)
			}
			select {
			case <-h.Died():
				t.Error("a process that was told to end is taken for one that has died")
			default:
			}
		}
	})
}

func netState(t *testing.T, path string) string {
	t.Helper()
	return netnstest.Shell(t, path)(`
		ip -o link show | cut -d: -f2
		ip rule
		ip -6 rule
		ip -6 route show table all | grep -v multicast
		ip route show table all`)
}

// A device that somebody has deleted is made anew.
func TestDeviceDeleted(t *testing.T) {
	eachImplementation(t, func(t *testing.T, i wireguard.Implementation, ipv6 bool) {
		paths, vteps := underlay(t, ipv6)
		needImplementation(t, i, paths[0])
		h := newHost(t, i, paths[0], vteps[0])
		port, key := h.state.Port, h.state.PublicKey
		h.sh("ip link del " + h.device.Name)
		if i == wireguard.WireGuardGo {
			h.awaitDeath()
		}
		if _, err := h.State(h.device.Name); !errors.Is(err, wireguard.ErrNotFound) {
			t.Error(err)
		}
		h.ensure()
		if h.state.Port != port || h.state.PublicKey != key || !h.state.Running {
			t.Errorf("%+v", h.state)
		}
		if rules := h.sh("ip -6 rule"); ipv6 && strings.Count(rules, h.device.Name) != 1 {
			t.Error(rules)
		}
	})
}

// A process whose socket is gone could never be told anything, and ends.
func TestSocketRemoved(t *testing.T) {
	paths, vteps := underlay(t, false)
	h := newHost(t, wireguard.WireGuardGo, paths[0], vteps[0])
	pid, port := h.pid(), h.state.Port
	if err := os.Remove(wireguard.SocketPath(h.device.Name)); err != nil {
		t.Fatal(err)
	}
	h.Host = h.newAgent(wireguard.WireGuardGo, os.Args[0]) // one that has no connection to it
	h.device.Port = port
	h.ensure()
	if h.pid() == pid || h.state.Port != port {
		t.Errorf("process %d instead of %d; %+v", h.pid(), pid, h.state)
	}
}

// Another program's device, and another program's port, are left alone and named.
func TestNameAndPortTaken(t *testing.T) {
	eachImplementation(t, func(t *testing.T, i wireguard.Implementation, ipv6 bool) {
		paths, vteps := underlay(t, ipv6)
		needImplementation(t, i, paths[0])
		h := newHost(t, i, paths[0], vteps[0])
		other := h.device
		other.Name = newName()
		h.sh("ip link add " + other.Name + " type bridge")
		_, err := h.Ensure(t.Context(), other)
		if err == nil || !strings.Contains(err.Error(), "another program's device has this name (kind \"bridge\"") {
			t.Error(err)
		}
		if err := h.Remove(other.Name); err != nil || h.sh("ip link show "+other.Name) == "" {
			t.Error("another program's device was removed", err)
		}

		other.Name, other.Port = newName(), h.state.Port
		_, err = h.Ensure(t.Context(), other)
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), fmt.Sprintf("UDP port %d", other.Port)) {
			t.Error(err)
		}
		if err := h.Remove(h.device.Name); err != nil {
			t.Fatal(err)
		}
		if s, err := h.Ensure(t.Context(), other); err != nil || s.Port != other.Port {
			t.Errorf("when the port was free: %+v, %v", s, err)
		}
		if err := h.Remove(other.Name); err != nil {
			t.Error(err)
		}
	})
}

// Whoever waits for a device can give up.
func TestEnsureCanBeCancelled(t *testing.T) {
	paths, vteps := underlay(t, false)
	h := newHost(t, wireguard.WireGuardGo, paths[0], vteps[0])
	h.Host.Start = func(context.Context, string) error { return nil } // and no process comes
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	d := h.device
	d.Name = newName()
	if _, err := h.Ensure(ctx, d); err == nil || !strings.Contains(err.Error(), "wireguard-go does not answer") {
		t.Error(err)
	}
}

// Where somebody has taken the device down, the kernel has no route by it. VXLAN packets must not leave by the
// underlay then.
func TestDeviceDown(t *testing.T) {
	eachImplementation(t, func(t *testing.T, i wireguard.Implementation, ipv6 bool) {
		a, b := pair(t, i, ipv6)
		waitForPing(t, a)
		a.sh("ip link set " + a.device.Name + " down; ! ping -c 5 -i 0.01 -W 0.2 10.7.0.2 >/dev/null")
		checkNoPlaintext(a, b)
		a.ensure()
		waitForPing(t, a)
		checkNoPlaintext(a, b)
	})
}

// A process that cannot start is not waited for.
func TestProcessThatCannotStart(t *testing.T) {
	paths, vteps := underlay(t, false)
	h := newHost(t, wireguard.WireGuardGo, paths[0], vteps[0])
	h.Host.Start = wireguard.Launcher{Program: "/bin/false", Namespace: h.path, Log: os.Stderr}.Start
	d := h.device
	d.Name = newName()
	began := time.Now()
	_, err := h.Ensure(t.Context(), d)
	took := time.Since(began)
	if err == nil || !strings.Contains(err.Error(), "it ended at once: exit status 1") || took > 5*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
}

// Sockets are found by name in all network namespaces. A process of another one is neither told keys nor ended.
func TestProcessOfAnotherNamespace(t *testing.T) {
	paths, vteps := underlay(t, false)
	other := newHost(t, wireguard.WireGuardGo, paths[0], vteps[0])
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := &host{TB: t, path: paths[1], sh: netnstest.Shell(t, paths[1]), vtep: vteps[1], log: other.log,
		device: other.device}
	h.Host = h.newAgent(wireguard.WireGuardGo, self)
	if h.device.PrivateKey, err = wireguard.NewPrivateKey(); err != nil {
		t.Fatal(err)
	}
	h.sh(fmt.Sprintf(`ip tuntap add %[1]s mode tun; ip link set %[1]s alias "vxlan-driver network 7c7b n"`, h.device.Name))
	pid := other.pid()
	if _, err := h.Ensure(t.Context(), h.device); err == nil || !strings.Contains(err.Error(),
		"in another network namespace") {
		t.Errorf("set up: %v", err)
	}
	if err := h.Remove(h.device.Name); err != nil {
		t.Errorf("remove: %v", err)
	}
	if state, err := other.State(other.device.Name); err != nil || !state.Running || other.pid() != pid ||
		state.PublicKey != other.device.PrivateKey.Public() {
		t.Errorf("the other one: %+v, %v", state, err)
	}
}

// A device whose process takes long to start, or does not, does not keep others waiting: the agent sets the peers
// of all networks in its loop.
func TestSlowDeviceDelaysNoOther(t *testing.T) {
	paths, vteps := underlay(t, false)
	h := newHost(t, wireguard.WireGuardGo, paths[0], vteps[0])
	starting := make(chan struct{})
	start := h.Start
	h.Start = func(ctx context.Context, device string) error {
		if device == h.device.Name {
			return start(ctx, device)
		}
		close(starting)
		<-ctx.Done()
		return ctx.Err()
	}
	slow := h.device
	slow.Name = newName()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := h.Ensure(ctx, slow)
		ended <- err
	}()
	<-starting
	changed := make(chan error, 1)
	go func() {
		_, err := h.State(h.device.Name)
		changed <- errors.Join(err, h.UpdatePeers(h.device.Name, []wireguard.Peer{{PublicKey: wireguard.Key{1}}}, nil))
	}()
	select {
	case err := <-changed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the peers of one device wait for the process of another")
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
