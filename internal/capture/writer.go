package capture

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// writer writes a pcapng file.
type writer struct{ *pcapgo.NgWriter }

// snapLength is tcpdump's. It is the same on both interfaces, since tcpdump reads no file
// otherwise.
const snapLength = 262144

func newWriter(out io.Writer, listeners []listener, names map[netip.Addr]string) (writer, error) {
	section := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{OS: "Linux", Application: "vxlanctl capture"}}
	w, err := pcapgo.NewNgWriterInterface(out, describe(listeners[0], "inside the tunnel"), section)
	if err == nil {
		_, err = w.AddInterface(describe(listeners[1], "outside the tunnel"))
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil && len(names) > 0 {
		_, err = out.Write(nameResolutionBlock(names))
	}
	return writer{w}, err
}

func describe(l listener, comment string) pcapgo.NgInterface {
	kind := l.packets.LinkType()
	if l.ipOnly {
		kind = layers.LinkTypeEthernet // tcpdump reads no file with two types
	}
	return pcapgo.NgInterface{
		Name: l.iface, Comment: comment, Filter: l.filter, OS: "Linux",
		LinkType: kind, SnapLength: snapLength, TimestampResolution: 9,
	}
}

// writeAll writes packets until ctx is done, or until there are as many as wanted. Each is in the
// file at once, as somebody may read it meanwhile.
func (w writer) writeAll(ctx context.Context, packets <-chan packet, wanted int) (written int, err error) {
	for wanted == 0 || written < wanted {
		select {
		case p := <-packets:
			if err = w.WritePacket(p.CaptureInfo, p.data); err == nil {
				err = w.Flush()
			}
			if err != nil {
				return written, fmt.Errorf("write capture: %w", err)
			}
			written++
		case <-ctx.Done():
			return written, nil
		}
	}
	return written, nil
}

// Numbers of the pcapng format (draft-ietf-opsawg-pcapng, section 4.5).
const (
	nameResolutionBlockType = 4
	recordIPv4              = 1
	recordIPv6              = 2
	recordEnd               = 0
	blockHeader             = 8 // type and length
)

// nameResolutionBlock lists names of addresses. The library reads such blocks and writes none.
func nameResolutionBlock(names map[netip.Addr]string) []byte {
	block := make([]byte, blockHeader)
	for _, addr := range slices.SortedFunc(maps.Keys(names), netip.Addr.Compare) {
		kind := uint16(recordIPv6)
		if addr.Is4() {
			kind = recordIPv4
		}
		value := append(addr.AsSlice(), names[addr]...)
		value = append(value, 0)
		block = binary.LittleEndian.AppendUint16(block, kind)
		block = binary.LittleEndian.AppendUint16(block, uint16(len(value)))
		block = append(block, value...)
		for len(block)%4 != 0 {
			block = append(block, 0)
		}
	}
	block = binary.LittleEndian.AppendUint32(block, recordEnd)
	size := uint32(len(block) + 4) // with the length that ends the block
	binary.LittleEndian.PutUint32(block, nameResolutionBlockType)
	binary.LittleEndian.PutUint32(block[4:], size)
	return binary.LittleEndian.AppendUint32(block, size)
}
