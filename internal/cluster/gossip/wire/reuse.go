package wire

import (
	"bytes"

	"vxlan-driver/internal/cluster"
)

// earlierEndpoints are those of a record that was decoded. The next version of the record has nearly
// all of them again. Those need not be decoded again, and take no memory twice: a host hears of each
// container that starts among thousands.
type earlierEndpoints struct {
	sections reader // from the first that was not found yet
	left     []cluster.Membership
	next     int // in the first of those that are left
}

// mostSkipped is how many sections find passes in search of an endpoint. So content in another order
// costs little more than to decode it.
const mostSkipped = 32

func endpointsOf(r Record) earlierEndpoints {
	return earlierEndpoints{sections: reader{buf: r.Raw}, left: r.Memberships}
}

// find returns the endpoint that was decoded from the same bytes. Sections are in canonical order, so
// each search goes on where the one before ended.
func (e *earlierEndpoints) find(body []byte) (cluster.Endpoint, bool) {
	e.skipOthers()
	ahead := *e
	for n := 0; n < mostSkipped && !ahead.isAtEnd(); n++ {
		if have, endpoint, ok := ahead.take(); ok && bytes.Equal(have, body) {
			*e = ahead
			return endpoint, true
		}
	}
	return cluster.Endpoint{}, false
}

// skipOthers skips what is before the next endpoint. Else each search would pass it again.
func (e *earlierEndpoints) skipOthers() {
	for ahead := *e; !ahead.isAtEnd(); *e = ahead {
		if _, _, ok := ahead.take(); ok {
			return
		}
	}
}

func (e *earlierEndpoints) isAtEnd() bool { return len(e.sections.buf) == 0 || e.sections.err != nil }

// take takes the next section, and tells whether it is an endpoint. Then it returns that, and the bytes
// that it was decoded from.
func (e *earlierEndpoints) take() (body []byte, endpoint cluster.Endpoint, ok bool) {
	kind, body := e.sections.readUint(maxKind), e.sections.readBytes(MaxRecord)
	if kind != sectionEndpoint || e.sections.err != nil {
		return nil, cluster.Endpoint{}, false
	}
	for len(e.left) > 0 && e.next == len(e.left[0].Endpoints) {
		e.left, e.next = e.left[1:], 0
	}
	if len(e.left) == 0 {
		return nil, cluster.Endpoint{}, false
	}
	e.next++
	return body, e.left[0].Endpoints[e.next-1], true
}

// countEndpoints returns how many endpoints follow in a row.
func (r reader) countEndpoints() (n int) {
	for len(r.buf) > 0 && r.readUint(maxKind) == sectionEndpoint && r.err == nil {
		r.readBytes(MaxRecord)
		n++
	}
	return n
}
