package wire

import "vxlan-driver/internal/cluster"

// AppendContent and ReadContent are a record without its checksum, for fuzzing.
func AppendContent(left bool, memberships []cluster.Membership) []byte {
	var w writer
	w.putContent(left, memberships)
	return w.buf
}

func ReadContent(data []byte) (left bool, memberships []cluster.Membership, rest []byte, err error) {
	r := reader{buf: data}
	left, memberships = r.readContent()
	return left, memberships, r.buf, r.err
}

// ChecksumAfter returns the checksum of what a delta makes of a record, if that is valid.
func (d Delta) ChecksumAfter(r Record) Checksum {
	memberships, _ := cluster.Canonical(d.changeMemberships(r.Memberships))
	return ContentChecksum(false, memberships)
}
