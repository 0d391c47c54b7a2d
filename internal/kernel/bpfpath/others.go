package bpfpath

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// others is what other programs do with packets on links. What the eBPF programs pass on would go
// around it, so they leave those links alone.
type others struct {
	ns       Namespace
	filtered map[string]string // devices with a chain of nftables, as kernel.IsDevice has them, and its table
	own      [2]ebpf.ProgramID // those of containers' ports
	queued   map[int][]string  // by index: kinds of the queueing disciplines, clsact where tc filters may be
}

// leaveOut leaves out the ports with whose packets others do something, and says what with one of them. It
// also leaves out ports that have the same MAC: only the bridge knows which of them is meant.
func (o others) leaveOut(ports []kernel.FastPathPort) (fit []kernel.FastPathPort, why string) {
	count := make(map[kernel.MAC]int)
	for _, p := range ports {
		count[p.MAC]++
	}
	for _, p := range ports {
		reason := o.reasonFor(p)
		if count[p.MAC] > 1 {
			reason = fmt.Sprintf("two containers have the MAC %s", p.MAC)
		}
		if reason == "" {
			fit = append(fit, p)
		}
		why = cmp.Or(why, reason)
	}
	return fit, why
}

// reasonFor says what others do with packets of a container's port; "": nothing.
func (o others) reasonFor(p kernel.FastPathPort) string {
	index, err := o.ns.Index(p.Name)
	switch {
	case o.filterOf(p.Name) != "":
		return fmt.Sprintf("the table %s of another program filters packets of %s", o.filterOf(p.Name), p.Name)
	case err != nil:
		return "" // the container has just ended
	case len(o.queued[index]) > 0:
		return fmt.Sprintf("%s has a queueing discipline (%s)", p.Name, o.queued[index][0])
	case o.hasForeignPrograms(index):
		return fmt.Sprintf("another program has attached eBPF programs to %s", p.Name)
	}
	return ""
}

// filterOf returns the table of nftables that has a chain for a device, or "".
func (o others) filterOf(device string) string {
	for pattern, table := range o.filtered {
		if kernel.IsDevice(pattern, device) {
			return table
		}
	}
	return ""
}

// hasForeignPrograms tells whether others have attached eBPF programs to a link, by tcx. The kernel reports
// nothing of that. Where it cannot be asked, this project's programs cannot be attached either.
func (o others) hasForeignPrograms(index int) bool {
	for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
		have, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: at})
		if err == nil && slices.ContainsFunc(have.Programs, o.isForeign) {
			return true
		}
	}
	return false
}

// isForeign tells a program from this project's: those of this agent, and those of one before.
func (o others) isForeign(a link.AttachedProgram) bool {
	if slices.Contains(o.own[:], a.ID) {
		return false
	}
	program, err := ebpf.NewProgramFromID(a.ID)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist) // it has just gone
	}
	defer program.Close()
	info, err := program.Info()
	return err != nil || !slices.Contains(
		[]string{programsProgFromContainer, programsProgFromEncrypted, programsProgFromDevice}, info.Name)
}

// checkDevice wants nothing on a VXLAN device but the fast path's own filters.
func (p Path) checkDevice(o others, device string) error {
	if table := o.filterOf(device); table != "" {
		return unfitError{fmt.Sprintf("the table %s of another program filters packets of %s", table, device)}
	}
	index, err := p.ns.Index(device)
	if err != nil {
		return err
	}
	for _, kind := range o.queued[index] {
		if kind != "clsact" {
			return unfitError{fmt.Sprintf("%s has a queueing discipline (%s)", device, kind)}
		}
	}
	if o.hasForeignPrograms(index) {
		return unfitError{fmt.Sprintf("another program has attached eBPF programs to %s", device)}
	}
	if filtered, err := p.hasForeignFilters(index); filtered || err != nil {
		return cmp.Or(err, error(unfitError{fmt.Sprintf("tc filters of another program see packets of %s", device)}))
	}
	hasXDP, err := p.hasXDP(index)
	if hasXDP {
		err = unfitError{fmt.Sprintf("an XDP program sees packets of %s", device)}
	}
	return err
}

// hasXDP tells whether a link has an XDP program.
func (p Path) hasXDP(index int) (bool, error) {
	conn, err := netlink.Open(p.nspath, unix.NETLINK_ROUTE)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	header := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(header[offsetLinkIndex:], uint32(index))
	request := netlink.NewRequest(unix.RTM_GETLINK, 0)
	request.Raw(header...)
	answers, err := conn.Execute(request)
	if err != nil || len(answers) == 0 || len(answers[0]) < unix.SizeofIfInfomsg {
		return false, err
	}
	attached := netlink.Find(answers[0][unix.SizeofIfInfomsg:], unix.IFLA_XDP, unix.IFLA_XDP_ATTACHED)
	return netlink.Uint8(attached) != 0, nil
}

// hasForeignFilters tells whether a device has tc filters that are not the fast path's.
func (p Path) hasForeignFilters(index int) (bool, error) {
	conn, err := netlink.Open(p.nspath, unix.NETLINK_ROUTE)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	for _, parent := range []uint32{ingressFilters, egressFilters} {
		header := make([]byte, sizeofTCMsg)
		binary.NativeEndian.PutUint32(header[offsetTCIndex:], uint32(index))
		binary.NativeEndian.PutUint32(header[offsetTCParent:], parent)
		request := netlink.NewRequest(unix.RTM_GETTFILTER, unix.NLM_F_DUMP)
		request.Raw(header...)
		messages, err := conn.Execute(request)
		if errors.Is(err, unix.EOPNOTSUPP) {
			return false, nil // no tc
		}
		if err != nil {
			return false, fmt.Errorf("read tc filters: %w", err)
		}
		for _, m := range messages {
			if len(m) >= sizeofTCMsg && !kernel.IsFastPathPriority(uint16(netlink.Uint32(m[offsetTCInfo:])>>16)) {
				return true, nil
			}
		}
	}
	return false, nil
}

func (p Path) findOthers() (o others, err error) {
	o.ns, o.own = p.ns, [2]ebpf.ProgramID{p.programs.fromContainer.id, p.programs.fromEncrypted.id}
	if o.filtered, err = p.ns.FilteredDevices(); err != nil {
		return o, err
	}
	o.queued, err = p.findQueued()
	return o, err
}

// findQueued returns the links for which somebody has set queueing disciplines, and their kinds: to limit
// their rate (tbf, htb), or for tc filters (clsact, ingress).
func (p Path) findQueued() (map[int][]string, error) {
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
	queued := make(map[int][]string)
	for _, m := range messages {
		if len(m) < sizeofTCMsg {
			continue
		}
		index := int(netlink.Uint32(m[offsetTCIndex:]))
		if kind := netlink.Text(netlink.Find(m[sizeofTCMsg:], tcaKind)); kind != "noqueue" {
			queued[index] = append(queued[index], kind)
		}
	}
	return queued, nil
}

// Of struct tcmsg and its attributes (linux/rtnetlink.h).
const (
	sizeofTCMsg    = 20
	offsetTCIndex  = 4
	offsetTCParent = 12
	offsetTCInfo   = 16 // a filter's priority and protocol
	tcaKind        = 1

	offsetLinkIndex = 4 // of struct ifinfomsg

	ingressFilters = 0xfffffff2 // TC_H_CLSACT with TC_H_MIN_INGRESS
	egressFilters  = 0xfffffff3
)
