package lab

import (
	"bytes"
	"context"
	_ "embed" // for the scripts
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

//go:embed underlay.sh
var underlayScript string

// underlayCgroup is the underlay's child of the lab's cgroup; the other children are hosts.
const underlayCgroup = "underlay"

// underlay is the wire between the hosts: a bridge in a network namespace held by one sleeping
// process.
type underlay struct {
	holder process
}

// startUnderlay makes namespace, bridge and tmpfs of a lab.
func startUnderlay(ctx context.Context, name string, group cgroup) (underlay, error) {
	holder, err := startDetached(ctx, spawnSpec{
		argv:   []string{"sh", "-c", underlayScript, "underlay.sh"},
		env:    []string{"LAB_DATA=" + dataDir(name)},
		cgroup: group.childGroup(underlayCgroup),
		flags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		log:    filepath.Join(labDir(name), "underlay.log"),
	})
	return underlay{holder: holder}, err
}

// connectHost gives the network namespace of a process an eth0 with a cable to the bridge. The
// bridge's end has the host's name.
func (u underlay) connectHost(ctx context.Context, host string, init process, mtu int, addrs ...netip.Prefix) error {
	wire := fmt.Sprintf("link add %s mtu %d type veth peer name eth0 mtu %d netns %d\nlink set %s master underlay up\n",
		host, mtu, mtu, init.PID, host)
	if err := ipBatch(ctx, u.holder.PID, wire); err != nil {
		return fmt.Errorf("connect %s to the underlay: %w", host, err)
	}
	var config strings.Builder
	for _, addr := range addrs {
		if addr.Addr().Is6() && !kernelHasIPv6() {
			continue
		}
		fmt.Fprintf(&config, "addr add %s dev eth0", addr)
		if addr.Addr().Is6() {
			config.WriteString(" nodad") // usable at once: nobody else is on this wire
		}
		config.WriteString("\n")
	}
	config.WriteString("link set eth0 up\n")
	if err := ipBatch(ctx, init.PID, config.String()); err != nil {
		return fmt.Errorf("configure eth0 of %s: %w", host, err)
	}
	return nil
}

func kernelHasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}

// waitDisconnected waits until a host's cable is gone, and with it all devices of its network
// namespace: the kernel removes the devices of a namespace together. An empty name waits for all
// hosts.
func (u underlay) waitDisconnected(ctx context.Context, host string) error {
	if !u.holder.isAlive() {
		return nil
	}
	// Some seconds under load: the kernel does it in the background, for all namespaces of the machine in turn. With
	// twenty programs waiting for two processors, 20 s were not always enough.
	ctx, cancel := context.WithTimeout(ctx, 50*time.Second)
	defer cancel()
	var left string
	err := pollUntil(ctx, func() bool {
		out, err := nsIP(ctx, u.holder.PID, "", "-o", "link", "show", "type", "veth")
		if host != "" {
			out, err = nsIP(ctx, u.holder.PID, "", "-o", "link", "show", "dev", host)
		}
		if ctx.Err() == nil {
			left = out
		}
		return strings.TrimSpace(out) == "" && (err == nil || host != "") || !u.holder.isAlive()
	})
	if err != nil {
		return fmt.Errorf("wait for the kernel to remove devices: %w; left: %s", err, strings.TrimSpace(left))
	}
	return nil
}

// ipBatch runs lines of `ip` commands in the network namespace of a process.
func ipBatch(ctx context.Context, pid int, lines string) error {
	_, err := nsIP(ctx, pid, lines, "-batch", "-")
	return err
}

// nsIP runs the machine's own ip in the network namespace of a process.
func nsIP(ctx context.Context, pid int, stdin string, args ...string) (string, error) {
	argv := append([]string{"-t", fmt.Sprint(pid), "-n", "ip"}, args...)
	cmd := exec.CommandContext(ctx, "nsenter", argv...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
