package watch

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

// process runs a command in a namespace, and returns what takes its input. It runs until the test
// ends, so that the kernel's reports name a process that is there.
func process(t *testing.T, ns, name string, args ...string) io.Writer {
	t.Helper()
	cmd := exec.Command(name, args...)
	in, err := cmd.StdinPipe()
	if err == nil {
		err = netns.Do(ns, cmd.Start)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return in
}

// Who removes a bridge, an address, a route or rules is heard of with what was removed. What goes
// with it, and what is of no interest, is not taken for a removal of its own.
func TestRemovals(t *testing.T) {
	ns := netnstest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sh := netnstest.Shell(t, ns)
	sh(`ip link set lo up; ip link add br0 type bridge; ip link add br1 type bridge; ip link add v0 type vxlan id 7 dstport 4789
		ip link add veth0 type veth peer name veth1; ip link set br0 addrgenmode none up; ip link set v0 master br0
		ip address add 10.0.0.1/24 dev br0; ip address add fd00::1/64 dev br0 nodad
		ip route add 10.1.0.0/24 via 10.0.0.9; ip route add 10.2.0.0/24 via 10.0.0.9 proto bird
		for t in vxlan-driver foreign; do nft add table inet $t; nft add chain inet $t c; nft add rule inet $t c accept
			nft add set inet $t s '{ type ipv4_addr; elements = { 1.2.3.4 }; }'; done`)
	var removals <-chan kernel.Removal
	if err := netns.Do(ns, func() (err error) { removals, err = Removals(ctx); return err }); err != nil {
		t.Fatal(err)
	}
	ip := process(t, ns, "ip", "-batch", "-")
	addr := netip.MustParsePrefix
	for _, tt := range []struct {
		how  string
		want []kernel.Removal
	}{
		{"address delete 10.0.0.1/24 dev br0", []kernel.Removal{
			// The kernel removes the route by the same request: its gateway cannot be reached any more.
			{What: kernel.RemovedAddr, Prefix: addr("10.0.0.1/24")},
		}},
		{"address delete fd00::1/64 dev br0", []kernel.Removal{{What: kernel.RemovedAddr, Prefix: addr("fd00::1/64")}}},
		{"link delete v0", []kernel.Removal{{What: kernel.RemovedLink, Object: "v0"}}},
		{"link delete veth0\nlink delete br0", []kernel.Removal{{What: kernel.RemovedLink, Object: "br0"}}},
		{"address add 10.0.0.1/24 dev br1\nlink set br1 up\nroute add 10.3.0.0/24 via 10.0.0.9 proto static\nroute add 10.4.0.0/24 via 10.0.0.9 proto bird\n" +
			"route delete 10.4.0.0/24\nroute delete 10.3.0.0/24", []kernel.Removal{{What: kernel.RemovedRoute, Prefix: addr("10.3.0.0/24")}}},
	} {
		if _, err := fmt.Fprintln(ip, tt.how); err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			got := nextRemoval(t, removals, want.What)
			// Of links and of IPv6 addresses Linux does not tell the sender (seen with 6.18).
			isTold := got.What == kernel.RemovedRoute || got.What == kernel.RemovedAddr && got.Prefix.Addr().Is4()
			if (isTold || got.Sender != (kernel.Sender{})) && (got.Sender.Command != "ip" || got.Sender.PID == 0 || got.Sender.Parent != "watch.test" || got.Sender.Port != uint32(got.Sender.PID)) {
				t.Errorf("%s: by %#v", tt.how, got.Sender)
			}
			got.Sender = kernel.Sender{}
			if got != want {
				t.Errorf("%s: got %+v, want %+v", tt.how, got, want)
			}
		}
	}
	// A process that has ended is named if there was time to look.
	sh("nft delete table inet foreign")
	sh("nft delete element inet vxlan-driver s '{ 1.2.3.4 }'")
	got := nextRemoval(t, removals, kernel.RemovedElement)
	for _, script := range []string{"nft flush chain inet vxlan-driver c", "nft flush ruleset"} {
		sh(script)
		got = nextRemoval(t, removals, kernel.RemovedRules)
		if got.Object != "vxlan-driver" || got.Sender.Port == 0 || got.Sender.PID != 0 && got.Sender.Command != "nft" {
			t.Errorf("%s: got %+v", script, got)
		}
	}
}

// nextRemoval returns the next removal of a kind, and skips what goes with others.
func nextRemoval(t *testing.T, removals <-chan kernel.Removal, what kernel.Removed) kernel.Removal {
	t.Helper()
	for timeout := time.After(5 * time.Second); ; {
		select {
		case r := <-removals:
			if r.What == what {
				return r
			}
		case <-timeout:
			t.Fatalf("no %s was reported as removed", what)
		}
	}
}

// A process counts as the sender only if it has the socket, or has just started.
func TestFindSender(t *testing.T) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	self := uint32(os.Getpid())
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: self}); err != nil {
		t.Fatal(err)
	}
	if got := findSender(unix.NETLINK_ROUTE, self); got.PID != int(self) || got.Command != "watch.test" || got.Parent == "" {
		t.Errorf("this process: got %+v", got)
	}
	// Process 1 has run for long, and has no such socket; there is no process of the last number.
	for _, port := range []uint32{0, 1, 1<<32 - 1} {
		if got := findSender(unix.NETLINK_CRYPTO, port); got != (kernel.Sender{Port: port}) {
			t.Errorf("port %d: got %+v", port, got)
		}
	}
	// Another process has a socket whose port is this one's number.
	ip := exec.Command("sleep", "60")
	if err := ip.Start(); err != nil {
		t.Fatal(err)
	}
	defer ip.Wait()
	defer ip.Process.Kill()
	other, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)
	if err := unix.Bind(other, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: uint32(ip.Process.Pid)}); err != nil {
		t.Fatal(err)
	}
	if got := findSender(unix.NETLINK_ROUTE, uint32(ip.Process.Pid)); got.PID != 0 {
		t.Errorf("a socket of another process: got %+v", got)
	}
}
