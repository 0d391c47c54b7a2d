package suite

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"vxlan-driver/lab"
)

// prepareUnderlay measures between the hosts themselves.
func prepareUnderlay(_ context.Context, client, server *lab.Host) (from, to location, err error) {
	return location{host: client, addr: client.Addr4()}, location{host: server, addr: server.Addr4()}, nil
}

// setUpByHand creates what an administrator would type: the devices that the driver creates, and no
// rules.
const setUpByHand = `
ip link add br0 type bridge
ip link add vx0 type vxlan id 100 local %[1]s dev %[4]s dstport 4789
bridge fdb append 00:00:00:00:00:00 dev vx0 dst %[2]s
ip link set vx0 mtu %[5]d master br0 up
ip link set br0 mtu %[5]d up
unshare -n sleep infinity >/dev/null 2>&1 </dev/null &
pid=$!
while [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
ip link add veth0 mtu %[5]d type veth peer name eth0 mtu %[5]d netns $pid
ip link set veth0 master br0 up
nsenter -t $pid -n ip link set lo up
nsenter -t $pid -n ip addr add %[3]s/24 dev eth0
nsenter -t $pid -n ip link set eth0 up
echo $pid
`

func prepareByHand(ctx context.Context, client, server *lab.Host) (from, to location, err error) {
	one := func(h, other *lab.Host, addr string) location {
		out, startErr := h.Sh(ctx, fmt.Sprintf(setUpByHand, h.Addr4(), other.Addr4(), addr, "eth0", 1450))
		err = errors.Join(err, startErr)
		return location{h, out, netip.MustParseAddr(addr)}
	}
	return one(client, server, "10.88.0.2"), one(server, client, "10.88.0.3"), err
}

// prepareVXLAN creates a network with default options, and so with DNS and agents. It waits until
// the agents know each other's containers.
func prepareVXLAN(ctx context.Context, client, server *lab.Host) (from, to location, err error) {
	if from, to, err = runVXLAN(ctx, client, server, ""); err != nil {
		return from, to, err
	}
	for _, h := range []*lab.Host{client, server} {
		_, err := h.Sh(ctx, `for i in $(seq 100); do
				nft list table netdev vxlan-driver-vxlan-bench 2>/dev/null | grep -q 02:36: &&
					tc filter show dev vxlan-bench ingress | grep -q mirred && exit
				sleep 0.1
			done; nft list ruleset; exit 1`)
		if err != nil {
			return from, to, fmt.Errorf("wait for the fast path on %s: %w", h.Name(), err)
		}
	}
	return from, to, nil
}

// prepareAlone creates a network with --disable-dns, which needs no agent.
func prepareAlone(ctx context.Context, client, server *lab.Host) (from, to location, err error) {
	return runVXLAN(ctx, client, server, "--disable-dns")
}

func runVXLAN(ctx context.Context, client, server *lab.Host, flags string) (from, to location, err error) {
	one := func(h *lab.Host, addr string) location {
		out, startErr := h.Sh(ctx, fmt.Sprintf(`
			podman network create --driver vxlan --opt vni=100 --opt local_ip=%s --opt physical_interface=eth0 \
				--opt remote_ips=%s,%s %s --subnet 10.88.0.0/24 bench >/dev/null
			podman run -d --name bench --network bench --ip %s busybox sleep 100000 >/dev/null
			podman inspect -f '{{.State.Pid}}' bench`, h.Addr4(), client.Addr4(), server.Addr4(), flags, addr))
		err = errors.Join(err, startErr)
		return location{h, out, netip.MustParseAddr(addr)}
	}
	return one(client, "10.88.0.2"), one(server, "10.88.0.3"), err
}

// startDocker waits for the daemon. Its files must not be on the overlay that a host's root is.
const startDocker = `
mkdir -p /var/lib/containers/docker
setsid dockerd --exec-opt native.cgroupdriver=cgroupfs --data-root /var/lib/containers/docker >/tmp/dockerd.log 2>&1 </dev/null &
for i in $(seq 200); do docker info >/dev/null 2>&1 && break; sleep 0.1; done
docker import /run/lab/images/root.tar bench >/dev/null
`

const runDocker = `
docker run -d --name bench --network bench bench sleep 100000 >/dev/null
docker inspect -f '{{.State.Pid}} {{.NetworkSettings.Networks.bench.IPAddress}}' bench
`

func prepareDocker(ctx context.Context, client, server *lab.Host) (from, to location, err error) {
	return prepareDockerOverlay(ctx, client, server, "")
}

func prepareDockerOverlay(ctx context.Context, client, server *lab.Host, flags string) (from, to location,
	err error) {
	for _, h := range []*lab.Host{client, server} {
		if _, err := h.Sh(ctx, startDocker); err != nil {
			return from, to, err
		}
	}
	token, err := client.Sh(ctx, fmt.Sprintf("docker swarm init --advertise-addr %s >/dev/null; "+
		"docker swarm join-token -q worker", client.Addr4()))
	if err != nil {
		return from, to, err
	}
	if _, err := server.Sh(ctx, fmt.Sprintf("docker swarm join --token %s %s:2377", token, client.Addr4())); err != nil {
		return from, to, err
	}
	create := "docker network create -d overlay " + flags + " --attachable --subnet 10.88.0.0/24 bench"
	if _, err := client.Sh(ctx, create); err != nil {
		return from, to, err
	}
	one := func(h *lab.Host) (p location) {
		out, startErr := h.Sh(ctx, runDocker)
		pid, text, _ := strings.Cut(out, " ")
		addr, parseErr := netip.ParseAddr(text)
		err = errors.Join(err, startErr, parseErr)
		return location{h, pid, addr}
	}
	return one(client), one(server), err
}
