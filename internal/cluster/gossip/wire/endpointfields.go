package wire

import "vxlan-driver/internal/cluster"

// The tags of an endpoint's optional fields.
const tagGranted = 1

// putEndpointFields writes the optional fields that are set.
func (w *writer) putEndpointFields(e cluster.Endpoint) {
	if e.Granted {
		w.putField(tagGranted, func(*writer) {})
	}
}

// readEndpointField reads one of the optional fields of an endpoint, if this version knows it.
func (r *reader) readEndpointField(tag uint64, e *cluster.Endpoint) {
	if tag == tagGranted {
		e.Granted = true
	}
}
