package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
)

// Decode reads a message and checks all of it: what it returns is valid.
func Decode(data []byte) (Message, error) {
	if len(data) < 2 || len(data) > MaxMessage {
		return Message{}, fmt.Errorf("%w: has %d bytes", ErrMalformed, len(data))
	}
	if data[0] != ProtocolVersion {
		return Message{}, fmt.Errorf("%w: %d instead of %d", ErrVersion, data[0], ProtocolVersion)
	}
	r := reader{buf: data[2:]}
	m := Message{Kind: Kind(data[1]), From: r.readHostName(), Addr: r.readSenderAddr()}
	switch m.Kind {
	case KindDigests:
		m.Complete = r.readBool()
		m.Digests = readList(&r, MaxHosts, r.readDigest)
	case KindRequest:
		m.Hosts = readList(&r, MaxHosts, r.readHostName)
	case KindRecords:
		m.Records = readList(&r, MaxHosts, r.readRecord)
	case KindDelta:
		m.Delta = r.readDelta()
	case KindSummary:
		m.Hash = r.readUint(1<<64 - 1)
	case KindAckRequest, KindAck:
		m.Version = r.readVersion()
	default:
		r.fail("is of the unknown kind %d", m.Kind)
	}
	if len(r.buf) > 0 {
		r.fail("has %d bytes too many", len(r.buf))
	}
	if r.err != nil {
		return Message{}, r.err
	}
	return m, nil
}

// reader takes values from a buffer. After the first error it returns zero values, so that callers
// check for an error only at the end.
type reader struct {
	buf []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
}

func (r *reader) readSenderAddr() netip.AddrPort {
	addr := netip.AddrPortFrom(r.readAddr(), uint16(r.readUint(1<<16-1)))
	if a := addr.Addr(); r.err == nil && (a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || addr.Port() == 0) {
		r.fail("comes from %v", addr)
	}
	return addr
}

func (r *reader) readHostName() string {
	name := r.readString(maxHostName)
	if err := CheckHostName(name); r.err == nil && err != nil {
		r.fail("host name %q: %v", name, err)
	}
	return name
}

func (r *reader) readDigest() Digest {
	return Digest{Host: r.readHostName(), Version: r.readVersion(), Age: r.readAge()}
}

func (r *reader) readRecord() AgedRecord {
	record := AgedRecord{Record: Record{Host: r.readHostName(), Version: r.readVersion()}, Age: r.readAge()}
	before := len(r.buf)
	record.Left, record.Memberships = r.readContent()
	if before-len(r.buf) > MaxRecord {
		r.fail("record of %s has over %d bytes", record.Host, MaxRecord)
	}
	if r.err == nil && ContentChecksum(record.Left, record.Memberships) != record.Version.Checksum {
		r.fail("record of %s is not of the version it claims", record.Host)
	}
	return record
}

func (r *reader) readDelta() Delta {
	return Delta{
		Base:      r.readVersion(),
		Version:   r.readVersion(),
		Withdrawn: readList(r, cluster.MaxMemberships, r.readNetworkKey),
		Changes: readList(r, cluster.MaxMemberships, func() NetworkChange {
			return NetworkChange{
				Header:  r.readMembershipHeader(),
				Removed: readList(r, cluster.MaxEndpoints, r.readContainerID),
				Updated: readList(r, cluster.MaxEndpoints, r.readEndpoint),
			}
		}),
	}
}

// readVersion reads the version of a record, so it refuses the zero version.
func (r *reader) readVersion() Version {
	v := Version{
		Incarnation: r.readUint(maxCounter),
		Sequence:    r.readUint(maxCounter),
		Checksum:    Checksum(r.readRaw(checksumLen)),
	}
	if v.Incarnation == 0 || v.Sequence == 0 {
		r.fail("has no version")
	}
	return v
}

func (r *reader) readAge() Age {
	return Age(r.readUint(uint64(time.Duration(MaxAge)/time.Second))) * Age(time.Second)
}

