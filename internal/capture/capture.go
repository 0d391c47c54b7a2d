package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/gopacket/gopacket"
	"golang.org/x/sync/errgroup"
)

// Config is what to capture.
type Config struct {
	Device   string // the VXLAN device: frames as containers see them
	Underlay string // the interface to the other hosts, or the WireGuard device: VXLAN packets
	// IPOnly tells that Underlay is a WireGuard device: its packets have no Ethernet header, and beside VXLAN
	// packets it has IP packets of containers.
	IPOnly bool
	Local  netip.Addr // this host's VTEP
	Port   uint16     // UDP
	VNI    uint32
	Filter string // in tcpdump's language, of frames as containers see them; empty: all
	Count  int    // of packets after which the capture ends; 0: when ctx is done
	// Names are written into the file, so that Wireshark shows them for addresses.
	Names map[netip.Addr]string
}

// Run captures until ctx is done, and writes a pcapng file. The first interface is inside the
// tunnel, and the second one outside. It returns the number of packets.
func Run(ctx context.Context, c Config, out io.Writer) (int, error) {
	match, err := compile(ctx, c.Filter)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	inside, err := listen(ctx, c.Device, c.Filter)
	if err != nil {
		return 0, err
	}
	defer inside.Close()
	filter := tunnelFilter(c)
	if c.IPOnly {
		filter = "" // all of the device is the network's
	}
	outside, err := listen(ctx, c.Underlay, filter)
	if err != nil {
		return 0, err
	}
	defer outside.Close()
	outside.ipOnly = c.IPOnly
	w, err := newWriter(out, []listener{*inside, *outside}, c.Names)
	if err != nil {
		return 0, fmt.Errorf("write capture: %w", err)
	}
	packets := make(chan packet)
	var tasks errgroup.Group
	tasks.Go(func() error { return inside.forward(ctx, packets, 0, func([]byte) bool { return true }) })
	tasks.Go(func() error {
		return outside.forward(ctx, packets, 1, func(data []byte) bool { return match(c.carried(data)) })
	})
	written, err := w.writeAll(ctx, packets, c.Count)
	cancel()
	if taskErr := tasks.Wait(); err == nil {
		err = taskErr
	}
	return written, err
}

// packet is a packet of one of the two interfaces.
type packet struct {
	gopacket.CaptureInfo
	data []byte
}

// forward sends the packets that match on, until ctx is done.
func (l *listener) forward(ctx context.Context, to chan<- packet, index int, match func([]byte) bool) error {
	for {
		data, info, err := l.packets.ReadPacketData()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return l.endError(err)
		}
		if l.ipOnly {
			data = withEthernet(data)
			info.CaptureLength, info.Length = info.CaptureLength+ethernetHeader, info.Length+ethernetHeader
		}
		if !match(data) {
			continue
		}
		info.InterfaceIndex = index
		select {
		case to <- packet{info, data}:
		case <-ctx.Done():
			return nil
		}
	}
}

// carried is the frame that a packet of the outer interface carries. What is no VXLAN packet, which only a
// WireGuard device has, is a container's packet itself.
func (c Config) carried(data []byte) []byte {
	if c.IPOnly && !isVXLAN(data, c.Local, c.Port) {
		return data
	}
	return innerFrame(data)
}

// tunnelFilter selects a network's VXLAN packets. IPv6 has its own offsets, since libpcap knows no
// udp[] there: 40 bytes of IPv6, 8 of UDP, 4 of flags before the VNI (RFC 7348, section 5).
func tunnelFilter(c Config) string {
	vni := c.VNI << 8
	if c.Local.Is4() {
		return fmt.Sprintf("udp dst port %d and udp[12:4] & 0xffffff00 = 0x%x", c.Port, vni)
	}
	return fmt.Sprintf("ip6 and udp dst port %d and ip6[52:4] & 0xffffff00 = 0x%x", c.Port, vni)
}

// ErrNotInstalled says that the host has no tcpdump.
var ErrNotInstalled = errors.New("tcpdump is not installed; install the package tcpdump")
