// Package demo runs the documented commands on three lab hosts and shows their output.
package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"vxlan-driver/lab"
)

// Name is the lab's name, so that `lab shell host-a` finds it: it is the command's default.
const Name = "demo"

const hosts = 3

// Run starts the lab anew, with the plugin and other programs at these paths, and leaves it up. It
// stops at the first command that fails.
func Run(ctx context.Context, out io.Writer, plugin string, others ...string) error {
	begin := time.Now()
	tree, err := lab.Prepare(ctx, "", out)
	if err != nil {
		return err
	}
	// Remove the lab of an earlier run.
	if old, err := lab.Open(Name); err == nil {
		if err := old.Close(); err != nil {
			return err
		}
	}
	l, err := lab.Start(ctx, lab.Config{Name: Name, Tree: tree, Hosts: hosts, Plugin: plugin, Binaries: others,
		Detached: true})
	if err != nil {
		return err
	}
	d := &demo{ctx: ctx, out: out, lab: l}
	d.runSteps()
	if d.err != nil {
		return d.err
	}
	fmt.Fprintf(out, ending, time.Since(begin).Seconds())
	return nil
}

const ending = `
That was it, in %.0f s. The three hosts are still up:

  bin/lab shell host-a      a shell on a host; try: podman ps, ip -d link, podman exec container-a ping 10.0.0.64
  bin/lab ls                the hosts and their addresses
  bin/lab down              remove them all

`

// demo runs commands until one fails.
type demo struct {
	ctx context.Context
	out io.Writer
	lab *lab.Lab
	err error
}

func (d *demo) runSteps() {
	d.explain("Three Podman hosts on one underlay: host-a 198.18.0.11, host-b .12, host-c .13.\n" +
		"On each, the same network is created, with the same list of hosts:")
	for _, h := range d.lab.Hosts() {
		d.runCommand(h, "podman network create --driver vxlan "+
			"--opt vni=100 --opt local_ip="+h.Addr4().String()+" --opt remote_ips=198.18.0.11,198.18.0.12,198.18.0.13 "+
			"--opt physical_interface=eth0 --subnet 10.0.0.0/24 vxlan-network")
	}
	d.explain("A container on each host. Each host assigns addresses from its own part of the subnet:")
	for _, h := range d.lab.Hosts() {
		letter := strings.TrimPrefix(h.Name(), "host-")
		d.runCommand(h, "podman run -d --name container-"+letter+" --network vxlan-network localhost/web")
		d.runCommand(h, "podman inspect -f '{{(index .NetworkSettings.Networks \"vxlan-network\").IPAddress}}' "+
			"container-"+letter)
	}
	a, b, c := d.lab.Host("host-a"), d.lab.Host("host-b"), d.lab.Host("host-c")
	d.explain("Containers on different hosts reach each other, by ICMP and by HTTP:")
	d.runCommand(a, "podman exec container-a ping -c 2 10.0.0.64")
	d.runCommand(c, "podman exec container-c wget -qO- http://10.0.0.64/")
	d.explain("Containers also find each other by name. Each host's agent, which its first container has started, " +
		"answers names:")
	d.runCommand(a, "podman exec container-a ping -c 1 container-c")
	d.runCommand(b, "podman exec container-b wget -qO- http://container-a/")
	d.runCommand(a, "vxlanctl status")
	d.explain("A published port is reachable at its host's address, from another host too:")
	d.runCommand(a, "podman run -d --name web -p 8080:80 --network vxlan-network localhost/web")
	d.runCommand(b, "curl -s http://198.18.0.11:8080/")
	d.explain("On host-a there are a bridge with the gateway's address, a VXLAN device, and a veth to each container:")
	d.runCommand(a, "ip -d link show vxlan-vxlan-network | head -n 3")
	d.runCommand(a, "ip address show br-vxlan-vxlan-network")
	d.explain("The forwarding database says which host a MAC is on. Broadcasts (00:00:00:00:00:00) go to all other hosts:")
	d.runCommand(a, "bridge fdb show dev vxlan-vxlan-network | grep dst")
	d.explain("A wrong command is refused, and the error lists every problem:")
	d.runRefusedCommand(b, "podman network create --driver vxlan --opt vni=100 --opt mtu=1500 --opt "+
		"remote-ips=198.18.0.11 "+
		"--opt local_ip=auto --opt physical_interface=eth0 --subnet 198.18.0.0/16 other")
}

func (d *demo) explain(text string) {
	if d.err == nil {
		fmt.Fprintf(d.out, "\n%s\n\n", text)
	}
}

// runCommand runs a command line on a host, and prints it as it looks in a terminal.
func (d *demo) runCommand(h *lab.Host, line string) {
	if d.err != nil {
		return
	}
	fmt.Fprintf(d.out, "  %s# %s\n", h.Name(), line)
	out, err := h.Sh(d.ctx, line)
	d.printOutput(out)
	d.err = err
}

// runRefusedCommand runs a command that must fail.
func (d *demo) runRefusedCommand(h *lab.Host, line string) {
	if d.err != nil {
		return
	}
	fmt.Fprintf(d.out, "  %s# %s\n", h.Name(), line)
	out, err := h.Sh(d.ctx, line+" 2>&1 && exit 1 || true")
	d.printOutput(out)
	if err != nil {
		d.err = fmt.Errorf("%s on %s was not refused", line, h.Name())
	}
}

func (d *demo) printOutput(out string) {
	for line := range strings.Lines(out) {
		fmt.Fprintf(d.out, "  %s\n", strings.TrimRight(line, "\n"))
	}
}
