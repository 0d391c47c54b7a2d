package wire

import (
	"fmt"
	"slices"

	"vxlan-driver/internal/cluster"
)

// The kinds of sections that a record's content is made of. A reader skips a kind that it does not
// know. Whoever passes the record on passes on all sections, as it does not look into them.
const (
	sectionHost     = 1 // the first section: facts of the host
	sectionNetwork  = 2 // a network that the host is on
	sectionEndpoint = 3 // a container on the network of the section before
)

// The tags of a host's optional fields.
const (
	tagHostName    = 1
	tagForgottenBy = 2
)

// maxKind and maxTag bound the kinds of sections and the tags of fields.
const maxKind, maxTag = 1<<16 - 1, 1<<16 - 1

// encodeContent returns what a record says, in its canonical encoding.
func encodeContent(r Record) []byte {
	var w writer
	w.putSection(sectionHost, func(w *writer) { w.putHost(r) })
	for _, m := range r.Memberships {
		w.putSection(sectionNetwork, func(w *writer) { w.putNetwork(m) })
		for _, e := range m.Endpoints {
			w.putSection(sectionEndpoint, func(w *writer) { w.putEndpoint(e) })
		}
	}
	return w.buf
}

func (w *writer) putSection(kind uint64, put func(*writer)) { w.putField(kind, put) }

func (w *writer) putHost(r Record) {
	w.putBool(r.Left)
	if r.Name != "" {
		w.putField(tagHostName, func(w *writer) { w.putString(r.Name) })
	}
	if r.ForgottenBy != "" {
		w.putField(tagForgottenBy, func(w *writer) { w.putString(r.ForgottenBy) })
	}
}

// putNetwork writes a membership without its endpoints.
func (w *writer) putNetwork(m cluster.Membership) {
	w.putNetworkKey(m.Network)
	w.putAddr(m.VTEP)
	w.putBool(m.StaticFDB)
	putList(w, m.HostAddrs, w.putAddr)
	w.putMAC(m.BridgeMAC)
	w.putView(m.View)
	w.putTunnelKeys(m.Keys)
	w.putKeysVersion(m.KeysVersion)
}

func (w *writer) putNetworkKey(k cluster.NetworkKey) {
	w.putUint(uint64(k.VNI))
	w.putUint(uint64(k.Port))
}

func (w *writer) putEndpoint(e cluster.Endpoint) {
	w.putString(e.ContainerID)
	putList(w, e.Names, w.putString)
	putList(w, e.Addrs, w.putAddr)
	w.putMAC(e.MAC)
	w.putEndpointFields(e)
}

// decodeContent reads what encodeContent of this or another version wrote, and checks it. The
// record has no key and version. It takes over the endpoints that an earlier version has too.
func decodeContent(raw []byte, earlier earlierEndpoints) (Record, error) {
	r := reader{buf: raw}
	decoded := Record{Raw: raw}
	endpoints := 0
	var checked []bool // endpoints that were decoded earlier, and so checked
	for first := true; first || r.err == nil && len(r.buf) > 0; first = false {
		kind, body := r.readUint(maxKind), reader{buf: r.readBytes(MaxRecord)}
		switch {
		case r.err != nil:
			return Record{}, r.err
		case first != (kind == sectionHost):
			r.fail("must begin with the section of the host, and have one")
		case kind == sectionHost:
			body.readHost(&decoded)
		case kind == sectionNetwork && len(decoded.Memberships) == cluster.MaxMemberships:
			r.fail("has more than %d networks", cluster.MaxMemberships)
		case kind == sectionNetwork:
			m := body.readNetwork()
			count := min(r.countEndpoints(), cluster.MaxEndpoints)
			m.Endpoints, checked = slices.Grow(m.Endpoints, count), slices.Grow(checked, count)
			decoded.Memberships = append(decoded.Memberships, m)
		case kind == sectionEndpoint && (len(decoded.Memberships) == 0 || endpoints == cluster.MaxEndpoints):
			r.fail("has an endpoint without a network, or more than %d endpoints", cluster.MaxEndpoints)
		case kind == sectionEndpoint:
			m := &decoded.Memberships[len(decoded.Memberships)-1]
			e, known := earlier.find(body.buf)
			if !known {
				e = body.readEndpoint()
			}
			m.Endpoints, checked = append(m.Endpoints, e), append(checked, known)
			endpoints++
		}
		if r.err == nil {
			r.err = body.err
		}
	}
	if r.err == nil && decoded.Left && len(decoded.Memberships) > 0 {
		r.fail("a host that left has memberships")
	}
	if r.err == nil {
		if err := cluster.CheckNew(decoded.Memberships, func(i int) bool { return !checked[i] }); err != nil {
			r.fail("%v", err)
		}
	}
	if r.err != nil {
		return Record{}, r.err
	}
	return decoded, nil
}

func (r *reader) readHost(into *Record) {
	into.Left = r.readBool()
	r.readFields(func(tag uint64, field *reader) {
		switch tag {
		case tagHostName:
			into.Name = field.readHostName()
		case tagForgottenBy:
			into.ForgottenBy = field.readHostName()
		}
	})
}

func (r *reader) readHostName() string {
	name := r.readString(maxHostName)
	if err := CheckHostName(name); r.err == nil && err != nil {
		r.fail("host name %q: %v", name, err)
	}
	return name
}

func (r *reader) readNetwork() cluster.Membership {
	m := cluster.Membership{
		Network:   r.readNetworkKey(),
		VTEP:      r.readAddr(),
		StaticFDB: r.readBool(),
		HostAddrs: readList(r, cluster.MaxAddrs, r.readAddr),
		BridgeMAC: r.readMAC(),
	}
	r.readFields(func(tag uint64, field *reader) { field.readNetworkField(tag, &m) })
	return m
}

func (r *reader) readNetworkKey() cluster.NetworkKey {
	return cluster.NetworkKey{VNI: uint32(r.readUint(1<<24 - 1)), Port: uint16(r.readUint(1<<16 - 1))}
}

func (r *reader) readEndpoint() cluster.Endpoint {
	e := cluster.Endpoint{
		ContainerID: r.readString(maxContainerID),
		Names:       readList(r, cluster.MaxNames, func() string { return r.readString(cluster.MaxName) }),
		Addrs:       readList(r, cluster.MaxAddrs, r.readAddr),
		MAC:         r.readMAC(),
	}
	r.readFields(func(tag uint64, field *reader) { field.readEndpointField(tag, &e) })
	return e
}

// Sections splits a record's content at its sections. What is no section is one with all the rest.
func Sections(raw []byte) (all [][]byte) {
	for len(raw) > 0 {
		r := reader{buf: raw}
		r.readUint(maxKind)
		r.readBytes(MaxRecord)
		n := len(raw) - len(r.buf)
		if r.err != nil {
			n = len(raw)
		}
		all, raw = append(all, raw[:n]), raw[n:]
	}
	return all
}

// SectionBody returns what follows a section's kind and length.
func SectionBody(section []byte) []byte {
	r := reader{buf: section}
	r.readUint(maxKind)
	return r.readBytes(MaxRecord)
}

// parse reads the content of a record, and says what is wrong with it. See decodeContent for earlier.
func (r *Record) parse(earlier earlierEndpoints) error {
	decoded, err := decodeContent(r.Raw, earlier)
	if err != nil {
		return fmt.Errorf("record of %v: %w", r.Key, err)
	}
	r.Left, r.ForgottenBy, r.Name, r.Memberships = decoded.Left, decoded.ForgottenBy, decoded.Name, decoded.Memberships
	return nil
}
