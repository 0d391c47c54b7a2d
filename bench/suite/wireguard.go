package suite

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"vxlan-driver/lab"
)

// handPort and handMTU are what `wg-quick` takes.
const (
	handPort = 51820
	handMTU  = 1420
)

// setUpWireGuard makes a device of wireguard-go, by the same program as the agent's.
const setUpWireGuard = `
setsid vxland --wireguard hand >/tmp/hand.log 2>&1 </dev/null &
for i in $(seq 100); do test -S /run/wireguard/hand.sock && break; sleep 0.05; done
ip link set hand mtu %d
ip addr add %s/24 dev hand
ip link set hand txqueuelen 1000 up
`

// prepareWireGuard connects two hosts by WireGuard, and measures between them.
func prepareWireGuard(ctx context.Context, client, server *lab.Host) (from, to location, err error) {
	hosts := []*lab.Host{client, server}
	var keys []*ecdh.PrivateKey
	for range hosts {
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return from, to, err
		}
		keys = append(keys, key)
	}
	for i, h := range hosts {
		if _, err := h.Sh(ctx, fmt.Sprintf(setUpWireGuard, handMTU, innerAddr(i))); err != nil {
			return from, to, err
		}
		other := 1 - i
		err := tellWireGuard(h, fmt.Sprintf("private_key=%x\nlisten_port=%d\npublic_key=%x\nendpoint=%s\nallowed_ip=%s/32\n",
			keys[i].Bytes(), handPort, keys[other].PublicKey().Bytes(), netip.AddrPortFrom(hosts[other].Addr4(), handPort),
			innerAddr(other)))
		if err != nil {
			return from, to, fmt.Errorf("configure WireGuard on %s: %w", h.Name(), err)
		}
	}
	return location{host: client, addr: innerAddr(0)}, location{host: server, addr: innerAddr(1)}, nil
}

// innerAddr is the address of one of two hosts inside WireGuard.
func innerAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 89, 0, byte(2 + i)}) }

// tellWireGuard configures the device (the cross-platform interface of WireGuard).
func tellWireGuard(h *lab.Host, lines string) error {
	conn, err := net.Dial("unix", h.Path("/run/wireguard/hand.sock"))
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "set=1\n"+lines+"\n"); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if answer = strings.TrimSpace(answer); answer != "errno=0" {
		return errors.New(answer)
	}
	return nil
}

// prepareInside is what an administrator would type: VXLAN whose underlay is WireGuard.
func prepareInside(ctx context.Context, client, server *lab.Host) (from, to location, err error) {
	if from, to, err = prepareWireGuard(ctx, client, server); err != nil {
		return from, to, err
	}
	one := func(h *lab.Host, i int) location {
		out, startErr := h.Sh(ctx, fmt.Sprintf(setUpByHand, innerAddr(i), innerAddr(1-i), overlayAddr(i), "hand", handMTU-50))
		err = errors.Join(err, startErr)
		return location{h, out, overlayAddr(i)}
	}
	return one(client, 0), one(server, 1), err
}
