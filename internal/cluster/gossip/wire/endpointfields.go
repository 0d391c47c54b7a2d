package wire

import "vxlan-driver/internal/cluster"

// The tags of an endpoint's optional fields.
const (
	tagGranted   = 1
	tagRequested = 2
)

// putEndpointFields writes the optional fields that are set.
func (w *writer) putEndpointFields(e cluster.Endpoint) {
	if e.Granted {
		w.putField(tagGranted, func(*writer) {})
	}
	if e.Requested {
		w.putField(tagRequested, func(*writer) {})
	}
}

// readEndpointField reads one of the optional fields of an endpoint, if this version knows it.
func (r *reader) readEndpointField(tag uint64, e *cluster.Endpoint) {
	switch tag {
	case tagGranted:
		e.Granted = true
	case tagRequested:
		e.Requested = true
	}
}
