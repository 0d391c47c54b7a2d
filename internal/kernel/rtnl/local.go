package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/nlmsg"
)

// StickyEntries returns which of the MACs a bridge was told are behind which of its ports. It asks for each: beside the
// entries of thousands of remote containers there are few.
func (c *Conn) StickyEntries(bridge string, macs []kernel.MAC) (all []kernel.FastPathPort, err error) {
	br, err := c.index(bridge)
	for _, m := range macs {
		if err != nil {
			break
		}
		var msgs [][]byte
		msgs, err = c.do(unix.RTM_GETNEIGH, 0, unix.RTM_NEWNEIGH, fdbMessage(0, 0, 0), []*nl.RtAttr{attrMAC(unix.NDA_LLADDR, m), attrU32(unix.NDA_MASTER, br)})
		if errors.Is(err, unix.ENOENT) {
			err = nil
			continue
		}
		for _, msg := range msgs {
			if len(msg) < unix.SizeofNdMsg || binary.NativeEndian.Uint16(msg[8:])&unix.NUD_NOARP == 0 {
				continue // learned
			}
			var name string
			if name, err = c.name(nlmsg.U32(msg[4:])); err == nil {
				all = append(all, kernel.FastPathPort{Name: name, MAC: m})
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read which MACs %s was told of: %w", bridge, err)
	}
	return all, nil
}