// readContent reads what putContent wrote, and checks it.
func (r *reader) readContent() (left bool, memberships []cluster.Membership) {
	left = r.readBool()
	memberships = readList(r, cluster.MaxMemberships, func() cluster.Membership {
		m := r.readMembershipHeader()
		m.Endpoints = readList(r, cluster.MaxEndpoints, r.readEndpoint)
		return m
	})
	if r.err == nil && left && len(memberships) > 0 {
		r.fail("a host that left has memberships")
	}
	if err := cluster.Check(memberships); r.err == nil && err != nil {
		r.fail("%v", err)
	}
	return left, memberships
}

func (r *reader) readMembershipHeader() cluster.Membership {
	return cluster.Membership{
		Network:   r.readNetworkKey(),
		VTEP:      r.readAddr(),
		StaticFDB: r.readBool(),
		HostAddrs: readList(r, cluster.MaxAddrs, r.readAddr),
		BridgeMAC: r.readMAC(),
	}
}

func (r *reader) readNetworkKey() cluster.NetworkKey {
	return cluster.NetworkKey{VNI: uint32(r.readUint(1<<24 - 1)), Port: uint16(r.readUint(1<<16 - 1))}
}

func (r *reader) readEndpoint() cluster.Endpoint {
	return cluster.Endpoint{
		ContainerID: r.readContainerID(),
		Names:       readList(r, cluster.MaxNames, func() string { return r.readString(cluster.MaxName) }),
		Addrs:       readList(r, cluster.MaxAddrs, r.readAddr),
		MAC:         r.readMAC(),
	}
}

// maxContainerID only bounds what is read. What an id is, cluster.Check knows.
const maxContainerID = 255

func (r *reader) readContainerID() string { return r.readString(maxContainerID) }

func (r *reader) readMAC() kernel.MAC { return kernel.MAC(r.readRaw(len(kernel.MAC{}))) }

func (r *reader) readAddr() netip.Addr {
	switch n := r.readByte(); n {
	case 4:
		return netip.AddrFrom4([4]byte(r.readRaw(4)))
	case 16:
		return netip.AddrFrom16([16]byte(r.readRaw(16)))
	default:
		r.fail("has an address of %d bytes", n)
		return netip.Addr{}
	}
}

// readUint returns a number up to limit. It accepts only the shortest encoding.
func (r *reader) readUint(limit uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.buf)
	switch {
	case n <= 0:
		r.fail("has no number")
	case n > 1 && r.buf[n-1] == 0:
		r.fail("has a number that is not in its shortest form")
	case v > limit:
		r.fail("has %d where at most %d is allowed", v, limit)
	default:
		r.buf = r.buf[n:]
		return v
	}
	return 0
}

func (r *reader) readBool() bool {
	b := r.readByte()
	if b > 1 {
		r.fail("%d is not a boolean", b)
	}
	return b == 1
}

func (r *reader) readByte() byte { return r.readRaw(1)[0] }

func (r *reader) readString(limit int) string {
	n := int(r.readUint(uint64(limit)))
	if r.err == nil && n > len(r.buf) {
		r.fail("ends early")
	}
	if r.err != nil {
		return ""
	}
	return string(r.readRaw(n))
}

// maxRaw is the longest value of a fixed size: an IPv6 address.
const maxRaw = 16

// readRaw returns the next n bytes, which are part of the buffer.
func (r *reader) readRaw(n int) []byte {
	if r.err == nil && len(r.buf) < n {
		r.fail("ends early")
	}
	if r.err != nil {
		return make([]byte, min(n, maxRaw))
	}
	b := r.buf[:n]
	r.buf = r.buf[n:]
	return b
}

// readList reads up to limit values. The memory it takes grows with the values that are there,
// never with the number that the message claims.
func readList[T any](r *reader, limit int, read func() T) []T {
	n := int(r.readUint(uint64(limit)))
	if n > len(r.buf) {
		r.fail("claims %d values in %d bytes", n, len(r.buf))
	}
	if n == 0 || r.err != nil {
		return nil
	}
	list := make([]T, 0, min(n, 64))
	for range n {
		v := read()
		if r.err != nil {
			return nil
		}
		list = append(list, v)
	}
	return list
}
