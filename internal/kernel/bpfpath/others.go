package bpfpath

import (
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// others is what other programs do with packets on links. What the eBPF programs pass on would go
// around it, so they leave those links alone.
type others struct {
	ns       Namespace
	filtered map[string]string // devices with a chain of nftables, and its table
	queued   map[int]bool      // indexes of those with a queueing discipline or tc filters
}

// handle tells whether others do something with packets of a container's port.
func (o others) handle(p kernel.FastPathPort) bool {
	index, err := o.ns.Index(p.Name)
	return o.filtered[p.Name] != "" || err == nil && o.queued[index]
}

func (p Path) findOthers() (o others, err error) {
	o.ns = p.ns
	if o.filtered, err = p.ns.FilteredDevices(); err != nil {
		return o, err
	}
	o.queued, err = p.findQueued()
	return o, err
}

// findQueued returns the links for which somebody has set a queueing discipline: to limit their rate
// (tbf, htb), or for tc filters (clsact, ingress).
func (p Path) findQueued() (map[int]bool, error) {
	conn, err := netlink.Open(p.nspath, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	request := netlink.NewRequest(unix.RTM_GETQDISC, unix.NLM_F_DUMP)
	request.Raw(make([]byte, sizeofTCMsg)...)
	messages, err := conn.Execute(request)
	if err != nil {
		return nil, fmt.Errorf("read queueing disciplines: %w", err)
	}
	queued := make(map[int]bool)
	for _, m := range messages {
		if len(m) < sizeofTCMsg || netlink.Text(netlink.Find(m[sizeofTCMsg:], tcaKind)) == "noqueue" {
			continue
		}
		queued[int(netlink.Uint32(m[offsetTCIndex:]))] = true
	}
	return queued, nil
}

// Of struct tcmsg and its attributes (linux/rtnetlink.h).
const (
	sizeofTCMsg   = 20
	offsetTCIndex = 4
	tcaKind       = 1
)
